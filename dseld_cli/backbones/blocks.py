"""Features by the workers of a cluster: block by block, each set aside where it was computed, and read in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dseld_cli import __version__, store
from dseld_cli.backbones.base import Backbone, backbone
from dseld_cli.backbones.extraction import BLOCK, Batch, Blocks, Draft, Work, batches, cut
from dseld_cli.errors import DoesNotFit
from dseld_cli.images.image import Images
from dseld_cli.runtime.cluster import HERE, Engine, require_version
from dseld_cli.runtime.console import track


@dataclass(frozen=True)
class Network:
    """A backbone by what it is made from, so that every worker makes the same; with the identity that it has to have.

    Attributes:
        arguments: of `backbone`.
        identity: of the backbone, as JSON.
        version: of dseld that began the run.

    """

    arguments: tuple[Any, ...]
    identity: str
    version: str = __version__


@dataclass(frozen=True)
class Block:
    """Consecutive images, each by its file or its pixels.

    Attributes:
        number: of the block.
        network: what computes their features.
        work: how.
        raw: what each image is decoded from.
        source: where each came from.
        open: what decodes it.
        folder: where their features are set aside.

    """

    number: int
    network: Network
    work: Work
    raw: list[Any]
    source: list[str]
    open: Callable[[Any], Image.Image]
    folder: Path | str


@lru_cache(maxsize=1)
def made(network: Network) -> Backbone:
    """Make the backbone.

    Raises:
        UserError: if it cannot be made here, or is another one here.

    """
    require_version(network.version)
    found = backbone(*network.arguments)
    if identity(found) != network.identity:
        raise DoesNotFit(f"a worker makes {identity(found)}, this is {network.identity}: give both the same weights")
    return found


def identity(extractor: Backbone) -> str:
    """Write what a backbone is, in one line."""
    return json.dumps(dict(extractor.identity), sort_keys=True)


def extracted(block: Block) -> store.Aside:
    """Compute the features of a block, and set them aside.

    Raises:
        UserError: if an image is broken and not to be skipped, or as `made` does.

    """
    n = len(block.raw)
    images = Images((), np.zeros(n, np.int64), block.source, block.raw.__getitem__, block.open)
    rows = cut(slice(0, n), block.work.batch_size)
    found = list(batches(images, made(block.network), block.work, rows))
    features = [batch.features for batch in found if batch.features is not None]
    broken = {row: why for batch in found for row, why in batch.broken.items()}
    arrays = {"on_white": np.array(sum(batch.on_white for batch in found)), "broken": np.array(json.dumps(broken))}
    return store.set_aside(block.folder, arrays | ({"features": np.concatenate(features)} if features else {}))


def by_workers(does: Engine, arguments: tuple[Any, ...], extractor: Backbone) -> Blocks | None:
    """Let an engine's workers compute features by the backbone of those arguments; None where this process does."""
    if does is HERE:
        return None
    name, weights, *more = arguments
    weights = str(Path(weights).absolute()) if Path(weights).exists() else weights  # workers may be started elsewhere
    return _blocks_by(does, Network((name, weights, *more), identity(extractor)))


def _blocks_by(does: Engine, network: Network) -> Blocks:
    """Compute features by an engine's workers, block by block."""

    def blocks(
        images: Images, extractor: Backbone, work: Work, done: int, what: str, draft: Draft
    ) -> Generator[list[Batch], None, None]:
        folder, parts = does.place(draft.parts_folder, draft.parts_url), list(store.blocks(len(images), BLOCK))

        def block(number: int) -> Block:
            rows = range(parts[number].start, parts[number].stop)
            raw = [does.place(its) if isinstance(its := images.raw(row), Path) else its for row in rows]
            return Block(number, network, work, raw, [images.source[row] for row in rows], images.open, folder)

        waiting: dict[int, store.Aside] = {}
        with closing(does.as_done(extracted, map(block, range(done, len(parts))))) as found:
            steps = track(found, len(parts), f"extracting {what}, blocks of {BLOCK}", done)
            for its, aside in steps:
                waiting[its.number] = aside
                while done in waiting:
                    yield [_read(draft.brought(waiting.pop(done)), parts[done])]
                    done += 1

    return blocks


def _read(aside: store.Here, part: slice) -> Batch:
    """Read the features of a block, and delete the file."""
    with np.load(aside.file, allow_pickle=False) as saved:
        broken = {str(part.start + int(row)): why for row, why in json.loads(str(saved["broken"])).items()}
        features = saved.get("features")
        found = Batch(range(part.start, part.stop), features, broken, int(saved["on_white"]))
    aside.file.unlink()
    return found
