"""Scores of a block of coded images, by whoever computes them: this process, or a worker on another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import __version__, store
from dseld_cli.decoders.base import predict
from dseld_cli.decoders.registry import decoder
from dseld_cli.dictionary.codes import batches, read_codes
from dseld_cli.dictionary.inputs import Input, opened_at
from dseld_cli.dictionary.transform import Seen, Transform
from dseld_cli.evaluation.decoding import Reader
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.cluster import require_version

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Decoding:
    """What all blocks of one decoder share.

    Attributes:
        codes: of the images.
        dictionary: whose atoms they index.
        network: what the decoder's training gave, or None.
        features: where those of the images are, if the decoder asks for them.
        name: of the decoder.
        options: of the decoder, by name.
        atoms_in_memory: whether atoms, if it wants any, are read once and kept.
        most: values of codes that are worked on together.
        version: of dseld that began the run.

    """

    codes: Input
    dictionary: Input
    network: Input | None
    features: Path | str
    name: str
    options: tuple[tuple[str, str | int | float | bool], ...]
    atoms_in_memory: bool
    most: int
    version: str = __version__


@dataclass(frozen=True)
class Block:
    """Consecutive images: those of one chunk of the scores.

    Attributes:
        decoding: what they share with the others.
        number: of the block.
        images: which they are.
        sides: of a whole chunk.
        folder: where their scores are set aside.

    """

    decoding: Decoding
    number: int
    images: slice
    sides: tuple[int, ...]
    folder: Path | str


@dataclass(frozen=True)
class Scored:
    """What a block came to: its scores, set aside, and the class that they name each image (B,)."""

    scores: store.Aside
    labels: list[int]


@lru_cache(maxsize=1)
def _opened(codes: Input, dictionary: Input) -> tuple[store.Codes, store.Dictionary]:
    """Open what all decoders read, once: what was verified stays so."""
    return codes.opened(store.CodesInfo), dictionary.opened(store.DictionaryInfo)


@lru_cache(maxsize=1)
def prepared(decoding: Decoding) -> tuple[Reader, store.Codes]:
    """Make the decoder ready, and open the codes.

    Raises:
        UserError: if a store is not what it was, or this is another version of dseld, or lacks the decoder.

    """
    require_version(decoding.version)
    codes, dictionary = _opened(decoding.codes, decoding.dictionary)
    inputs = {"network": decoding.network.opened(store.NetworkInfo)} if decoding.network else {}
    made = decoder(decoding.name, dict(decoding.options))
    return Reader(made, dictionary, inputs, decoding.atoms_in_memory), codes


def forget() -> None:
    """Let go of what this process has prepared."""
    prepared.cache_clear()
    _opened.cache_clear()


def scored(block: Block) -> Scored:
    """Score the classes for a block of images, and set that aside.

    Raises:
        UserError: as `prepared` does, or if a store is damaged.

    """
    of_name, codes = prepared(block.decoding)
    bounds = codes.read("indptr")[block.images.start : block.images.stop + 1]
    found = []
    for part in batches(bounds, block.decoding.most):
        images = slice(block.images.start + part.start, block.images.start + part.stop)
        features = _features(codes, block.decoding.features, images, of_name.transform)
        found.append(of_name.shares(read_codes(codes, images), features))
    scores = found[0] if len(found) == 1 else np.concatenate(found)
    return Scored(store.set_chunk_aside(block.folder, scores, block.sides), predict(scores).tolist())


def _features(
    codes: store.Codes, path: Path | str, images: slice, transform: Transform | None
) -> Callable[[], Float32]:
    """Read the features of coded images as the dictionary sees them, when a decoder asks for them."""

    def read() -> Float32:
        features = opened_at(path, store.FeaturesInfo)
        store.require_input(codes, "features", features)
        return Seen(features, transform).take(codes.read("rows")[images])

    return read


def atoms_bytes(dictionary: store.Dictionary) -> int:
    """Bytes of all atoms."""
    m, n = dictionary.shape("atoms")
    return 4 * m * n


def values_at_once(of_name: Reader, codes: store.Codes, memory: int) -> int:
    """Values of codes of which the budget holds features, scores of two chunks, and as many atoms as fire.

    Raises:
        UserError: if it does not hold a block of the dictionary.

    """
    n_features = of_name.dictionary.shape("atoms")[1]
    row, n_classes = 4 * n_features, len(of_name.dictionary.info.classes)
    learned = sum(spec.nbytes for network in of_name.inputs.values() for spec in network.specs.values())
    atoms = atoms_bytes(of_name.dictionary) if of_name.atoms_in_memory else store.spec.ROWS * row
    fixed = atoms + learned + store.spec.ROWS * (row + 24 * n_classes) + 24 * codes.shape("rows")[0]
    spare = arrays_within(memory, fixed + store.spec.ROWS * row, "the scores of a block and the atoms that fire")
    return (spare - fixed) // 2 // row
