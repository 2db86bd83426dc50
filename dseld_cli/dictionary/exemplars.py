"""A dictionary in memory, and how it grows: unit-norm features appended, each with its class. Arrays in, arrays out.

What `dseld add-exemplars` does to stores on disk, this does to arrays, by the same two rules: what an atom is
(`checks.normalize`) and which classes there are (`checks.merged`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.dictionary.checks import merged, normalize, relabel

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass
class _Room:
    """Rows with room behind them, of which `used` are taken, so that appending costs what is appended, on average."""

    rows: Float32
    used: int

    def appended(self, after: int, more: Float32) -> _Room:
        """Put rows behind the first `after`; in place, unless others stand there already or room is lacking."""
        end, room = after + len(more), self
        if after != self.used or end > len(self.rows):
            room = _Room(np.empty((max(end, 2 * after), more.shape[1]), np.float32), after)
            room.rows[:after] = self.rows[:after]
        room.rows[after:end], room.used = more, end
        return room


@dataclass(frozen=True)
class Exemplars:
    """M atoms with their classes.

    Attributes:
        labels: class of each atom, (M,) int64, an index into `classes`.
        classes: names of the classes, or whatever stands for them.

    """

    labels: Int64
    classes: tuple[Any, ...]
    _room: _Room = field(repr=False, compare=False)

    @classmethod
    def of(cls, features: Float32, labels: Int64, classes: Sequence[Any]) -> Exemplars:
        """Make a dictionary of features (M, N), of which `labels` (M,) say the class.

        Raises:
            UserError: if a row is not finite.

        """
        nothing = cls(np.empty(0, np.int64), tuple(classes), _Room(np.empty((0, features.shape[1]), np.float32), 0))
        return nothing.appended(features, labels, classes)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def atoms(self) -> Float32:
        """Unit-norm atoms (M, N); not to be written to."""
        return self._room.rows[: len(self)]

    def appended(self, features: Float32, labels: Int64, classes: Sequence[Any]) -> Exemplars:
        """Append features (m, N), of which `labels` (m,), indices into `classes`, say the class; this one stays as is.

        Costs what m rows cost, on average, however many there are already. New classes follow the old ones. A row of
        zeros becomes a tombstone, which never fires.

        Raises:
            UserError: if a row is not finite.

        """
        some = features.any(axis=1)
        unit = np.zeros_like(features, np.float32)
        unit[some] = normalize(features[some], [f"row {row}" for row in np.flatnonzero(some)])
        names = merged([self.classes, classes])
        new = relabel(labels, classes, names)
        return Exemplars(np.concatenate([self.labels, new]), tuple(names), self._room.appended(len(self), unit))
