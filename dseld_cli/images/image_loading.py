"""Images to prepared arrays, batch by batch, in worker processes that run ahead of the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dseld_cli.errors import UserError
from dseld_cli.images.image import Images

WORTH_WORKERS = 4096
"""Images below which starting worker processes takes longer than they save."""
MOST_WORKERS = 8

Prepared = NDArray[Any] | str
"""A prepared image, or what is wrong with it: an error that crosses processes as a value stays one line."""


@dataclass(frozen=True)
class Decode(Dataset[Prepared]):
    """What a worker does with what an image is decoded from; it holds no list of images, so that workers stay small."""

    open: Callable[[Any], Image.Image]
    prepare: Callable[[Image.Image], NDArray[Any]]

    def __getitem__(self, raw: Any) -> Prepared:
        """Decode and prepare one image; in worker processes, and in threads."""
        try:
            return self.prepare(self.open(raw))
        except UserError as error:
            return str(error)


def decoded(
    images: Images, prepare: Callable[[Image.Image], NDArray[Any]], batches: Iterable[range], workers: int
) -> Iterator[list[Prepared]]:
    """Yield the prepared images of each batch of rows, in order; `workers` processes (0: this one) decode them."""
    yield from DataLoader(
        Decode(images.open, prepare),
        batch_sampler=_Raws(images, batches),
        num_workers=workers,
        collate_fn=list,
        multiprocessing_context="spawn" if workers else None,  # a fork would copy the locks of threads that are running
    )


def worker_processes(wanted: int | str, n_images: int, device: str) -> int:
    """Return the number of worker processes for "auto" or a number of them.

    A network on the CPU needs the cores that they would take: there, "auto" is none.
    """
    if wanted != "auto":
        return int(wanted)
    return min(MOST_WORKERS, os.cpu_count() or 1) if device != "cpu" and n_images >= WORTH_WORKERS else 0


@dataclass(frozen=True)
class _Raws:
    """What each batch is decoded from, drawn up only when its turn comes."""

    images: Images
    batches: Iterable[range]

    def __iter__(self) -> Iterator[list[Any]]:
        return ([self.images.raw(row) for row in batch] for batch in self.batches)
