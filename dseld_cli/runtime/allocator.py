"""Memory that is freed stays with the process for the next array, where the C library is glibc.

Left to itself, glibc gives arrays of some hundred kilobytes and more back to the system as soon as they are freed, and
every page of the next layer's output is then faulted in anew: a third of the processor's time in extraction. In workers
that Dask starts it gives back everything (MALLOC_TRIM_THRESHOLD_=65536): a fifth of the time of coding.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**25
"""Bytes up to which glibc lets arrays come from the heap; it takes no more."""
KEPT = 2**29
"""Bytes at the end of the heap that may lie free."""


@cache
def keep_freed_memory() -> None:
    """Ask for it, once and for the whole process; other C libraries and allocators have no such call."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)
