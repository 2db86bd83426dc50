"""Chunks of arrays: which there are, what they cover, where their files are, and what their content hashes to."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from dseld_cli.errors import UserError

Array = NDArray[Any]
Key = tuple[int, ...]
"""Where a chunk is in its array's grid of chunks."""

BLAKE3 = "blake3:"
"""What a digest begins with. BLAKE3 takes half of SHA-256's time, or less, and is as hard to forge."""

SHA256 = "sha256:"
"""What those of stores of format 2 begin with."""


def digest(content: Array, like: str = BLAKE3) -> str:
    """Digest of an array's type, shape and values, by the algorithm of one that it is `like`."""
    return digest_of(f"{dtype_name(content)}{content.shape}".encode(), _bytes(content), like=like)


def digest_of(*data: bytes | memoryview, like: str = BLAKE3) -> str:
    """Digest of bytes, one after another, by the algorithm of one that it is `like`."""
    algorithm = BLAKE3 if like.startswith(BLAKE3) else SHA256
    found = blake3() if algorithm == BLAKE3 else hashlib.sha256()
    for piece in data:
        found.update(piece)
    return algorithm + found.hexdigest()


def named(digest: str) -> str:
    """Name the algorithm of a digest that was noted before there were two: SHA-256."""
    return digest if ":" in digest else f"{SHA256}{digest}"


def require_finite(content: Array) -> None:
    """Refuse what no reader would take.

    Raises:
        UserError: if it has numbers that are not finite.

    """
    if content.dtype.kind == "f" and not np.isfinite(content).all():
        raise UserError(
            "what was computed has values that are not finite, and is not kept: what it is computed from, or with "
            "(options, lambda, tau), is out of range"
        )


def _bytes(rows: Array) -> bytes | memoryview:
    if dtype_name(rows) == "str":
        return "".join(f"{text}\0" for text in rows).encode()
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


def dtype_name(array: Any) -> str:
    """Name the type of an array; "str" for any kind of text."""
    return "str" if array.dtype.kind in "TUO" else str(np.dtype(array.dtype))


def numpy_dtype(dtype: str) -> Any:
    """Turn such a name into a type that NumPy knows."""
    return np.dtypes.StringDType() if dtype == "str" else np.dtype(dtype)


def keys_of(wanted: list[range], sides: tuple[int, ...]) -> Iterator[Key]:
    """Chunks that hold some of the wanted ranges."""
    spans = (range(w.start // side, -(-w.stop // side)) if w else () for w, side in zip(wanted, sides, strict=True))
    return itertools.product(*spans)


def grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[Key]:
    """List the chunks of a whole array."""
    return keys_of([range(n) for n in shape], chunks)


def ranges(key: Key, chunks: tuple[int, ...], shape: tuple[int, ...]) -> list[range]:
    """Rows, columns, ... of a chunk, cut off where the array ends."""
    return [range(k * side, min((k + 1) * side, n)) for k, side, n in zip(key, chunks, shape, strict=True)]


def region(key: Key, chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Give the same as slices."""
    return tuple(slice(part.start, part.stop) for part in ranges(key, chunks, shape))


def within(whole: list[range], parts: list[range]) -> tuple[slice, ...]:
    """Where parts lie, counted from the start of the whole."""
    return tuple(slice(p.start - w.start, p.stop - w.start) for w, p in zip(whole, parts, strict=True))


def text(key: Key) -> str:
    """Write a key as zarr does in the name of the file: "3/1"."""
    return "/".join(map(str, key))


def key_of(text: str) -> Key:
    """Read what `text` wrote."""
    return tuple(map(int, text.split("/")))


def name_of(name: str, key: Key) -> str:
    """Name the file of a chunk of an array, from a store's folder on."""
    return f"{name}/c/{text(key)}"


def file_of(store: Path, name: str, key: Key) -> Path:
    """Find the file of a chunk of an array in a store's folder."""
    return store / name_of(name, key)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; where a file system has no hard links, copy it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
