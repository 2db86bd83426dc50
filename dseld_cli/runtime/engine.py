"""Tasks side by side in threads, each with its share of the cores; for work that leaves Python's lock alone."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 4
"""Tasks in work at once, at most, where each holds memory: more gain little."""

_in_force = 0
"""Threads per operation of NumPy's linear algebra, as they were last limited; 0: not at all."""


def cores() -> int:
    """How many cores this process may use: OMP_NUM_THREADS if that is set, else those it may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def processor_has(instructions: str) -> bool:
    """Whether the processor has a set of instructions, such as avx512f, by the name that Linux gives it."""
    try:
        return f" {instructions} " in Path("/proc/cpuinfo").read_text(encoding="utf-8").replace("\n", " ")
    except OSError:
        return False


def workers() -> int:
    """How many tasks that hold memory are in work at once."""
    return min(cores(), MOST_WORKERS)


def in_order(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Yield the result of each task, in order; tasks are drawn only a few ahead of the result that is asked for.

    One task per core beats all cores in one task: none waits for another, and where one reads, decodes or writes,
    others compute.
    """
    return _side_by_side(work, tasks, workers(), max(1, cores() // workers()))


def one_core_each(work: Callable[[T], R], tasks: Iterable[T], most: int) -> Iterator[R]:
    """Do the same with at most so many tasks at once, each on one core.

    For work whose bits are to be the same everywhere: linear algebra sums otherwise where it has more than one thread.
    A single one at once is done without a thread.
    """
    if most == 1:
        return _one_by_one(work, tasks)
    return _side_by_side(work, tasks, max(1, min(cores(), most)), 1)


def _one_by_one(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    with threads_per_operation(1):
        yield from map(work, tasks)


def _side_by_side(work: Callable[[T], R], tasks: Iterable[T], n: int, share: int) -> Iterator[R]:
    pending: deque[Future[R]] = deque()
    with threads_per_operation(share), ThreadPoolExecutor(n, initializer=_share, initargs=(share,)) as pool:
        for task in tasks:
            pending.append(pool.submit(work, task))
            if len(pending) > n:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def on_all_cores(work: Callable[[T], R], tasks: Iterable[T]) -> list[R]:
    """Run many small tasks, each on one core, and return the results in order.

    The main thread waits, where there is more than one task: interrupted within a compiled function, that would say so
    of itself. Any other does what its helpers do, and never waits for one that is not at work: they may all wait so.
    """
    waiting = list(tasks)
    found: list[Any] = [None] * len(waiting)
    left = iter(range(len(waiting)))

    def whatever_is_next() -> None:  # a future for each task would cost more than many a task
        _share(1)
        try:
            for i in left:
                found[i] = work(waiting[i])
        finally:
            deque(left, maxlen=0)  # where one fails, or a person interrupts, nothing more is begun

    most = min(cores(), len(waiting))
    waits = most > 1 and threading.current_thread() is threading.main_thread()
    with threads_per_operation(1):
        helping = [  # each in this context: what NumPy is to ignore here it ignores there
            _helpers(cores()).submit(copy_context().run, whatever_is_next) for _ in range(most if waits else most - 1)
        ]
        try:
            if not waits:
                whatever_is_next()
                helping = [future for future in helping if not future.cancel()]
            for future in helping:
                future.result()
        finally:
            deque(left, maxlen=0)
            wait([future for future in helping if not future.cancel()])
    return found


@cache
def _helpers(n: int) -> ThreadPoolExecutor:
    """Threads that stay: to start one takes as long as many a task, and fresh memory for what it computes."""
    return ThreadPoolExecutor(n, thread_name_prefix="core")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads stay with the parent


def shares(n: int, per_core: int = 1) -> list[slice]:
    """Cut range(n) into so many slices per core, about equal, none empty."""
    count = max(1, min(per_core * cores(), n))
    return [slice(n * i // count, n * (i + 1) // count) for i in range(count)]


@contextmanager
def threads_per_operation(n: int) -> Iterator[int]:
    """Let NumPy's linear algebra, and torch's if it is loaded, use n threads per operation."""
    global _in_force  # as NumPy's libraries have one limit for all threads; to set it takes as long as a small product
    torch, outer = sys.modules.get("torch"), _in_force
    before = torch.get_num_threads() if torch else 0
    with nullcontext() if n == outer else _libraries().limit(limits=n, user_api="blas"):
        _in_force = n
        _share(n)
        try:
            yield n
        finally:
            _in_force = outer
            if torch:
                torch.set_num_threads(before)


@cache
def _libraries() -> Any:
    """Find the linear algebra libraries once: it takes milliseconds."""
    import numpy  # noqa: F401

    return ThreadpoolController()


def _share(n: int) -> None:
    """Limit torch in this thread, if it is loaded: it counts for each thread anew."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(n)
