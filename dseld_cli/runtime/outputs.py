"""Files that a command writes: each whole or not at all, and all of one command's together, last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

DRAFT = ".dseld-draft-"
"""How the name of a file begins that is being written."""
LEFT_OVER = 86400
"""Seconds after which nobody writes it any more."""


@contextmanager
def together() -> Iterator[Callable[[Path], Path]]:
    """Name, for each file to be written, a place beside it; in the end all of them change places with the older ones.

    Where a file is a link, what it leads to is replaced. A failure before the end changes nothing. The places are named
    so that nobody else has such a file, another run of the same command neither.

    Raises:
        OSError: if a file cannot be written or renamed.

    """
    written: dict[Path, Path] = {}

    def aside(path: Path) -> Path:
        place = path.resolve()
        make_folder(place.parent)
        _clear(place.parent)
        written[place] = place.with_name(f"{DRAFT}{uuid4().hex}{place.suffix}")  # drawings go by the ending
        return written[place]

    try:
        yield aside
        for draft in written.values():
            sync(draft)
        for place, draft in written.items():
            draft.replace(place)
        for folder in {place.parent for place in written}:
            sync(folder)
    finally:
        for draft in written.values():
            draft.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Delete what runs left that were killed long ago."""
    for draft in folder.glob(f"{DRAFT}*"):
        with suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > LEFT_OVER:
                draft.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, so that they survive a power loss."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync(each.parent)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's entries, survive a power loss."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
