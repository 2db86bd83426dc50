"""`dseld decode`: codes to a class an image, one store a decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli import paths, store
from dseld_cli.config.schema import Params
from dseld_cli.decoders import DECODERS, UNDECIDED, predict, shares
from dseld_cli.decoders.minimum_residual import minimum_residual
from dseld_cli.decoders.shallow_nn import ShallowNN
from dseld_cli.errors import UserError
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, track


def run(params: Params, decoders: Sequence[str] | None = None, split: str = "test") -> None:
    """Decode the codes of a split with the given decoders; by default, with all of params.yaml's.

    Of those, trained decoders are left out, and named, if they were not trained for these codes.

    Raises:
        UserError: if there are no codes, they are not over the dictionary in force, or a decoder was not trained on it.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    stored = store.open_store(paths.codes(split), "codes")
    store.require_input(stored, "dictionary", dictionary)
    codes = read_codes(stored)
    for name in decoders or params.decoders:
        _decode(params, name, split, dictionary, stored, codes)
    for name in () if decoders else params.trained_decoders:
        try:
            _decode(params, name, split, dictionary, stored, codes)
        except UserError as error:
            say(f"without {name}: {error}")


def _decode(
    params: Params, name: str, split: str, dictionary: store.Store, stored: store.Store, codes: SparseCodes
) -> None:
    inputs, classes = {"codes": stored}, dictionary.provenance["classes"]
    if name == "shallow-nn":
        inputs["network"] = open_network(name, dictionary, stored)
        scores = ShallowNN(inputs["network"].read("weights"), inputs["network"].read("bias"))(codes)
    elif name == "minimum-residual":
        scores = _minimum_residual(codes, stored, dictionary, split, params.run.memory)
    else:
        scores = DECODERS[name](codes, dictionary.read("labels"), len(classes))
    scores = shares(scores)
    predicted = predict(scores)
    facts = store.provenance(inputs, decoder=name, split=split, classes=classes)
    store.write(paths.predictions(name), "predictions", facts, {"labels": predicted, "scores": scores})
    undecided = int((predicted == UNDECIDED).sum())
    say(f"{paths.predictions(name)}: {len(predicted)} images" + (f", {undecided} undecided" if undecided else ""))


def read_codes(stored: store.Store) -> SparseCodes:
    """Read a code store whole."""
    return SparseCodes(*(stored.read(name) for name in ("indptr", "indices", "values", "firing")))


def open_network(name: str, dictionary: store.Store, codes: store.Store) -> store.Store:
    """Open a trained decoder that fits these codes.

    Raises:
        UserError: if it was trained over another dictionary, or on codes of another lambda, tau or number of steps.

    """
    network = store.open_store(paths.network(name), "network")
    store.require_input(network, "dictionary", dictionary)
    for key in ("lambda", "tau", "steps"):
        ours, theirs = codes.provenance[key], network.provenance[key]
        if ours != theirs:
            raise UserError(
                f"{network.path} was trained on codes of {key} {theirs:g}, {codes.path} has {ours:g}: run "
                "`dseld encode --split train` and `dseld train-decoder` with the same settings"
            )
    return network


def _minimum_residual(
    codes: SparseCodes, stored: store.Store, dictionary: store.Store, split: str, memory: int
) -> NDArray[np.float32]:
    features = store.open_store(paths.features(split), "features")
    store.require_input(stored, "features", features)
    images = features.read("features")[stored.read("rows")]
    labels, n_classes = dictionary.read("labels"), len(dictionary.provenance["classes"])
    row = 4 * images.shape[1]
    room = arrays_within(memory, images.nbytes + row * n_classes, "the images") - images.nbytes
    scores, progress = [], iter(track(range(len(codes)), len(codes), "decoding images"))
    for part in _batches(codes, room // 2 // row):
        some = part_of(codes, part)
        firing, indices = np.unique(some.indices.astype(np.int64), return_inverse=True)
        local = SparseCodes(some.indptr, indices.astype(np.int32), some.values, some.firing)
        atoms = dictionary.take("atoms", firing)
        now = (i for i, _ in zip(range(len(local)), progress, strict=False))
        scores.append(minimum_residual(local, labels[firing], n_classes, atoms, images[part], now))
    return np.concatenate(scores)


def _batches(codes: SparseCodes, most: int) -> Iterator[slice]:
    """Consecutive images whose codes have at most `most` values together, or that are alone."""
    start = 0
    while start < len(codes):
        end = int(np.searchsorted(codes.indptr, codes.indptr[start] + most, side="right")) - 1
        end = max(start + 1, end)
        yield slice(start, end)
        start = end


def part_of(codes: SparseCodes, part: slice) -> SparseCodes:
    """Codes of consecutive images."""
    inside = slice(codes.indptr[part.start], codes.indptr[part.stop])
    indptr = codes.indptr[part.start : part.stop + 1] - codes.indptr[part.start]
    return SparseCodes(indptr, codes.indices[inside], codes.values[inside], codes.firing[part])
