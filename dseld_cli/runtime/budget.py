"""The memory budget: what of it is left for arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import random

from dseld_cli.errors import UserError

RUNTIME = 2**30
"""Bytes that Python, torch (a CUDA build: 0.7 GiB) and the allocator's slack take before any array of ours."""

LOOKED_AT = 8
"""Pages of a file that are looked at, to see whether it is in the page cache."""


def arrays_within(memory: int, needed: int, what: str) -> int:
    """Bytes that a budget leaves for arrays.

    Raises:
        UserError: if they are fewer than `needed`.

    """
    spare = memory - RUNTIME
    if spare < needed:
        least = math.ceil(10 * (RUNTIME + needed) / 2**30) / 10  # never a budget that would be refused again
        raise UserError(f"run.memory: {memory / 2**30:.3g}GiB does not hold {what}; at least {least:.1f}GiB is needed")
    return spare


def free_memory() -> int:
    """Bytes that files may take in the page cache: what the system calls available, within a container's limit."""
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2]
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = [1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])]
    with suppress(OSError, ValueError):
        free.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(free)


def cached(files: Sequence[Path]) -> float:
    """Share of files that the page cache holds, by a few pages of each; 1 where the system does not tell.

    Other pages each time: asking for one makes the system read it.
    """
    held = 0
    with suppress(OSError, AttributeError):
        for file in files:
            with file.open("rb", buffering=0) as opened:
                size = os.fstat(opened.fileno()).st_size
                for _ in range(LOOKED_AT):
                    with suppress(BlockingIOError):  # reading would mean waiting for the disk
                        os.preadv(opened.fileno(), [bytearray(1)], int(size * random()), os.RWF_NOWAIT)
                        held += 1
        return held / max(LOOKED_AT * len(files), 1)
    return 1.0
