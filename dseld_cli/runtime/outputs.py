"""Files that a command writes: each whole or not at all, and all of one command's together, last."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

DRAFTS = ".dseld-drafts-"
"""How the name of a folder begins that has what is being written, and that a run keeps locked while it lives."""


@contextmanager
def together() -> Iterator[Callable[[Path], Path]]:
    """Name, for each file to be written, a place to write it; in the end all of them take the places of the older ones.

    Where a file is a link, what it leads to is replaced. A failure before the end changes nothing. Places are in a
    folder of this run's own beside the file, so that nobody else's file is one, nor another run's of the same command.

    Raises:
        OSError: if a file cannot be written or renamed.

    """
    written: dict[Path, Path] = {}
    with ExitStack() as stack:
        drafts: dict[Path, Path] = {}

        def aside(path: Path) -> Path:
            place = path.resolve()
            make_folder(place.parent)
            if place.parent not in drafts:
                drafts[place.parent] = stack.enter_context(_drafts(place.parent))
            written[place] = drafts[place.parent] / place.name
            return written[place]

        yield aside
        for draft in written.values():
            sync(draft)
        for place, draft in written.items():
            draft.replace(place)
        for folder in {place.parent for place in written}:
            sync(folder)


@contextmanager
def _drafts(parent: Path) -> Iterator[Path]:
    """Make a folder for drafts, and hold its lock; those that killed runs left are deleted first."""
    for left in parent.glob(f"{DRAFTS}*"):
        if (handle := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    handle, folder = None, parent
    while handle is None:
        folder = parent / f"{DRAFTS}{uuid4().hex}"
        folder.mkdir()
        handle = _locked(folder)
        if folder.exists():  # else another run took it for one that was left
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """Open a folder and lock it; None if another run has it, or it is gone, or nothing can be locked here."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        except OSError:
            os.close(handle)
            raise
        os.close(handle)
    return None


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
