"""Whether images are still the same: by what is in their files, never by when these were written.

The SHA-256 of each file's content is kept beside its size, times and inode, so that a file that has not been touched is
not read again. The times are no evidence that it changed (`git checkout` sets them anew), only a reason to look.
"""

from __future__ import annotations

import hashlib
import json
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dseld_cli.images.image import Images, printable
from dseld_cli.runtime.engine import in_order
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.progress import Track, quiet

Stamp = list[int]
"""Size, modification and change time in nanoseconds, and inode of a file: no write leaves them all as they were."""
Known = dict[str, tuple[Stamp, str]]
"""Stamp of a file when it was last read, and the hash of its content."""
RACY = 2 * 10**9
"""Nanoseconds within which a file system may give two writes the same time: a file as young as that is read again."""


def digest(images: Images, memory: Path, track: Track = quiet) -> str:
    """Hash of labels, names and contents of images; `memory` is a file that keeps what is known of theirs.

    Raises:
        OSError: if a file cannot be read.

    """
    known, now = _recalled(memory), time.time_ns()
    files = [raw for row in range(len(images)) if isinstance(raw := images.raw(row), Path)]
    contents = track(in_order(lambda file: _seen(file, known), files), len(files), "comparing images")
    seen = dict(zip(map(str, files), contents, strict=True))
    found = hashlib.sha256(images.labels.tobytes())
    for row, name in enumerate(images.source):
        raw = images.raw(row)
        content = seen[str(raw)][1] if isinstance(raw, Path) else hashlib.sha256(raw.tobytes()).hexdigest()
        found.update(f"{printable(name)}\0{content}\0".encode())
    _remember(memory, {name: entry for name, entry in seen.items() if now - max(entry[0][1:3]) > RACY}, known)
    return found.hexdigest()


def _seen(file: Path, known: Known) -> tuple[Stamp, str]:
    try:
        found = file.stat()
    except OSError as error:  # a link that leads nowhere
        return [0, 0, 0, 0], f"no file: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        return [0, 0, 0, 0], "no regular file"
    stamp = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    before = known.get(str(file))
    if before and list(before[0]) == stamp:
        return stamp, before[1]
    with file.open("rb") as content:
        return stamp, hashlib.file_digest(content, "sha256").hexdigest()


def _recalled(memory: Path) -> Known:
    """Read what is known; nothing, if it is not as we write it."""
    try:
        found: Any = json.loads(memory.read_text(encoding="utf-8"))
        return {str(name): ([*map(int, stamp)], str(sha256)) for name, (stamp, sha256) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(memory: Path, seen: Known, known: Known) -> None:
    """Write what is known now; a folder that does not let us costs the next run some reading, no more."""
    if seen != known:
        with suppress(OSError), together() as aside:
            aside(memory).write_text(json.dumps(seen), encoding="utf-8")
