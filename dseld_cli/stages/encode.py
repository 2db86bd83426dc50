"""`dseld encode`: features to K-step LCA codes over the dictionary in force, batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.atoms import atom_blocks, resident_atoms
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.dictionary.gramian import require_of, tiles
from dseld_cli.dictionary.leave_one_out import candidates, own_atoms
from dseld_cli.errors import UserError
from dseld_cli.lca import working_set
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.inhibition import AtomBlocks, GramianTiles, driving_input, silence, through_atoms, through_gramian
from dseld_cli.lca.recurrence import Dynamics, respond
from dseld_cli.lca.working_set import Coded
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.store import project as paths

LARGEST_BATCH = 1000
"""Images a batch where memory allows: larger ones are no faster, unless the Gramian is read once for all of them."""
DENSE_ARRAYS = 8
"""(B, M) float32 arrays alive at once in a step of the direct recurrence, temporaries included."""
SAMPLE = 64
"""Images of the first batch that tell how lambda compares with the driving input."""

Barred = list[NDArray[np.int64]] | None
"""Atoms that each image must not use; None: it may use all."""
Encoder = Callable[[Tensor, Dynamics, Barred], Coded]


def run(params: Params, split: str = "test") -> None:
    """Code the images of a split.

    Raises:
        UserError: if the stores do not belong together, memory is too small, the recurrence diverges, or another
            process codes this split.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.open_store(paths.features(split), store.FeaturesInfo)
    require_same_extractor(features, dictionary)
    gramian = None
    if params.encode.inhibition == "gramian":
        gramian = store.open_store(paths.GRAMIAN, store.GramianInfo)
        require_of(gramian, dictionary)
    with store.locked(paths.codes(split)):
        _code(params, split, features, dictionary, gramian)


def skip(split: str) -> None:
    """Code nothing, and leave an empty folder where there is no store: a stage's output has to be there."""
    paths.codes(split).mkdir(parents=True, exist_ok=True)
    say("params.yaml lists no trained decoders: there are no training images to code")


def _code(
    params: Params, split: str, features: store.Features, dictionary: store.Dictionary, gramian: store.Gramian | None
) -> None:
    rows, barred = images_to_code(params, split, features, dictionary)
    batch = batch_size(params, len(rows), *dictionary.shape("atoms"))
    inputs = store.fingerprints(features=features, dictionary=dictionary)
    inputs |= store.fingerprints(gramian=gramian) if gramian else {}
    info = _info(params, split, dictionary, batch, inputs)
    atoms = atom_blocks(dictionary, params.run.device, params.run.memory)
    tiles_of = _gramian_tiles(gramian, params.run.device) if gramian else None
    wanted = torch.from_numpy(features.read("features")[rows]).to(params.run.device)
    dynamics = Dynamics(params.lca.lambda_, params.lca.tau, params.lca.steps)
    _report_threshold(wanted[:SAMPLE], atoms, dynamics.lambda_)
    network = Network(atoms, tiles_of, *dictionary.shape("atoms"))
    encode = network.prove if params.encode.method == "working-set" else network.respond
    with store.Draft(paths.codes(split), info) as draft:
        _encode(draft, wanted, barred, features.read("source")[rows], batch, encode, dynamics, params.encode.energy)
        parts = _finish(draft, rows)
    _summarise(paths.codes(split), parts, network.n_atoms)


def images_to_code(
    params: Params, split: str, features: store.Features, dictionary: store.Dictionary
) -> tuple[NDArray[np.int64], Barred]:
    """Rows of the images to code; for the train split, on whose codes decoders are trained, their own atoms as well."""
    n = features.shape("features")[0]
    if split != "train":
        return draw(n, params.encode.images, params.encode.seed), None
    return images_to_train_on(params, features, dictionary)


def images_to_train_on(
    params: Params, features: store.Features, dictionary: store.Dictionary
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Rows of training images, as params.yaml's train_decoder wants them and removals allows, with their own atoms.

    Raises:
        UserError: if there are not so many.

    """
    own = own_atoms(features, dictionary)
    among = candidates(own, params.train_decoder.codes)
    among = among[~np.isin(features.read("source")[among], params.removals)]
    rows = among[draw(len(among), params.train_decoder.images, params.train_decoder.seed)]
    return rows, [own[row] for row in rows]


def draw(n_images: int, wanted: int | str, seed: int) -> NDArray[np.int64]:
    """Rows of the images to code, in order: all, or a seeded draw.

    Raises:
        UserError: if there are not so many.

    """
    if wanted == "all":
        return np.arange(n_images)
    if int(wanted) > n_images:
        raise UserError(f"{wanted} images asked for, but the split has {n_images} to code")
    return np.sort(np.random.default_rng(seed).permutation(n_images)[: int(wanted)])


def batch_size(params: Params, n_images: int, n_atoms: int, n_features: int) -> int:
    """Images a batch: as many as the budget holds beside the features and the atoms, or as are of use.

    Raises:
        UserError: if the budget does not hold a single image.

    """
    method, memory = params.encode.method, params.run.memory
    fixed = resident_atoms(memory, n_atoms, n_features) + 8 * n_images * n_features

    def needed(batch: int) -> int:
        if method == "working-set":
            return fixed + working_set.memory_needed(batch, n_atoms, n_features, params.lca.steps)
        return fixed + 4 * (DENSE_ARRAYS * batch * n_atoms + 3 * store.spec.ROWS * max(n_features, store.spec.ROWS))

    spare = arrays_within(memory, needed(1), "the features, a block of atoms, and one image's network")
    batch = n_images if params.encode.inhibition == "gramian" else min(LARGEST_BATCH, n_images)
    while needed(batch) > spare:
        batch -= -(-batch // 16)
    return batch


def _info(
    params: Params, split: str, dictionary: store.Dictionary, batch: int, inputs: dict[str, str]
) -> store.CodesInfo:
    drawn = params.train_decoder if split == "train" else params.encode
    return store.CodesInfo(
        inputs=inputs,
        split=split,
        images=drawn.images,
        seed=drawn.seed,
        codes=params.train_decoder.codes if split == "train" else None,
        lambda_=params.lca.lambda_,
        tau=params.lca.tau,
        steps=params.lca.steps,
        batch=batch,
        method=params.encode.method,
        inhibition=params.encode.inhibition,
        energy=params.encode.energy,
        atoms=dictionary.shape("atoms")[0],
        classes=dictionary.info.classes,
    )


def _gramian_tiles(gramian: store.Gramian, device: str) -> GramianTiles:
    def streamed() -> Iterable[tuple[slice, slice, Tensor]]:
        return ((rows, columns, torch.from_numpy(tile).to(device)) for rows, columns, tile in tiles(gramian))

    return streamed


@dataclass(frozen=True)
class Network:
    """All neurons: their atoms (n_atoms, n_features), and the stored Gramian if inhibition is to come from there."""

    atoms: AtomBlocks
    gramian: GramianTiles | None
    n_atoms: int
    n_features: int

    def prove(self, features: Tensor, dynamics: Dynamics, barred: Barred) -> Coded:
        """Code images (B, N) by working sets."""
        return working_set.encode(features, self.atoms, self.n_atoms, dynamics, gramian=self.gramian, excluded=barred)

    def respond(self, features: Tensor, dynamics: Dynamics, barred: Barred) -> Coded:
        """Code images (B, N) by the recurrence of all neurons."""
        inhibition = through_gramian(self.gramian) if self.gramian else through_atoms(self.atoms, self.n_features)
        b = driving_input(features, self.atoms, self.n_atoms)
        inhibition = silence(b, inhibition, barred) if barred else inhibition
        return Coded.of(respond(b, inhibition, dynamics), products=2 * dynamics.steps)


def _report_threshold(features: Tensor, atoms: AtomBlocks, lambda_: float) -> None:
    """Say where lambda lies below the strongest driving input: the first thing to look at when codes are empty."""
    strongest = torch.zeros(len(features), device=features.device)
    for _, block in atoms():
        strongest = torch.maximum(strongest, (features @ block.T).abs().amax(dim=1))
    share = lambda_ / max(float(strongest.median()), 1e-30)
    line = f"lambda {lambda_:g} is {100 * share:.0f} % of the strongest driving input (median image)"
    (warn if share >= 1 else say)(line)


def _encode(
    draft: store.Draft[store.CodesInfo],
    features: Tensor,
    barred: Barred,
    source: store.Array,
    batch: int,
    encode: Encoder,
    dynamics: Dynamics,
    energy: bool,
) -> None:
    """Write the codes of each batch that has none yet to a part of its own."""
    parts = list(store.blocks(len(features), batch))
    missing = [(number, part) for number, part in enumerate(parts) if not draft.has_kept(number)]
    for number, part in track(missing, len(parts), "encoding batches", len(parts) - len(missing)):
        mine = barred[part] if barred else None
        coded = encode(features[part], dynamics, mine)
        if (bad := coded.report.unstable).any():
            draft.discard()
            raise _diverged(bad, source[part], features[part], mine, encode, dynamics)
        arrays = {**vars(coded.codes), "products": coded.report.products, "proved": coded.report.proved.astype(np.int8)}
        draft.keep(number, arrays | ({"energy": coded.energy.astype(np.float32)} if energy else {}))


def _diverged(
    bad: store.Array, source: store.Array, features: Tensor, barred: Barred, encode: Encoder, d: Dynamics
) -> UserError:
    first = int(np.flatnonzero(bad)[0])
    others = ", ".join(str(name) for name in source[bad][:3])
    just = slice(first, first + 1)
    remedy = _stable_tau(features[just], barred[just] if barred else None, encode, d)
    larger = f"raise lca.tau ({remedy:g} is enough for the first)" if remedy else "raise lca.tau"
    return UserError(
        f"the recurrence diverges for {bad.sum()} of {len(bad)} images ({others}{', ...' if bad.sum() > 3 else ''}) at "
        f"lca.lambda {d.lambda_:g}, lca.tau {d.tau:g}: the atoms are too strongly correlated for this step; {larger}, "
        "raise lca.lambda, or use features that are centred or come from a backbone"
    )


def _stable_tau(image: Tensor, barred: Barred, encode: Encoder, dynamics: Dynamics) -> float | None:
    """Double tau until one image is stable; None if eight doublings were not enough."""
    for doubling in range(1, 9):
        tau = dynamics.tau * 2.0**doubling
        if not encode(image, Dynamics(dynamics.lambda_, tau, dynamics.steps), barred).report.unstable.any():
            return tau
    return None


def _finish(draft: store.Draft[store.CodesInfo], rows: NDArray[np.int64]) -> dict[str, store.Array]:
    """Join the parts into the store's arrays, and commit; these arrays."""
    parts = list(draft.parts())
    fields = [field.name for field in dataclasses.fields(SparseCodes)]
    codes = SparseCodes.concatenate([SparseCodes(*(part[name] for name in fields)) for part in parts])
    more = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name not in fields}
    arrays = {**vars(codes), **more, "rows": rows}
    for name, content in arrays.items():
        draft.put(name, content)
    draft.commit()
    return arrays


def _summarise(path: Path, arrays: dict[str, store.Array], n_atoms: int) -> None:
    n, values = len(arrays["rows"]), len(arrays["values"])
    say(f"{path}: {n} images over {n_atoms} atoms, {100 * values / (n * n_atoms):.2f} % of the neurons in a code")
    proved, products = int(arrays["proved"].sum()), float(arrays["products"].mean())
    say(f"{proved} images proved, {n - proved} computed directly, at {products:.1f} passes over the atoms an image")
