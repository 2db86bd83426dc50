"""What this machine keeps of objects that it read or wrote, in a cache that may be deleted at any time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4

SPARE = 2 * 2**30
"""Bytes of the disk that mirrors leave free."""


def folder() -> Path:
    """Where mirrors are: DSELD_CACHE, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dseld"
    return Path(os.environ.get("DSELD_CACHE") or default)


def save(file: Path, data: bytes) -> None:
    """Write a mirror, whole or not at all."""
    make_room()
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{uuid4().hex}")
    try:
        aside.write_bytes(data)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def make_room() -> None:
    """Delete the oldest mirrors of chunks, if the disk has less than `SPARE` left."""
    cache = folder()
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(cache).free > SPARE:
        return
    chunks = (file for file in cache.rglob("*") if "c" in file.relative_to(cache).parts and file.is_file())
    for file in sorted(chunks, key=_time):
        file.unlink(missing_ok=True)
        if shutil.disk_usage(cache).free > 2 * SPARE:
            return


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another process makes room as well
        return 0
