"""A decoder over a dictionary on disk: with the atoms' classes, and with what its training gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.decoders.base import Decoder, Float32, Given, Int64, Trainable, shares
from dseld_cli.decoders.registry import decoder
from dseld_cli.dictionary.transform import Transform, of
from dseld_cli.errors import DoesNotFit, UserError
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.store import project as paths

DYNAMICS = ("lambda", "tau", "steps")
"""Facts of codes that a trained decoder has to share with those that it learned from."""


@dataclass(frozen=True)
class Reader:
    """A decoder ready to read codes over a dictionary.

    Attributes:
        decoder: what reads.
        dictionary: the store of the atoms that codes index.
        inputs: stores that it depends on, by name, beside the codes.
        atoms_in_memory: whether atoms, if it wants any, are read once and kept.
        resident: all atoms (M, N), if they are in memory anyway.

    """

    decoder: Decoder
    dictionary: store.Dictionary
    inputs: Mapping[str, store.Network] = field(default_factory=dict)
    atoms_in_memory: bool = False
    resident: Float32 | None = None

    @cached_property
    def labels(self) -> Int64:
        """Class of each atom, (M,)."""
        return self.dictionary.read("labels")

    @cached_property
    def transform(self) -> Transform | None:
        """Map of features that the atoms went through."""
        return of(self.dictionary)

    @cached_property
    def learned(self) -> dict[str, NDArray[Any]]:
        """Arrays that its training gave."""
        network = self.inputs.get("network")
        return {name: network.read(name) for name in network.arrays} if network else {}

    @cached_property
    def _atoms(self) -> Float32:
        return self.dictionary.read("atoms")

    def atoms(self, rows: Int64) -> Float32:
        """Read any atoms, (len(rows), N)."""
        if self.resident is not None:
            return self.resident[rows]
        return self._atoms[rows] if self.atoms_in_memory else self.dictionary.take("atoms", rows)

    def given(self, features: Callable[[], Float32]) -> Given:
        """Tell what a decoder may know beside the codes of images whose features are read so."""
        return Given(self.labels, len(self.dictionary.info.classes), self.atoms, features, self.learned)

    def shares(self, codes: SparseCodes, features: Callable[[], Float32]) -> Float32:
        """Score of each class for n images as its share of the positive scores, (n, n_classes)."""
        return shares(self.scores(codes, features))

    def scores(self, codes: SparseCodes, features: Callable[[], Float32]) -> Float32:
        """Score of each class for n images, (n, n_classes)."""
        n_classes = len(self.dictionary.info.classes)
        scores = np.asarray(self.decoder.scores(codes, self.given(features)))
        if scores.shape != (len(codes), n_classes):
            raise UserError(
                f"decoder {type(self.decoder).__name__}: expected scores of shape {(len(codes), n_classes)}, one row "
                f"per image, one column per class. Got {scores.shape} instead"
            )
        return scores.astype(np.float32, copy=False)


def reader(
    name: str,
    options: Mapping[str, object],
    dictionary: store.Dictionary,
    dynamics: Mapping[str, Any],
    atoms_in_memory: bool = False,
) -> Reader:
    """Make a decoder ready to read codes of a lambda, tau and number of steps.

    Raises:
        UserError: if there is no such decoder, or it is trained and was not for such codes over this dictionary.

    """
    made = decoder(name, options)
    inputs = {"network": network(name, options, dictionary, dynamics)} if isinstance(made, Trainable) else {}
    return Reader(made, dictionary, inputs, atoms_in_memory)


def network(
    name: str, options: Mapping[str, object], dictionary: store.Dictionary, dynamics: Mapping[str, Any]
) -> store.Network:
    """Open what the training of a decoder gave.

    Raises:
        UserError: if it was trained over another dictionary, with other options, or on codes of another lambda, tau or
            number of steps.

    """
    found = store.open_store(paths.network(name), store.NetworkInfo)
    store.require_input(found, "dictionary", dictionary)
    remedy = "run `dseld encode --split train` and `dseld train-decoder` with the same settings"
    _require_alike(found, options, dynamics, remedy)
    return found


def calibration(
    name: str, options: Mapping[str, object], dictionary: store.Dictionary, dynamics: Mapping[str, Any]
) -> store.Calibration:
    """Open what was learned about the shares of a decoder.

    Raises:
        UserError: if nothing was, or of another dictionary, with other options, or of another lambda, tau or number of
            steps.

    """
    found = store.open_store(paths.calibration(name), store.CalibrationInfo, f"dseld calibrate --decoder {name}")
    store.require_input(found, "dictionary", dictionary)
    _require_alike(found, options, dynamics, "run `dseld calibrate` with the same settings")
    return found


def _require_alike(
    found: store.Network | store.Calibration, options: Mapping[str, object], dynamics: Mapping[str, Any], remedy: str
) -> None:
    """Refuse what was learned from codes of other dynamics, or with other options."""
    for key in DYNAMICS:
        ours, theirs = dynamics[key], found.info.dynamics[key]
        if ours != theirs:
            raise DoesNotFit(f"{found.path} was learned from codes of {key} {theirs:g}, these have {ours:g}: {remedy}")
    if (learned_with := found.info.options or {}) != options:
        raise DoesNotFit(f"{found.path} was learned with options {learned_with}, not {dict(options)}: {remedy}")
