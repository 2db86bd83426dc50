"""Files that any process writes beside a draft, and that only the draft's own process takes into it.

Each is whole, under a name that no other has: of two workers that do the same block, neither disturbs the other, and
one that comes late, when the draft is in force or gone, finds no folder to write to.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from dseld_cli.store import chunks, codec
from dseld_cli.store.chunks import Array

ENDING = ".aside"


@dataclass(frozen=True)
class Aside:
    """A file that was written, and the SHA-256 of what it holds."""

    file: Path
    sha256: str


def save(file: Path, data: Iterable[memoryview | bytes]) -> None:
    """Write a file that is not there yet."""
    with file.open("xb") as opened:
        opened.writelines(data)
        opened.flush()
        if hasattr(os, "posix_fadvise"):  # lets the disk begin while others compute, so that `commit` waits less
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def set_aside(folder: Path, arrays: Mapping[str, Array]) -> Aside:
    """Write arrays of any size into a folder that is there.

    Raises:
        FileNotFoundError: if it is not there any more.

    """
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    file = folder / f"{uuid4().hex}{ENDING}"
    save(file, [data.getbuffer()])
    return Aside(file, hashlib.sha256(data.getbuffer()).hexdigest())


def set_chunk_aside(folder: Path, content: Array, sides: tuple[int, ...]) -> Aside:
    """Write one chunk of an array, as it is to lie in the store, into a folder that is there.

    Raises:
        FileNotFoundError: if it is not there any more.

    """
    file = folder / f"{uuid4().hex}{ENDING}"
    save(file, codec.encode(content, sides))
    return Aside(file, chunks.digest(content))


def drop(folder: Path) -> None:
    """Delete what a killed run set aside and did not take over, if there is such a folder."""
    for file in folder.glob(f"*{ENDING}"):
        file.unlink(missing_ok=True)
