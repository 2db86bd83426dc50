"""`dseld encode`: features to K-step LCA codes over the dictionary in force, batch by batch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli import paths, store
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
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    features = store.open_store(paths.features(split), "features")
    require_same_extractor(features, dictionary)
    inputs = {"features": features, "dictionary": dictionary}
    if params.encode.inhibition == "gramian":
        inputs["gramian"] = store.open_store(paths.GRAMIAN, "gramian")
        require_of(inputs["gramian"], dictionary)
    with store.locked(paths.codes(split)):
        _code(params, split, inputs)


def skip(split: str) -> None:
    """Code nothing, and leave an empty folder where there is no store: a stage's output has to be there."""
    paths.codes(split).mkdir(parents=True, exist_ok=True)
    say("params.yaml lists no trained decoders: there are no training images to code")


def _code(params: Params, split: str, inputs: dict[str, store.Store]) -> None:
    features, dictionary = inputs["features"], inputs["dictionary"]
    rows, barred = images_to_code(params, split, features, dictionary)
    batch = batch_size(params, len(rows), *dictionary.shape("atoms"))
    facts = _facts(params, split, dictionary, batch)
    atoms = atom_blocks(dictionary, params.run.device, params.run.memory)
    gramian = _gramian_tiles(inputs["gramian"], params.run.device) if "gramian" in inputs else None
    wanted = torch.from_numpy(features.read("features")[rows]).to(params.run.device)
    dynamics = Dynamics(params.lca.lambda_, params.lca.tau, params.lca.steps)
    _report_threshold(wanted[:SAMPLE], atoms, dynamics.lambda_)
    network = Network(atoms, gramian, *dictionary.shape("atoms"))
    encode = network.prove if params.encode.method == "working-set" else network.respond
    with store.Draft(paths.codes(split), "codes", store.provenance(inputs, **facts)) as draft:
        _encode(draft, wanted, barred, features.read("source")[rows], batch, encode, dynamics, params.encode.energy)
        parts = _finish(draft, rows)
    _summarise(paths.codes(split), parts, network.n_atoms)


def images_to_code(
    params: Params, split: str, features: store.Store, dictionary: store.Store
) -> tuple[NDArray[np.int64], Barred]:
    """Rows of the images to code; for the train split, on whose codes decoders are trained, their own atoms as well."""
    n = features.shape("features")[0]
    if split != "train":
        return draw(n, params.encode.images, params.encode.seed), None
    return images_to_train_on(params, features, dictionary)


def images_to_train_on(
    params: Params, features: store.Store, dictionary: store.Store
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
        return fixed + 4 * (DENSE_ARRAYS * batch * n_atoms + 3 * store.ROWS * max(n_features, store.ROWS))

    spare = arrays_within(memory, needed(1), "the features, a block of atoms, and one image's network")
    batch = n_images if params.encode.inhibition == "gramian" else min(LARGEST_BATCH, n_images)
    while needed(batch) > spare:
        batch -= -(-batch // 16)
    return batch


def _facts(params: Params, split: str, dictionary: store.Store, batch: int) -> dict[str, object]:
    drawn = params.train_decoder if split == "train" else params.encode
    facts: dict[str, object] = {"split": split, "images": drawn.images, "seed": drawn.seed}
    facts |= {"codes": params.train_decoder.codes} if split == "train" else {}
    facts |= {"lambda": params.lca.lambda_, "tau": params.lca.tau, "steps": params.lca.steps, "batch": batch}
    facts |= {"method": params.encode.method, "inhibition": params.encode.inhibition, "energy": params.encode.energy}
    return facts | {"atoms": dictionary.shape("atoms")[0], "classes": dictionary.provenance["classes"]}


def _gramian_tiles(gramian: store.Store, device: str) -> GramianTiles:
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
    draft: store.Draft,
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
    done = len(_parts(draft))
    for number, part in track(list(enumerate(parts))[done:], len(parts), "encoding batches", done):
        mine = barred[part] if barred else None
        coded = encode(features[part], dynamics, mine)
        if (bad := coded.report.unstable).any():
            draft.discard()
            raise _diverged(bad, source[part], features[part], mine, encode, dynamics)
        arrays = {**vars(coded.codes), "products": coded.report.products, "proved": coded.report.proved.astype(np.int8)}
        _save(draft, number, arrays | ({"energy": coded.energy.astype(np.float32)} if energy else {}))


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


def _parts(draft: store.Draft) -> list[Path]:
    """Codes of the batches that are done, one file each, in order."""
    return sorted((draft.partial / "parts").glob("*.npz"))


def _save(draft: store.Draft, number: int, arrays: dict[str, store.Array]) -> None:
    path = draft.partial / "parts" / f"{number:06d}"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    path.rename(path.with_suffix(".npz"))  # whole or not at all


def _finish(draft: store.Draft, rows: NDArray[np.int64]) -> dict[str, store.Array]:
    """Join the parts into the store's arrays, and commit; these arrays."""
    parts = []
    for path in _parts(draft):
        with np.load(path) as saved:
            parts.append(dict(saved))
    fields = [field.name for field in dataclasses.fields(SparseCodes)]
    codes = SparseCodes.concatenate([SparseCodes(*(part[name] for name in fields)) for part in parts])
    more = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name not in fields}
    arrays = {**vars(codes), **more, "rows": rows}
    for name, content in arrays.items():
        draft.put(name, content)
    shutil.rmtree(draft.partial / "parts")
    draft.commit()
    return arrays


def _summarise(path: Path, arrays: dict[str, store.Array], n_atoms: int) -> None:
    n, values = len(arrays["rows"]), len(arrays["values"])
    say(f"{path}: {n} images over {n_atoms} atoms, {100 * values / (n * n_atoms):.2f} % of the neurons in a code")
    proved, products = int(arrays["proved"].sum()), float(arrays["products"].mean())
    say(f"{proved} images proved, {n - proved} computed directly, at {products:.1f} passes over the atoms an image")
