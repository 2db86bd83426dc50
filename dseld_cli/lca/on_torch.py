"""Products of all atoms in bfloat16 by torch, on a GPU or on a processor with AMX: the one torch module."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.certificate import Precision
from dseld_cli.lca.inhibition import AtomBlocks, GramianTiles
from dseld_cli.lca.knots import UNIT
from dseld_cli.lca.products import SAFETY
from dseld_cli.lca.recurrence import Array
from dseld_cli.runtime.engine import on_all_cores, shares, threads_per_operation

Float32 = NDArray[np.float32]

OUTPUT = 2.0**-8
"""Unit roundoff of bfloat16, as which a GPU returns products of bfloat16."""


class OnTorch:
    """Atoms rounded to bfloat16: on a GPU before, on a processor by their products, which take and return float32.

    Processors with AMX multiply that way at full speed. Others, at worst, do not round at all.
    """

    def __init__(self, atoms: Atoms, device: str) -> None:
        self.atoms, self.device = atoms, torch.device(device)
        self.on_processor = self.device.type == "cpu"
        self.kept: list[tuple[int, Float32, Tensor]] = []

    @cached_property
    def precision(self) -> Precision:
        """What rounding costs."""
        norm, rounding = 1.0, 0.0
        for _, block in self.atoms.tiles():
            rows = torch.from_numpy(block).to(self.device)
            norm = float(np.maximum(norm, float(torch.linalg.vector_norm(rows, dim=1).max())))
            lost = torch.linalg.vector_norm(rows - rows.bfloat16().float(), dim=1)
            rounding = float(np.maximum(rounding, float(lost.max())))
        return Precision(SAFETY * norm, SAFETY * rounding, UNIT if self.on_processor else OUTPUT, references="bfloat16")

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), tile by tile."""
        given = self._there(references)
        if self.on_processor:
            return ((first, block, self._on_cores(given, block)) for first, block in self.atoms.tiles())
        return ((first, block, _on_gpu(given, tile)) for first, block, tile in self._moved())

    def over(self, atoms: Atoms) -> OnTorch:
        """Products on the same device, of other atoms."""
        return OnTorch(atoms, self.device.type)

    def _on_cores(self, references: Tensor, tile: Float32) -> Float32:
        """Multiply a part of the tile on each core."""
        found = np.empty((len(references), len(tile)), np.float32)

        def part(here: slice) -> None:
            torch.from_numpy(found[:, here]).copy_(references @ self._there(tile[here]).T)

        with rounding_to_bfloat16():
            on_all_cores(part, shares(len(tile)))
        return found

    def _moved(self) -> Iterator[tuple[int, Float32, Tensor]]:
        tiles = ((first, block, self._there(block)) for first, block in self.atoms.tiles())
        if self.atoms.resident is None:
            return tiles
        self.kept = self.kept or list(tiles)
        return iter(self.kept)

    def _there(self, rows: Float32) -> Tensor:
        """Rows as they are multiplied; made by one thread, as torch's others wait in a loop for more to do."""
        with threads_per_operation(1):
            here = torch.from_numpy(rows).to(self.device)
            return here if self.on_processor else here.bfloat16()


def _on_gpu(references: Tensor, tile: Tensor) -> Float32:
    found: Float32 = (references @ tile.T).float().cpu().numpy()
    return found


_switch = getattr(torch.backends.mkldnn, "matmul", None)
"""Says how products of float32 are computed on a processor, in the newer versions of torch."""
_using, _before, _lock = 0, "", threading.Lock()


@contextmanager
def rounding_to_bfloat16() -> Iterator[None]:
    """Let this process's products of float32 round their factors to bfloat16, and return sums in float32.

    The switch is the whole process's: it is put back by the last thread that needs it.
    """
    global _using, _before
    with _lock:
        if _using == 0:
            _before = _switch.fp32_precision if _switch else torch.get_float32_matmul_precision()
            _set("bf16", "medium")
        _using += 1
    try:
        yield
    finally:
        with _lock:
            _using -= 1
            if _using == 0:
                _set(_before, _before)


def _set(now: str, formerly: str) -> None:
    if _switch:
        _switch.fp32_precision = now
    else:
        torch.set_float32_matmul_precision(formerly)


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
