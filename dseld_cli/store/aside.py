"""Files that any process writes beside a draft, and that only the draft's own process takes into it.

Each is whole, under a name that no other has: of two workers that do the same block, neither disturbs the other, and
one that comes late, when the draft is in force or gone, finds no folder to write to.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from uuid import uuid4

import numpy as np

from dseld_cli.store import chunks, codec, objects
from dseld_cli.store.chunks import Array

ENDING = ".aside"


@dataclass(frozen=True)
class Here:
    """A file that was written on this machine, or where it sees it; digest of its bytes, or of a chunk's values."""

    file: Path
    digest: str


@dataclass(frozen=True)
class There:
    """An object that was written; digest of its bytes, or of a chunk's values."""

    url: str
    digest: str


Aside = Here | There


def save(file: Path, data: Iterable[memoryview | bytes]) -> None:
    """Write a file that is not there yet."""
    with file.open("xb") as opened:
        opened.writelines(data)
        opened.flush()
        if hasattr(os, "posix_fadvise"):  # lets the disk begin while others compute, so that `commit` waits less
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def set_aside(folder: Path | str, arrays: Mapping[str, Array]) -> Aside:
    """Write arrays of any size into a folder that is there, or below a URL.

    Raises:
        FileNotFoundError: if the folder is not there any more.

    """
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    name, digest = f"{uuid4().hex}{ENDING}", chunks.digest_of(data.getbuffer())
    if isinstance(folder, str):
        objects.at(folder).put(name, data.getvalue())
        return There(f"{folder}/{name}", digest)
    save(folder / name, [data.getbuffer()])
    return Here(folder / name, digest)


def brought(part: Aside, folder: Path) -> Here:
    """Bring what was set aside to a folder of this machine, if it is not there.

    Raises:
        OSError: if it is not what was set aside.

    """
    if isinstance(part, Here):
        return part
    where, _, name = part.url.rpartition("/")
    data = objects.at(where).read(name)
    if chunks.digest_of(data) != part.digest:
        raise OSError(EIO, "is not what was written there", part.url)
    save(folder / name, [data])
    objects.at(where).remove([name])
    return Here(folder / name, part.digest)


def set_chunk_aside(folder: Path | str, content: Array, sides: tuple[int, ...]) -> Aside:
    """Write one chunk of an array, as it is to lie in the store, into a folder that is there, or below a URL.

    Raises:
        FileNotFoundError: if the folder is not there any more.
        UserError: if it has numbers that are not finite.

    """
    chunks.require_finite(content)
    name, digest = f"{uuid4().hex}{ENDING}", chunks.digest(content)
    if isinstance(folder, str):
        objects.at(folder).put(name, b"".join(codec.encode(content, sides)))
        return There(f"{folder}/{name}", digest)
    save(folder / name, codec.encode(content, sides))
    return Here(folder / name, digest)


def drop(folder: Path) -> None:
    """Delete what a killed run set aside and did not take over, if there is such a folder."""
    for file in folder.glob(f"*{ENDING}"):
        file.unlink(missing_ok=True)
