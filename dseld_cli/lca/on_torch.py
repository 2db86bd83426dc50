"""Products of all atoms in bfloat16, where the processor multiplies it natively, or on a GPU: the one torch module."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.certificate import Precision
from dseld_cli.lca.inhibition import AtomBlocks, GramianTiles
from dseld_cli.lca.products import SAFETY
from dseld_cli.lca.recurrence import Array
from dseld_cli.runtime.engine import cores

Float32 = NDArray[np.float32]

OUTPUT = 2.0**-8
"""Unit roundoff of bfloat16, as which torch returns products of bfloat16."""


class InBfloat16:
    """Atoms rounded to bfloat16: kept so where they are in memory, else tile by tile."""

    def __init__(self, atoms: Atoms, device: str) -> None:
        self.atoms, self.device = atoms, torch.device(device)
        self.kept: list[tuple[int, Float32, Tensor]] = []

    @cached_property
    def precision(self) -> Precision:
        """What rounding costs."""
        norm, rounding = 1.0, 0.0
        for _, block, rounded in self._tiles():
            rows = torch.from_numpy(block).to(self.device)
            norm = float(np.maximum(norm, float(torch.linalg.vector_norm(rows, dim=1).max())))
            rounding = float(np.maximum(rounding, float(torch.linalg.vector_norm(rows - rounded.float(), dim=1).max())))
        return Precision(SAFETY * norm, SAFETY * rounding, OUTPUT, half=True)

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), tile by tile."""
        torch.set_num_threads(cores())  # of this thread: in Dask's workers, the environment says one
        rounded = self._rounded(references)
        for first, block, tile in self._tiles():
            yield first, block, (rounded @ tile.T).float().cpu().numpy()

    def sketched(self, references: Float32, tile: Float32) -> Float32:
        """Products (r, rows) of a tile."""
        torch.set_num_threads(cores())
        found: Float32 = (self._rounded(references) @ self._rounded(tile).T).float().cpu().numpy()
        return found

    def is_faster(self) -> bool:
        """Whether a tile is multiplied faster than in float32: not every processor that has bfloat16 gains by it."""
        _, rows = next(iter(self.atoms.tiles()))
        ours, theirs = self._rounded(rows), np.ascontiguousarray(rows.T)
        return seconds(lambda: ours @ ours.T) < seconds(lambda: rows @ theirs)

    def _tiles(self) -> Iterator[tuple[int, Float32, Tensor]]:
        if self.atoms.resident is None:
            return ((first, block, self._rounded(block)) for first, block in self.atoms.tiles())
        self.kept = self.kept or [(first, block, self._rounded(block)) for first, block in self.atoms.tiles()]
        return iter(self.kept)

    def _rounded(self, rows: Float32) -> Tensor:
        return torch.from_numpy(rows).to(self.device).bfloat16()


def seconds(work: Callable[[], object]) -> float:
    """Shortest of three runs, after one."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def moved(
    atoms: AtomBlocks, gramian: GramianTiles | None, device: str
) -> tuple[AtomBlocks, GramianTiles | None, Callable[[Float32], Array]]:
    """Move what the direct recurrence reads to a device, block by block; and how an array gets there."""

    def there(array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.array(array, np.float32)).to(device)

    def blocks() -> Iterator[tuple[slice, Tensor]]:
        return ((rows, there(block)) for rows, block in atoms())

    def tiles() -> Iterator[tuple[slice, slice, Array]]:
        assert gramian is not None
        return ((rows, columns, there(tile)) for rows, columns, tile in gramian())

    return blocks, tiles if gramian else None, there
