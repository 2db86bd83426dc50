"""MNIST's file format, idx: how many dimensions, how long each is, and bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import UserError

BYTES = 8
"""Code of the one type of values that MNIST and its like have: unsigned bytes."""


def read(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    """Map an array of bytes, of so many dimensions, from a file; nothing is read before it is asked for.

    Raises:
        UserError: if the file is none of that kind, or is shorter or longer than it says.

    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(4 + 4 * n_dimensions)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    if len(start) < 4 + 4 * n_dimensions or start[:4] != bytes([0, 0, BYTES, n_dimensions]):
        raise _damaged(path, f"it does not begin as an idx file of {n_dimensions} dimensions does")
    shape = struct.unpack(f">{n_dimensions}I", start[4:])
    wanted = len(start) + int(np.prod(shape, dtype=object))
    if size != wanted:
        raise _damaged(path, f"it has {size} bytes, and should have {wanted}")
    if not wanted > len(start):
        raise _damaged(path, "it holds nothing")
    return np.memmap(path, np.uint8, "r", len(start), shape)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged: {why}; delete it to have it downloaded again")
