"""Sparse codes of many images, as compressed sparse rows: what travels from the encoder to the decoders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from dseld_cli.lca.recurrence import Response


@dataclass(frozen=True)
class SparseCodes:
    """Codes of n images: image i's activations are `values[indptr[i]:indptr[i + 1]]`, of the atoms `indices[...]`.

    Attributes:
        indptr: (n + 1,) int64, starts at 0.
        indices: (nnz,) int32, atoms in rising order within an image.
        values: (nnz,) float32, activations, never zero.
        firing: (n, K) int32, neurons firing after each step.

    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    firing: NDArray[np.int32]

    @classmethod
    def from_response(cls, response: Response) -> SparseCodes:
        """Take the sparse rows out of a batch's dense code."""
        image, atom = response.code.nonzero()
        counts = np.bincount(image, minlength=len(response.code))
        return cls(indptr_of(counts), atom.astype(np.int32), response.code[image, atom], response.firing)

    @classmethod
    def from_rows(
        cls, indices: Sequence[NDArray[np.int64]], values: Sequence[NDArray[np.float32]], firing: NDArray[np.int32]
    ) -> SparseCodes:
        """Join the codes of n images that come one by one: atoms (rising) and their activations, firing (n, K)."""
        indptr = indptr_of([len(row) for row in indices])
        joined = np.concatenate([np.zeros(0, np.int64), *indices]).astype(np.int32)
        return cls(indptr, joined, np.concatenate([np.zeros(0, np.float32), *values]), firing)

    @classmethod
    def concatenate(cls, parts: Sequence[SparseCodes]) -> SparseCodes:
        """Join the codes of consecutive batches of images (at least one batch)."""
        return cls(
            indptr_of(np.concatenate([np.diff(p.indptr) for p in parts])),
            np.concatenate([p.indices for p in parts]),
            np.concatenate([p.values for p in parts]),
            np.concatenate([p.firing for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, images: slice) -> SparseCodes:
        """Codes of consecutive images."""
        start, stop, _ = images.indices(len(self))
        indptr = self.indptr[start : max(start, stop) + 1]
        part = slice(indptr[0], indptr[-1])
        return SparseCodes(indptr - indptr[0], self.indices[part], self.values[part], self.firing[images])

    def image_of_value(self) -> NDArray[np.int64]:
        """Which image each value belongs to, (nnz,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def to_scipy(self, n_atoms: int) -> csr_array:
        """As a scipy matrix (n, n_atoms) in compressed sparse rows; shares memory with these codes."""
        from scipy.sparse import csr_array

        return csr_array((self.values, self.indices, self.indptr), shape=(len(self), n_atoms))


def indptr_of(counts: Iterable[int]) -> NDArray[np.int64]:
    """Where each row starts, and the last one ends, from how many values each has."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.fromiter(counts, np.int64))])
