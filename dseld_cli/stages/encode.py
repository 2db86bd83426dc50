"""`dseld encode`: features to K-step LCA codes over the dictionary in force, batch by batch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli import paths, store
from dseld_cli.budget import arrays_within
from dseld_cli.console import say, track, warn
from dseld_cli.dictionary import require_same_extractor, require_unit_norm
from dseld_cli.errors import UserError
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.dynamics import Dynamics, Inhibition, respond, unstable
from dseld_cli.lca.inhibition import AtomBlocks, driving_input, through_atoms, through_gramian
from dseld_cli.leave_one_out import candidates, own_atoms, silence
from dseld_cli.params import Params
from dseld_cli.stages.gramian import tiles

LARGEST_BATCH = 512
"""Images a batch when the Gramian is not streamed: larger ones are no faster."""
DENSE_ARRAYS = 6
"""(B, M) float32 arrays alive at once in a step of the recurrence, temporaries included."""


def run(params: Params, split: str = "test") -> None:
    """Code the images of a split.

    Raises:
        UserError: if the stores do not belong together, memory is too small, or the recurrence diverges.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    features = store.open_store(paths.features(split), "features")
    require_same_extractor(features, dictionary)
    inputs = {"features": features, "dictionary": dictionary}
    gramian = None
    if params.encode.inhibition == "gramian":
        gramian = store.open_store(paths.GRAMIAN, "gramian")
        store.require_input(gramian, "dictionary", dictionary)
        inputs["gramian"] = gramian
    rows, own = images_to_code(params, split, features, dictionary)
    n_atoms, n_features = dictionary.shape("atoms")
    batch = batch_size(params, len(rows), n_atoms, n_features)
    dynamics = Dynamics(params.lca.lambda_, params.lca.tau, params.lca.steps)
    facts: dict[str, object] = {
        "split": split,
        **(params.train_decoder if split == "train" else params.encode).model_dump(exclude={"inhibition"}),
        "batch": batch,
    }
    facts |= {"lambda": dynamics.lambda_, "tau": dynamics.tau, "steps": dynamics.steps, "atoms": n_atoms}
    facts |= {"inhibition": params.encode.inhibition, "classes": dictionary.provenance["classes"]}
    draft = store.Draft(paths.codes(split), "codes", store.provenance(inputs, **facts))
    device = torch.device(params.run.device)
    atoms = _atom_blocks(dictionary, device, params.run.memory)
    inhibition = through_atoms(atoms, n_features) if gramian is None else _gramian_inhibition(gramian, device)
    wanted = features.read("features")[rows]
    source = features.read("source")[rows]
    _encode(draft, wanted, source, own, batch, atoms, n_atoms, inhibition, dynamics, device)
    codes = _finish(draft, rows)
    share = 100 * codes.indptr[-1] / (len(codes) * n_atoms)
    say(f"{paths.codes(split)}: {len(codes)} images over {n_atoms} atoms, {share:.2f} % of the neurons in a code")


def images_to_code(
    params: Params, split: str, features: store.Store, dictionary: store.Store
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]] | None]:
    """Rows of the images to code; for the train split, on whose codes decoders are trained, their own atoms as well."""
    n = features.shape("features")[0]
    if split != "train":
        return draw(n, params.encode.images, params.encode.seed), None
    own = own_atoms(features, dictionary)
    among = candidates(own, params.train_decoder.codes)
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
    """Images a batch: what the budget holds, beside the atoms' share of it.

    The Gramian is read once a step whatever the batch, so there a batch is as large as can be.

    Raises:
        UserError: if the budget does not hold a single image.

    """
    fixed = _resident_atoms(params.run.memory, n_atoms, n_features) + 3 * 4 * store.ROWS * max(n_features, store.ROWS)
    fixed += 4 * n_images * n_features * 2
    image = 4 * DENSE_ARRAYS * n_atoms
    spare = arrays_within(params.run.memory, fixed + image, "the atoms and the potentials of one image")
    largest = n_images if params.encode.inhibition == "gramian" else LARGEST_BATCH
    return max(1, min((spare - fixed) // image, largest, n_images))


def _resident_atoms(memory: int, n_atoms: int, n_features: int) -> int:
    """Bytes of the atoms if they may stay in memory (at most a third of the budget), 0 if they are to be streamed."""
    size = 4 * n_atoms * n_features
    return size if size <= memory // 3 else 0


def _atom_blocks(dictionary: store.Store, device: torch.device, memory: int) -> AtomBlocks:
    n_atoms, n_features = dictionary.shape("atoms")

    def streamed() -> Iterator[tuple[slice, Tensor]]:
        for rows, block in dictionary.stream("atoms"):
            require_unit_norm(block, dictionary)
            yield rows, torch.from_numpy(block).to(device)

    if not _resident_atoms(memory, n_atoms, n_features):
        return streamed
    atoms = torch.empty((n_atoms, n_features), device=device)
    for rows, block in streamed():
        atoms[rows] = block
    return lambda: [(slice(0, n_atoms), atoms)]


def _gramian_inhibition(gramian: store.Store, device: torch.device) -> Inhibition:
    def streamed() -> Iterable[tuple[slice, slice, Tensor]]:
        return ((rows, columns, torch.from_numpy(tile).to(device)) for rows, columns, tile in tiles(gramian))

    return through_gramian(streamed)


def _encode(
    draft: store.Draft,
    features: store.Array,
    source: store.Array,
    own: list[NDArray[np.int64]] | None,
    batch: int,
    atoms: AtomBlocks,
    n_atoms: int,
    inhibition: Inhibition,
    dynamics: Dynamics,
    device: torch.device,
) -> None:
    """Write the codes of each batch that has none yet to a part of its own."""
    parts = list(store.blocks(len(features), batch))
    done = len(_parts(draft))
    for number, part in track(list(enumerate(parts))[done:], len(parts), "encoding batches", done):
        b = driving_input(torch.from_numpy(features[part]).to(device), atoms, n_atoms)
        if part.start == 0:
            _report_threshold(b, dynamics.lambda_)
        response = respond(b, silence(b, inhibition, own[part]) if own else inhibition, dynamics)
        if bool((bad := unstable(response.energy)).any()):
            draft.discard()
            raise _diverged(bad.cpu().numpy(), source[part], b, inhibition, dynamics)
        _save(draft, number, SparseCodes.from_response(response))


def _report_threshold(b: Tensor, lambda_: float) -> None:
    """Say where lambda lies below the strongest driving input: the first thing to look at when codes are empty."""
    strongest = float(b.abs().max(dim=1).values.median())
    line = f"lambda {lambda_:g} is {100 * lambda_ / strongest:.0f} % of the strongest driving input (median image)"
    (warn if lambda_ >= strongest else say)(line)


def _diverged(bad: store.Array, source: store.Array, b: Tensor, inhibition: Inhibition, d: Dynamics) -> UserError:
    first = int(np.flatnonzero(bad)[0])
    others = ", ".join(str(name) for name in source[bad][:3])
    remedy = _stable_tau(b[first : first + 1], inhibition, d)
    larger = f"raise lca.tau ({remedy:g} is enough for the first)" if remedy else "raise lca.tau"
    return UserError(
        f"the recurrence diverges for {bad.sum()} of {len(bad)} images ({others}{', ...' if bad.sum() > 3 else ''}) at "
        f"lca.lambda {d.lambda_:g}, lca.tau {d.tau:g}: the atoms are too strongly correlated for this step; {larger}, "
        "raise lca.lambda, or use features that are centred or come from a backbone"
    )


def _stable_tau(b: Tensor, inhibition: Inhibition, dynamics: Dynamics) -> float | None:
    """Double tau until one image is stable; None if eight doublings were not enough."""
    for doubling in range(1, 9):
        tau = dynamics.tau * 2.0**doubling
        if not unstable(respond(b, inhibition, Dynamics(dynamics.lambda_, tau, dynamics.steps)).energy).any():
            return tau
    return None


def _parts(draft: store.Draft) -> list[Path]:
    """Codes of the batches that are done, one file each, in order."""
    return sorted((draft.partial / "parts").glob("*.npz"))


def _save(draft: store.Draft, number: int, codes: SparseCodes) -> None:
    path = draft.partial / "parts" / f"{number:06d}"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **vars(codes))
    path.rename(path.with_suffix(".npz"))  # whole or not at all


def _finish(draft: store.Draft, rows: NDArray[np.int64]) -> SparseCodes:
    """Join the parts into the store's arrays, and commit."""
    codes = []
    for path in _parts(draft):
        with np.load(path) as saved:
            codes.append(SparseCodes(**saved))
    joined = SparseCodes.concatenate(codes)
    for name, content in vars(joined).items():
        draft.put(name, content)
    draft.put("rows", rows)
    shutil.rmtree(draft.partial / "parts")
    draft.commit()
    return joined
