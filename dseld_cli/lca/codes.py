"""Sparse codes of many images, as compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
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
        code = response.code.cpu()
        image, atom = code.nonzero(as_tuple=True)
        indptr = np.zeros(len(code) + 1, np.int64)
        np.cumsum(code.count_nonzero(dim=1).numpy(), out=indptr[1:])
        return cls(indptr, atom.numpy().astype(np.int32), code[image, atom].numpy(), response.firing.cpu().numpy())

    @classmethod
    def concatenate(cls, parts: list[SparseCodes]) -> SparseCodes:
        """Join the codes of consecutive batches of images."""
        nnz = np.cumsum([0] + [p.indptr[-1] for p in parts])
        indptr = [p.indptr[1:] + start for p, start in zip(parts, nnz, strict=False)]
        return cls(
            np.concatenate([np.zeros(1, np.int64), *indptr]),
            np.concatenate([p.indices for p in parts]),
            np.concatenate([p.values for p in parts]),
            np.concatenate([p.firing for p in parts]),
        )

    def __getitem__(self, images: slice) -> SparseCodes:
        """Codes of consecutive images."""
        start, stop, _ = images.indices(len(self))
        inside = slice(self.indptr[start], self.indptr[stop])
        indptr = self.indptr[start : stop + 1] - self.indptr[start]
        return SparseCodes(indptr, self.indices[inside], self.values[inside], self.firing[start:stop])

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def image_of_value(self) -> NDArray[np.int64]:
        """Which image each value belongs to, (nnz,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))
