"""Codes of a block of images, by whoever does it: this process, or a worker on another machine.

What all blocks of a run share is a `Coding`. Each process opens its stores once, compares them with the fingerprints
that the run began with, and keeps the encoder for the blocks that follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import __version__, store
from dseld_cli.dictionary.encoding import Means, encoder_over
from dseld_cli.dictionary.inputs import Input
from dseld_cli.dictionary.transform import Seen
from dseld_cli.lca.encoder import Encoder, EncodeResult
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.cluster import require_version

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Coding:
    """What all blocks of one run share.

    Attributes:
        dictionary: the atoms.
        features: of the images.
        gramian: where inner products are looked up, or None.
        params: lambda, tau, steps.
        means: by what images are coded.
        images: how many there are in all.
        batch: how many are coded together, or as many of them as the budget holds.
        energy: whether the energy at every step is kept.
        version: of dseld that began the run.

    """

    dictionary: Input
    features: Input
    gramian: Input | None
    params: LCAParams
    means: Means
    images: int
    batch: int
    energy: bool
    version: str = __version__


@dataclass(frozen=True)
class Block:
    """Consecutive images of a run.

    Attributes:
        coding: what they share with the others.
        number: of the block.
        rows: images, as rows of the features (n,).
        excluded: atoms that each must not use, or None.
        folder: where their codes are set aside.

    """

    coding: Coding
    number: int
    rows: Int64
    excluded: list[Int64] | None
    folder: Path | str


@lru_cache(maxsize=1)
def prepared(coding: Coding) -> tuple[Seen, Encoder]:
    """Open what a run reads: features as the dictionary sees them, an encoder over it.

    Raises:
        UserError: if a store is not what it was, memory is too small, or this is another version of dseld.

    """
    require_version(coding.version)
    dictionary = coding.dictionary.opened(store.DictionaryInfo)
    gramian = coding.gramian.opened(store.GramianInfo) if coding.gramian else None
    seen = Seen.by(dictionary, coding.features.opened(store.FeaturesInfo))
    return seen, encoder_over(dictionary, coding.params, coding.means, coding.images, gramian, coding.batch)


def coded(block: Block) -> store.Aside:
    """Code a block, and set aside what the store keeps of it.

    Raises:
        Diverged: if the recurrence does, naming the images.
        UserError: as `prepared` does.

    """
    seen, encoder = prepared(block.coding)
    features = seen.take(block.rows)
    result = encoder.encode(features, block.excluded)
    names = seen.features.take("source", block.rows).tolist()
    encoder.require_stable(result, features, names, block.excluded)
    return store.set_aside(block.folder, _arrays(result, block.coding.energy))


def _arrays(result: EncodeResult, energy: bool) -> dict[str, store.Array]:
    """Name what the store keeps of a block."""
    report = result.report
    more = {
        "products": report.products,
        "proved": report.proved.astype(np.int8),
        "fired": report.fired.astype(np.int32),
    }
    return vars(result.codes) | more | ({"energy": result.energy.astype(np.float32)} if energy else {})
