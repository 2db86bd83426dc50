"""A pipeline's stores, opened from anywhere: what `from dseld_cli import Project` gives.

    project = Project("digits")
    project.codes().to_scipy()
    project.predictions("class-sum").top1

There is one list of classes, the dictionary's: the base's classes in their order, then those that additions brought, in
order of appearance. Every label below is a place in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.decoders.base import UNDECIDED
from dseld_cli.dictionary.checks import relabel
from dseld_cli.dictionary.codes import read_codes
from dseld_cli.dictionary.transform import of
from dseld_cli.errors import DoesNotFit
from dseld_cli.evaluation.explain import explain
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.home import expanded
from dseld_cli.store import project as paths

if TYPE_CHECKING:
    import zarr
    from scipy.sparse import csr_array

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Names = tuple[str, ...]


class Brief:
    """Prints as the sizes of what it holds."""

    def __repr__(self) -> str:
        told = (f"{k} {np.shape(v) or v}" for k, v in vars(self).items() if not isinstance(v, SparseCodes))
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class Features(Brief):
    """Features of the n images of a split.

    Attributes:
        features: (n, N) float32, as the backbone gave them.
        labels: class of each image (n,); -1 for a class that the dictionary lacks.
        classes: names of the classes.
        source: where each image came from (n,).

    """

    features: Float32
    labels: Int64
    classes: Names
    source: list[str]


@dataclass(frozen=True, repr=False)
class Dictionary(Brief):
    """The current dictionary.

    Attributes:
        atoms: (M, N) float32 of unit norm; a removed exemplar is a tombstone, a row of zeros.
        labels: class of each atom (M,).
        classes: names of the classes.
        source: where each atom came from (M,).

    """

    atoms: Float32
    labels: Int64
    classes: Names
    source: list[str]


@dataclass(frozen=True, repr=False)
class Codes(Brief):
    """Codes of n images of a split over M atoms.

    Attributes:
        codes: activations a[K], as compressed sparse rows.
        n_atoms: M.
        params: lambda, tau and steps.
        rows: row of each image in the features of its split (n,).
        labels: true class of each image (n,); -1 for a class that the dictionary lacks.
        classes: names of the classes.
        source: where each image came from (n,).

    """

    codes: SparseCodes
    n_atoms: int
    params: LCAParams
    rows: Int64
    labels: Int64
    classes: Names
    source: list[str]

    def to_scipy(self) -> csr_array:
        """Activations (n, M) as a sparse array of SciPy."""
        return self.codes.to_scipy(self.n_atoms)


@dataclass(frozen=True, repr=False)
class Predictions(Brief):
    """What a decoder says of the n coded images of a split.

    Attributes:
        decoder: its name.
        labels: predicted class of each image (n,); -1 where no neuron spoke.
        scores: share of each class (n, C).
        truth: true class of each image (n,); -1 for a class that the dictionary lacks.
        classes: names of the classes.
        source: where each image came from (n,).

    """

    decoder: str
    labels: Int64
    scores: Float32
    truth: Int64
    classes: Names
    source: list[str]

    @property
    def top1(self) -> float:
        """Share of the images that are right, from 0 to 1; undecided ones are wrong."""
        return float((self.labels == self.truth).mean())


@dataclass(frozen=True)
class Exemplar:
    """An atom that spoke for the class of an image.

    Attributes:
        atom: its place in the dictionary.
        source: where it came from.
        label: name of its class.
        activation: a[K].
        share: its part of the activations of the atoms of that class.

    """

    atom: int
    source: str
    label: str
    activation: float
    share: float


class Project:
    """A project's stores, read as arrays; nothing is written.

    Args:
        path: the folder with params.yaml.

    Raises:
        DoesNotFit: if there is no such folder.

    """

    def __init__(self, path: str | PathLike[str] = ".") -> None:
        self.path = expanded(Path(path))
        if not self.path.is_dir():
            raise DoesNotFit(f"{self.path} is no folder: name the one with params.yaml")

    def __repr__(self) -> str:
        return f"Project({str(self.path)!r})"

    def features(self, split: str = "test") -> Features:
        """Features of a split.

        Raises:
            StoreMissing: if they were not extracted.
            StoreDamaged: if they are not what was committed.

        """
        opened = self._features(split)
        labels = self._relabelled(opened)
        return Features(opened.read("features"), labels, self._classes(), _texts(opened.read("source")))

    def dictionary(self) -> Dictionary:
        """Read the current dictionary.

        Raises:
            StoreMissing: if there is none.
            StoreDamaged: if it is not what was committed.

        """
        opened = self._dictionary()
        source = _texts(opened.read("source"))
        return Dictionary(opened.read("atoms"), opened.read("labels"), opened.info.classes, source)

    def codes(self, split: str = "test") -> Codes:
        """Codes of a split over the current dictionary.

        Raises:
            StoreMissing: if it was not coded.
            StoreDamaged: if the codes are not what was committed.
            OutOfDate: if they are of another dictionary, or of other features.

        """
        opened, features, dictionary = self._codes(split), self._features(split), self._dictionary()
        store.require_input(opened, "dictionary", dictionary)
        store.require_input(opened, "features", features)
        rows, info = opened.read("rows"), opened.info
        return Codes(
            read_codes(opened),
            info.atoms,
            LCAParams(info.lambda_, info.tau, info.steps),
            rows,
            self._relabelled(features)[rows],
            dictionary.info.classes,
            _texts(features.read("source")[rows]),
        )

    def predictions(self, decoder: str = "class-sum", split: str = "test") -> Predictions:
        """Read what a decoder says of the coded images of a split.

        Raises:
            StoreMissing: if the codes were not decoded so.
            StoreDamaged: if a store is not what was committed.
            OutOfDate: if the predictions are of other codes, or the codes of another dictionary.

        """
        coded, opened = self.codes(split), self._predictions(decoder, split)
        return Predictions(
            decoder, opened.read("labels"), opened.read("scores"), coded.labels, coded.classes, coded.source
        )

    def explain(
        self, image: int, decoder: str = "class-sum", split: str = "test", exemplars: int = 3
    ) -> list[Exemplar]:
        """Exemplars that spoke for the class of one coded image, loudest first; none if it is undecided.

        Raises:
            DoesNotFit: if there is no such image.
            StoreMissing, StoreDamaged, OutOfDate: as `predictions` does.

        """
        coded, said = self.codes(split).codes, self._predictions(decoder, split).read("labels")
        if not 0 <= image < len(said):
            raise DoesNotFit(f"no image {image}: the coded images of {split} are 0 to {len(said) - 1}")
        label = int(said[image])
        if label == UNDECIDED:
            return []
        opened = self._dictionary()
        labels, source = opened.read("labels"), opened.read("source")
        spoke = explain(coded, image, labels, label, exemplars)
        name = opened.info.classes[label]
        return [Exemplar(s.atom, str(source[s.atom]), name, s.activation, s.share) for s in spoke]

    def encoder(self, params: LCAParams) -> Encoder:
        """Return what codes features, as the dictionary sees them, over its atoms, which it holds in memory."""
        return Encoder(self._dictionary().read("atoms"), params)

    def seen(self, features: Float32) -> Float32:
        """Features (n, N), as the backbone gives them, as the current dictionary sees them: through its transform."""
        transform = of(self._dictionary())
        return transform(features) if transform else features

    def group(self, name: str) -> zarr.Group:
        """Open a store as zarr does, to read chunk by chunk: "gramian", "dictionary", "features/test", "codes/test".

        What is read this way is checked by zarr's own checksums alone.

        Raises:
            DoesNotFit: if there is no such store.

        """
        import zarr

        path = self.path / paths.DATA / f"{name}.zarr"
        if not path.is_dir():
            raise DoesNotFit(f"no store at {path}: stores are named by what is below data/, such as features/test")
        return zarr.open_group(path, mode="r", zarr_format=3)

    def _dictionary(self) -> store.Dictionary:
        return store.open_store(self.path / paths.DICTIONARY, store.DictionaryInfo)

    def _features(self, split: str) -> store.Features:
        return store.open_store(self.path / paths.features(split), store.FeaturesInfo)

    def _codes(self, split: str) -> store.Codes:
        return store.open_store(self.path / paths.codes(split), store.CodesInfo)

    def _predictions(self, decoder: str, split: str) -> store.Predictions:
        opened = store.open_store(self.path / paths.predictions(decoder, split), store.PredictionsInfo)
        store.require_input(opened, "codes", self._codes(split))
        return opened

    def _classes(self) -> Names:
        """Names of the classes: the dictionary's, or before there is one the training features'."""
        there = store.present(self.path / paths.DICTIONARY)
        return self._dictionary().info.classes if there else self._features("train").info.classes

    def _relabelled(self, features: store.Features) -> Int64:
        return relabel(features.read("labels"), features.info.classes, self._classes())


def _texts(found: NDArray[Any]) -> list[str]:
    return [str(text) for text in found]
