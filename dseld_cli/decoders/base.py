"""What a decoder is: a small class that turns sparse codes into a score per class. It knows arrays only.

    @dataclass(frozen=True)
    class PowerSum:
        \"\"\"Class-sum of activations raised to a power.\"\"\"

        power: float = option(2.0, "Exponent.")

        def scores(self, codes: SparseCodes, given: Given) -> NDArray[np.float32]: ...

The first line of its docstring is its help, its fields are its options. A decoder that is trained first has a second
method, `train`. A package makes one available to every command under the name of an entry point of the group
`dseld.decoders`; see `dseld_cli.decoders.registry`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.codes import SparseCodes

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Progress = Callable[[range], Iterable[int]]
"""Wraps the loop over a range, for a progress bar."""
T = TypeVar("T")

UNDECIDED = -1
"""The label of an image for which no neuron speaks: no class has a positive score."""


def _not_given(*_: object) -> Float32:
    raise ValueError("this decoder needs atoms and features, and they were not given")


@dataclass(frozen=True)
class Given:
    """What a decoder may know beside the codes of n images over M atoms.

    Attributes:
        labels: class of each atom, (M,).
        n_classes: how many classes there are.
        atoms: reads any atoms, rows (U,) to unit-norm vectors (U, N).
        features: reads the features of the n images, (n, N).
        learned: the arrays that its training gave, by name.

    """

    labels: Int64
    n_classes: int
    atoms: Callable[[Int64], Float32] = _not_given
    features: Callable[[], Float32] = _not_given
    learned: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """What training came to: the arrays to keep, and a line that says how it went."""

    learned: Mapping[str, NDArray[Any]]
    said: str


class Decoder(Protocol):
    """Reads classes off codes."""

    def scores(self, codes: SparseCodes, given: Given) -> Float32:
        """Score of each class for each image, (n, n_classes); the class with the highest positive one wins.

        An image's scores may not depend on the other images: they come block by block.
        """
        ...


@runtime_checkable
class Trainable(Decoder, Protocol):
    """Is trained on the codes of images whose class is known, before it reads others."""

    def train(self, codes: SparseCodes, truth: Int64, given: Given, seed: int, progress: Progress = iter) -> Trained:
        """Learn from n images of classes `truth` (n,); the same seed gives the same arrays."""
        ...


def option(default: T, help: str) -> T:
    """Declare an option of a decoder: a field of type int, float, str or bool, with its help."""
    return dataclasses.field(default=default, metadata={"help": help})


def shares(scores: Float32) -> Float32:
    """Positive scores (n, n_classes) scaled to sum to one, others 0; a row without any stays zero."""
    positive = np.maximum(scores, 0)
    total = positive.sum(axis=1, keepdims=True, dtype=np.float64)
    share: Float32 = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return share


def predict(scores: Float32) -> Int64:
    """Class with the highest score, (n,), the first of equals; UNDECIDED where no score is positive."""
    return np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), UNDECIDED)
