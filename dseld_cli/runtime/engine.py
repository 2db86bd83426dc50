"""Tasks side by side in threads, each with its share of the cores; for work that torch, NumPy or Pillow do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 4
"""Tasks in work at once, at most: more gain little, and each holds memory."""


def workers() -> int:
    """How many tasks are in work at once."""
    return min(torch.get_num_threads(), MOST_WORKERS)


def in_order(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Yield the result of each task, in order; tasks are drawn only a few ahead of the result that is asked for.

    One task a core beats all cores in one task: none waits for another, and where one reads, decodes or writes, others
    compute.
    """
    pending: deque[Future[R]] = deque()
    side_by_side = workers()
    with (
        torch_threads(max(1, torch.get_num_threads() // side_by_side)) as share,
        ThreadPoolExecutor(side_by_side, initializer=torch.set_num_threads, initargs=(share,)) as pool,
    ):
        for task in tasks:
            pending.append(pool.submit(work, task))
            if len(pending) > side_by_side:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@contextmanager
def torch_threads(n: int) -> Iterator[int]:
    """Let torch use n threads an operation, as new threads of ours do, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield n
    finally:
        torch.set_num_threads(before)
