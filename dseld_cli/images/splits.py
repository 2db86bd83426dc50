"""Which images of a data set belong to train, val and test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images
from dseld_cli.images.sampling import held_out, limited


class Draw(Protocol):
    """What decides a split, as the section `extract` of params.yaml has it."""

    @property
    def splits(self) -> Sequence[str]:
        """Splits that are wanted: if val is among them, train leaves its images out."""

    @property
    def val_share(self) -> float:
        """Share of each training class that val takes."""

    @property
    def test_share(self) -> float:
        """Share of each class that test takes, if the data set is a folder that comes in no splits."""

    @property
    def limit_per_class(self) -> int | Literal["all"]:
        """At most so many images of each class."""

    @property
    def seed(self) -> int:
        """Seeds both draws."""


def images_of(dataset: str, root: Path, split: str, draw: Draw, also: Sequence[str] = ()) -> Images:
    """Images of a split: test as published; train, less those that are drawn from it for val, if val is wanted.

    Test may have the classes `also`, which have joined a dictionary since.

    Raises:
        UserError: if val is asked for and not listed, or is left without images.

    """
    if split == "val" and "val" not in draw.splits:
        raise UserError(
            "split val: add val to extract.splits in params.yaml first, so that train leaves its images out"
        )
    part = "test" if split == "test" else "train"
    found = images(dataset, root, part, draw.test_share, draw.seed, also if split == "test" else ())
    rows = np.arange(len(found))
    if split != "test" and "val" in draw.splits:
        rows = rows[held_out(found.labels, draw.val_share, draw.seed) == (split == "val")]
    if draw.limit_per_class != "all":
        rows = rows[limited(found.labels[rows], draw.limit_per_class, draw.seed)]
    if not len(rows):
        raise UserError(f"extract.val_share: {draw.val_share:g} leaves {split} without images; choose another")
    return found if len(rows) == len(found) else found.select(rows)


def drawn(draw: Draw) -> dict[str, Any]:
    """Say what decides a split, to be kept with what is made of its images."""
    share = draw.val_share if "val" in draw.splits else 0
    return {"limit_per_class": draw.limit_per_class, "seed": draw.seed, "val_share": share}
