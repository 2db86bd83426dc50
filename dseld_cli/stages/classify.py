"""`dseld classify`: images through the whole chain with the dictionary in force, and the exemplars that decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dseld_cli import paths, store
from dseld_cli.backbones.base import Backbone, restored
from dseld_cli.config.schema import Params
from dseld_cli.decoders import DECODERS, UNDECIDED, predict, shares
from dseld_cli.dictionary.atoms import atom_blocks, resident_atoms
from dseld_cli.errors import UserError
from dseld_cli.images import image_folder as folders
from dseld_cli.images.image import open_image
from dseld_cli.lca import working_set
from dseld_cli.lca.recurrence import Dynamics
from dseld_cli.lca.working_set import Coded
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, table, track, warn

BATCH = 32


@dataclass(frozen=True)
class Exemplar:
    """An atom that spoke for the class: where it came from, its activation, and the share of the score it makes."""

    source: str
    activation: float
    share: float


@dataclass(frozen=True)
class Verdict:
    """What an image is, with what score, and because of which exemplars; no class if no neuron spoke."""

    image: str
    label: str | None
    score: float
    exemplars: list[Exemplar]


def run(params: Params, images: Sequence[Path], as_json: bool = False) -> None:
    """Classify image files and folders of them, and print the verdicts.

    Raises:
        UserError: if there is no dictionary, its backbone is not to be had, or a broken image is not to be skipped.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    files = [file for path in images for file in folders.files_of(path)]
    extractor = restored(dictionary.provenance["extractor"], params.extract.weights, params.run.device)
    found = list(_verdicts(params, dictionary, files, extractor, encoder(dictionary, params)))
    if as_json:
        print(json.dumps([_plain(verdict) for verdict in found], indent=2, ensure_ascii=False))
    else:
        show(found)


def encoder(dictionary: store.Store, params: Params) -> Callable[[NDArray[np.float32]], Coded]:
    """Return what codes up to BATCH images (B, N) over a dictionary.

    Raises:
        UserError: if the budget does not hold a batch.

    """
    m, n = dictionary.shape("atoms")
    needed = resident_atoms(params.run.memory, m, n) + working_set.memory_needed(BATCH, m, n, params.lca.steps)
    arrays_within(params.run.memory, needed, f"{BATCH} images coded over {m} atoms")
    atoms = atom_blocks(dictionary, params.run.device, params.run.memory)
    dynamics = Dynamics(params.lca.lambda_, params.lca.tau, params.lca.steps)
    return lambda features: working_set.encode(torch.from_numpy(features).to(params.run.device), atoms, m, dynamics)


def _verdicts(
    params: Params,
    dictionary: store.Store,
    files: list[Path],
    extractor: Backbone,
    encode: Callable[[NDArray[np.float32]], Coded],
) -> Iterator[Verdict]:
    labels, source = dictionary.read("labels"), dictionary.read("source")
    classes = dictionary.provenance["classes"]
    for part in track(list(store.blocks(len(files), BATCH)), -(-len(files) // BATCH), "classifying batches"):
        readable, arrays = _prepared(files[part], extractor, params.extract.broken == "skip")
        if not arrays:
            continue
        features = extractor.features(arrays)
        _require_fits(features, dictionary, readable[0])
        coded = encode(features)
        if (diverged := coded.report.unstable).any():
            raise UserError(
                f"the recurrence diverges for {readable[int(diverged.argmax())]} at lca.lambda {params.lca.lambda_:g}, "
                f"lca.tau {params.lca.tau:g}: raise lca.tau or lca.lambda"
            )
        codes = coded.codes
        scores = DECODERS[params.classify.decoder](codes, labels, len(classes))
        of_all = shares(scores)
        for i, label in enumerate(predict(scores)):
            row = slice(codes.indptr[i], codes.indptr[i + 1])
            name, score = (None, 0.0) if label == UNDECIDED else (classes[label], float(of_all[i, label]))
            total = float(scores[i, label])
            speakers = explain(
                codes.indices[row], codes.values[row], labels, int(label), total, params.classify.exemplars
            )
            decided = [Exemplar(str(source[atom]), value, share) for atom, value, share in speakers]
            yield Verdict(str(readable[i]), name, score, decided)


def explain(
    atoms: NDArray[np.int32],
    values: NDArray[np.float32],
    labels: NDArray[np.int64],
    label: int,
    score: float,
    most: int,
) -> list[tuple[int, float, float]]:
    """Atoms of the class that speak for it, loudest first: (atom, activation, activation / score)."""
    mine = (labels[atoms] == label) & (values > 0)
    order = np.argsort(-values[mine], kind="stable")[:most]
    return [(int(a), float(v), float(v) / score) for a, v in zip(atoms[mine][order], values[mine][order], strict=True)]


def _prepared(files: Sequence[Path], extractor: Backbone, skip: bool) -> tuple[list[Path], list[store.Array]]:
    readable, arrays = [], []
    for file in files:
        try:
            arrays.append(extractor.prepare(open_image(file)))
        except UserError as error:
            if not skip:
                raise UserError(f"{error}, or go on without such images: --broken skip") from None
            warn(f"skipped: {error}")
        else:
            readable.append(file)
    return readable, arrays


def _require_fits(features: NDArray[np.float32], dictionary: store.Store, image: Path) -> None:
    n, m = features.shape[1], dictionary.shape("atoms")[1]
    if n != m:
        raise UserError(
            f"{image} has {n} features, {dictionary.path} has {m}: pixels need images of the size that it was made of"
        )


def _plain(verdict: Verdict) -> dict[str, object]:
    plain = asdict(verdict)
    return {"class" if key == "label" else key: value for key, value in plain.items()}


def show(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts as a table, with an exemplar a line."""
    if not verdicts:
        return say("no image could be read")
    rows = []
    for verdict in verdicts:
        head = [verdict.image, verdict.label or "undecided", f"{verdict.score:.3g}"]
        reasons = [[f"{exemplar.share:.0%}", exemplar.source] for exemplar in verdict.exemplars] or [["", ""]]
        rows += [[*(head if i == 0 else [""] * 3), *reason] for i, reason in enumerate(reasons)]
    return table("Classes", ["image", "class", "score", "share", "exemplar"], rows)
