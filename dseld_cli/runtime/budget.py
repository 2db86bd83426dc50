"""The memory budget: what of it is left for arrays."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

from dseld_cli.errors import UserError

RUNTIME = 2**30
"""Bytes that Python, torch (a CUDA build: 0.7 GiB) and the allocator's slack take before any array of ours."""


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


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        size = min(size, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return size
