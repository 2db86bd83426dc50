"""Blocks of a dictionary's atoms, by whoever makes them: this process, or a worker on another machine.

A block is a function of the stores that atoms come from, and of which image is at which place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import __version__, store
from dseld_cli.dictionary.inputs import Input
from dseld_cli.dictionary.manifest import BASE, Rows, Segment, parts_of
from dseld_cli.dictionary.transform import of
from dseld_cli.runtime.cluster import Engine, require_version


@dataclass(frozen=True)
class Origins:
    """Where atoms come from.

    Attributes:
        base: the base dictionary.
        additions: features of each addition, after its name.
        version: of dseld that began the run.

    """

    base: Input
    additions: tuple[tuple[str, Input], ...]
    version: str = __version__

    @classmethod
    def of(cls, segments: list[Segment], does: Engine) -> Origins:
        """Name the stores of segments so that whoever does a block finds them."""
        base, *additions = segments
        return cls(Input.of(base.origin, does), tuple((its.name, Input.of(its.origin, does)) for its in additions))


@dataclass(frozen=True)
class Block:
    """Consecutive atoms.

    Attributes:
        origins: where they come from.
        number: of the block.
        images: image that each is of, counted over all origins (m,); -1 for a tombstone.
        side: atoms of a whole block.
        folder: where they are set aside.

    """

    origins: Origins
    number: int
    images: Rows
    side: int
    folder: Path | str


@lru_cache(maxsize=1)
def prepared(origins: Origins) -> list[Segment]:
    """Open where atoms come from.

    Raises:
        UserError: if a store is not what it was, or this is another version of dseld.

    """
    require_version(origins.version)
    base = origins.base.opened(store.BaseInfo)
    transform = of(base)
    additions = [(name, its.opened(store.FeaturesInfo)) for name, its in origins.additions]
    return [Segment(BASE, base, transform), *(Segment(name, found, transform) for name, found in additions)]


def made(block: Block) -> store.Aside:
    """Make a block of atoms, and set it aside.

    Raises:
        UserError: as `prepared` does, or if features cannot be atoms.

    """
    atoms = atoms_of(prepared(block.origins), block.images)
    return store.set_chunk_aside(block.folder, atoms, (block.side, atoms.shape[1]))


def atoms_of(segments: list[Segment], images: Rows) -> NDArray[np.float32]:
    """Atoms of images (m,) counted over all segments, (m, N); of -1, zeros."""
    atoms = np.zeros((len(images), segments[0].origin.shape("atoms")[1]), np.float32)
    for segment, here, rows in parts_of(segments, images):
        atoms[here] = segment.atoms(rows)
    return atoms
