"""Compiled kernels: numba, with its cache on disk where there is a place for one, and without where there is none.

No kernel runs in parallel by itself, which would cost most of the compilation: each leaves Python's lock alone, and
`runtime.engine` runs it in several threads on slices of the work.

To numba float() of a float32 is that float32, and a product of two is rounded to one. What is to be computed in float64
goes through np.float64(), and no kernel calls float().
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])

PACKAGE = Path(__file__).parents[1]
ROOMS = ("lca", "deploy")
"""Folders of the package that have kernels."""

FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be reassociated and contracted, which the bounds of `certificate` allow for; NaN and infinity keep their
meaning, so that a comparison with NaN never proves anything."""


def compiled(function: F, liberties: set[str] = FAST) -> F:
    """Compile a function when it is first called; into those that call it, it is copied.

    Else what a call leads to depends on what else is loaded, and so do the last bits of sums: a first run, which
    compiles, would have others than the next.
    """
    try:
        kernel = njit(function, nogil=True, fastmath=liberties, forceinline=True, cache=has_place_for_cache())
    except RuntimeError:  # numba found no place that it can write to
        kernel = njit(function, nogil=True, fastmath=liberties, forceinline=True)
    if kernel.stats.cache_path:
        drop_stale(Path(kernel.stats.cache_path))
    return cast(F, kernel)


def compiled_as_written(function: F) -> F:
    """Compile a function whose sums are taken in the order in which they stand there.

    Of a loop over entries, the last few are compiled apart from the others. Where sums may be reassociated an entry's
    bits depend on where it stands: so they did on processors without AVX2.
    """
    return compiled(function, {"contract"})


@cache
def drop_stale(folder: Path) -> None:
    """Delete the kernels cached in a folder that are older than any source of kernels.

    numba looks whether a kernel's own file has changed, and not at the files of those that it calls: in a clone that is
    installed, `git pull` would leave them as they were.
    """
    with suppress(OSError):
        sources = [file.stat().st_mtime for room in ROOMS for file in (PACKAGE / room).glob("*.py")]
        changed = max((when for when in sources if when <= time.time()), default=0.0)  # a clock may have been wrong
        for index in folder.glob("*.nbi"):
            if index.stat().st_mtime < changed:
                index.unlink()


def has_place_for_cache() -> bool:
    """Whether numba may look for a place: without a home it would make a folder named "~" where it happens to be."""
    package = Path(__file__).parent
    beside = package / "__pycache__"
    writable = os.access(beside if beside.exists() else package, os.W_OK)
    return bool(os.environ.get("NUMBA_CACHE_DIR")) or writable or has_home()


def has_home() -> bool:
    """Whether there is a home folder to keep a cache in."""
    try:
        return Path.home().is_absolute()
    except RuntimeError:
        return False
