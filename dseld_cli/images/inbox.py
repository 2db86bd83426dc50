"""A folder into which images come while it is watched: each is answered once it is written, and again when it changes.

No one says when a file is whole. One that can be read and has not changed between two looks is taken to be; one that
cannot be read may be a copy that pauses, and is given up only when it has not changed for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Generic, TypeVar

from dseld_cli.errors import UserError
from dseld_cli.images.image_folder import files_below

T = TypeVar("T")
POLL = 0.1
"""Seconds between two looks at the folder."""
PATIENCE = 2.0
"""Seconds that a file has to stay as it is before it is said to be unreadable."""
UNFINISHED = {".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".tmp"}
"""Endings that programs give files that they are still writing."""

Stamp = tuple[int, int, int]
"""Size, time of the last change, inode: a file of another stamp is another file."""


@dataclass
class _Seen:
    """A file that was there at the last look.

    Attributes:
        since: when it was first seen with this stamp.
        tried: whether it has been read.
        done: whether it has been answered.

    """

    stamp: Stamp
    since: float
    tried: bool = False
    done: bool = False


class Inbox(Generic[T]):
    """What has been seen of a folder.

    Args:
        folder: with all that is below it.
        answer: what is to be done with a file; raises UserError for one that cannot be read.

    """

    def __init__(self, folder: Path, answer: Callable[[Path], T]) -> None:
        self.folder = folder
        self.answer = answer
        self._seen: dict[Path, _Seen] = {}

    def answers(self) -> Iterator[tuple[Path, T | UserError]]:
        """Answer files that are there, then those that come or change; it does not end.

        Raises:
            UserError: as `look` does.

        """
        while True:
            yield from self.look(time.monotonic())
            time.sleep(POLL)

    def look(self, now: float) -> Iterator[tuple[Path, T | UserError]]:
        """Look at the folder once, and answer each file that it is time for: by the error if there is no better answer.

        Raises:
            UserError: if the folder is gone.

        """
        there = _stamps(self.folder)
        if there is None:
            return
        self._seen = {file: _again(self._seen.get(file), stamp, now) for file, stamp in there.items()}
        for file, it in self._seen.items():
            patient = now - it.since >= PATIENCE
            if it.done or it.since == now or (it.tried and not patient):
                continue
            it.tried = True
            try:
                found: T | UserError = self.answer(file)
            except UserError as error:
                if not patient:
                    continue
                found = error
            it.done = True
            yield file, found


def _again(before: _Seen | None, stamp: Stamp, now: float) -> _Seen:
    return before if before and before.stamp == stamp else _Seen(stamp, now)


def _stamps(folder: Path) -> dict[Path, Stamp] | None:
    """Stamps of what may be images below a folder; None if one in it went while it was read: then look again.

    Empty files are left out: programs make them to keep a name for what they are about to write.
    """
    try:
        files = files_below(folder, into_itself=True)
    except (FileNotFoundError, NotADirectoryError):
        if not folder.is_dir():
            raise UserError(f"--watch {folder}: the folder is gone") from None
        return None
    found = {file: _stamp(file) for file in files if file.suffix.lower() not in UNFINISHED}
    return {file: stamp for file, stamp in found.items() if stamp}


def _stamp(file: Path) -> Stamp | None:
    """None of what is empty, no regular file, or gone."""
    try:
        its = file.stat()
    except OSError:  # moved away just now, or a link that leads nowhere
        return None
    return (its.st_size, its.st_mtime_ns, its.st_ino) if S_ISREG(its.st_mode) and its.st_size else None
