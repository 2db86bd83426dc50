"""Images to prepared arrays, batch by batch, in worker processes that run ahead of the network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from dseld_cli.errors import UserError
from dseld_cli.images.image import ON_WHITE, Images

WORTH_WORKERS = 4096
"""Images below which starting worker processes takes longer than they save."""
MOST_WORKERS = 8
AHEAD = 2
"""Batches that each worker process may be ahead of the network."""


@dataclass(frozen=True)
class Prepared:
    """A prepared image, or what is wrong with it: an error that crosses processes as a value stays one line.

    Attributes:
        array: what a batch is made of; None if the image is broken.
        broken: why.
        on_white: whether transparent pixels were put on white.

    """

    array: NDArray[Any] | None
    broken: str = ""
    on_white: bool = False


@dataclass(frozen=True)
class Decode:
    """What a worker does with what images are decoded from; it holds no list of images, so that workers stay small."""

    open: Callable[[Any], Image.Image]
    prepare: Callable[[Image.Image], NDArray[Any]]

    def __call__(self, raws: Iterable[Any]) -> list[Prepared]:
        """Decode and prepare some images; in worker processes, and in threads."""
        return [self.one(raw) for raw in raws]

    def one(self, raw: Any) -> Prepared:
        """Decode and prepare one image."""
        try:
            image = self.open(raw)
            return Prepared(self.prepare(image), on_white=bool(image.info.get(ON_WHITE)))
        except UserError as error:
            return Prepared(None, str(error))


def decoded(
    images: Images, prepare: Callable[[Image.Image], NDArray[Any]], batches: Iterable[range], workers: int
) -> Iterator[list[Prepared]]:
    """Yield the prepared images of each batch of rows, in order; `workers` processes (0: this one) decode them.

    Raises:
        UserError: if a worker process is killed.

    """
    decode, raws = Decode(images.open, prepare), ([images.raw(row) for row in batch] for batch in batches)
    if not workers:
        yield from map(decode, raws)
        return
    pending: deque[Future[list[Prepared]]] = deque()
    spawn = get_context("spawn")  # a fork would copy the locks of threads that are running
    try:
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            for batch in raws:
                pending.append(pool.submit(decode, batch))
                if len(pending) > AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "a process that decodes images was killed, maybe for its memory: fewer of them, --workers 0"
        ) from None


def worker_processes(wanted: int | str, n_images: int, device: str) -> int:
    """Return the number of worker processes for "auto" or a number of them.

    A network on the CPU needs the cores that they would take: there, "auto" is none.
    """
    if wanted != "auto":
        return int(wanted)
    return min(MOST_WORKERS, os.cpu_count() or 1) if device != "cpu" and n_images >= WORTH_WORKERS else 0
