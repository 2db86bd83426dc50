"""What the codes of a batch cost, and how they came to be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


@dataclass
class Report:
    """What the codes of a batch cost.

    Attributes:
        products: (B,) full passes over the atoms that each image cost: products of all atoms with one vector.
        proved: (B,) bool, whether the image's certificate held; all others were computed directly or are unstable.
        unstable: (B,) bool, see `recurrence.unstable`.
        working_set: (B,) neurons simulated at last.
        fired: (B,) neurons that fired after any step.
        reads: times that the atoms were read as a whole.
        seconds: wall clock per phase.

    """

    products: Float64
    proved: NDArray[np.bool_]
    unstable: NDArray[np.bool_]
    working_set: Int64
    fired: Int64
    reads: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def empty(cls, batch: int) -> Report:
        """Nothing done yet."""
        return cls(
            np.zeros(batch),
            np.zeros(batch, bool),
            np.zeros(batch, bool),
            np.zeros(batch, np.int64),
            np.zeros(batch, np.int64),
        )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the time spent inside to a phase."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @classmethod
    def concatenate(cls, parts: Sequence[Report]) -> Report:
        """Join the reports of consecutive batches (at least one)."""
        phases = dict.fromkeys(name for part in parts for name in part.seconds)
        return cls(
            np.concatenate([part.products for part in parts]),
            np.concatenate([part.proved for part in parts]),
            np.concatenate([part.unstable for part in parts]),
            np.concatenate([part.working_set for part in parts]),
            np.concatenate([part.fired for part in parts]),
            sum(part.reads for part in parts),
            {name: sum(part.seconds.get(name, 0.0) for part in parts) for name in phases},
        )

    def first(self, n: int) -> Report:
        """Report of the first n images."""
        return Report(
            self.products[:n],
            self.proved[:n],
            self.unstable[:n],
            self.working_set[:n],
            self.fired[:n],
            self.reads,
            self.seconds,
        )
