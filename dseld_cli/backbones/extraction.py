"""Images through a backbone to a committed store of features; a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.backbones.base import Backbone
from dseld_cli.errors import UserError
from dseld_cli.images.image import Images, printable
from dseld_cli.images.image_loading import Decode, Prepared, decoded, worker_processes
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.runtime.engine import in_order

Draft = store.Draft[store.FeaturesInfo]
Skipped = dict[str, str]
"""Row of a broken image (as text, as JSON has it) to what is wrong with it."""


@dataclass(frozen=True)
class Work:
    """How an extraction goes about it.

    Attributes:
        device: where the network runs: cpu or cuda.
        batch_size: images per forward pass.
        workers: processes that decode, or "auto".
        skip: whether broken images are left out; otherwise they are refused.

    """

    device: str = "cpu"
    batch_size: int = 32
    workers: int | str = "auto"
    skip: bool = False


@dataclass(frozen=True)
class Extracted:
    """What an extraction came to.

    Attributes:
        path: of the store.
        n_images: images that have features now.
        n_classes: classes of the data set.
        n_features: features of each image.
        rate: images per second.
        skipped: what is wrong with each broken image.

    """

    path: Path
    n_images: int
    n_classes: int
    n_features: int
    rate: float
    skipped: list[str]

    def report(self, which: str = "") -> None:
        """Print it; `which` says which images these are."""
        for why in self.skipped:
            warn(f"skipped: {why.rpartition(':')[0]}")
        say(
            f"{self.path}: {self.n_images} images{which} of {self.n_classes} classes, {self.n_features} features each, "
            f"{self.rate:.0f} images/s"
        )


def extract(images: Images, extractor: Backbone, path: Path, facts: Mapping[str, Any], work: Work) -> Extracted:
    """Extract the features of images into a store at `path`, whose provenance says `facts` and what made them.

    Raises:
        UserError: if an image is broken and not to be skipped, features are not finite, or another process extracts
            to the same place.

    """
    with store.locked(path):
        return _extract(images, extractor, path, facts, work)


def _extract(images: Images, extractor: Backbone, path: Path, facts: Mapping[str, Any], work: Work) -> Extracted:
    n = len(images)
    n_features = extractor.features([_first(images, extractor, work.skip)]).shape[1]
    specs = {"features": store.Spec.rows("float32", n, n_features)}
    info = store.FeaturesInfo(
        **facts,
        images_sha256=digest(images),
        batch_size=work.batch_size,
        classes=tuple(images.classes),
        extractor=extractor.identity,
    )
    began = time.monotonic()
    with store.Draft(path, info, specs) as draft:
        rows = store.Rows(draft, "features")
        start = _Progress.of(draft, rows.came)
        skipped = _compute(draft, rows, start, _blocks(images, extractor, work, start.blocks, path.stem))
        _commit(draft, rows, images, skipped)
    already = min(n, start.blocks * store.spec.ROWS)
    rate = (n - already) / (time.monotonic() - began)
    return Extracted(path, n - len(skipped), len(images.classes), n_features, rate, list(skipped.values()))


@dataclass(frozen=True)
class _Progress:
    """How far an extraction came: blocks of images, rows of features that they gave, and images that were broken."""

    blocks: int
    rows: int
    skipped: Skipped

    @classmethod
    def of(cls, draft: Draft, rows: int) -> _Progress:
        """Look where a killed run has to go on, of which so many rows are in the draft for good."""
        noted = [cls(*note) for note in draft.notes]
        return next((one for one in reversed(noted) if one.rows <= rows), cls(0, 0, {}))


def _compute(draft: Draft, rows: store.Rows, start: _Progress, blocks: Iterable[list[_Batch]]) -> Skipped:
    """Write the features of the blocks that are left; what is wrong with the broken images of all."""
    skipped, already = dict(start.skipped), rows.came - start.rows
    for number, batches in enumerate(blocks, start.blocks + 1):
        for batch in batches:
            skipped |= batch.broken
        if found := [batch.features for batch in batches if batch.features is not None]:
            features = np.concatenate(found)
            rows.add(features[already:])
            already = max(0, already - len(features))
        rows.hold()
        draft.note([number, rows.came, skipped])
    return skipped


@dataclass(frozen=True)
class _Batch:
    """Features of the readable images among some rows, None if there are none, and what is wrong with the others."""

    rows: range
    features: NDArray[np.float32] | None
    broken: Skipped


def _blocks(images: Images, extractor: Backbone, work: Work, done: int, what: str) -> Iterator[list[_Batch]]:
    """Blocks that are not on disk yet; batches never cross a block, so that a resumed run has the same ones."""
    n, size = len(images), work.batch_size
    blocks = list(store.blocks(n))[done:]
    rows = [range(i, min(i + size, part.stop)) for part in blocks for i in range(part.start, part.stop, size)]
    batches = track(
        _batches(images, extractor, work, rows),
        n,
        f"extracting {what}",
        done * store.spec.ROWS,
        length=lambda batch: len(batch.rows),
        unit="images",
    )
    for part in blocks:
        yield [next(batches) for _ in range(part.start, part.stop, size)]


def _batches(images: Images, extractor: Backbone, work: Work, rows: list[range]) -> Iterator[_Batch]:
    """Features batch by batch.

    On a CPU each core decodes a batch of its own and runs the network on it; otherwise, or if asked to, processes
    decode ahead of the one network.

    Raises:
        UserError: as soon as an image is broken and not to be skipped.

    """
    decode = Decode(images.open, extractor.prepare)

    def batch(step: tuple[range, list[Prepared]]) -> _Batch:
        found = _batch(*step, extractor, images)
        if found.broken and not work.skip:
            raise _refused(next(iter(found.broken.values())))
        return found

    if (processes := worker_processes(work.workers, sum(map(len, rows)), work.device)) or work.device != "cpu":
        arrays = decoded(images, extractor.prepare, rows, processes)
        return map(batch, zip(rows, arrays, strict=True))
    return in_order(lambda part: batch((part, decode(map(images.raw, part)))), rows)


def _batch(rows: range, prepared: list[Prepared], extractor: Backbone, images: Images) -> _Batch:
    readable = {row: found.array for row, found in zip(rows, prepared, strict=True) if found.array is not None}
    broken = {str(row): printable(found.broken) for row, found in zip(rows, prepared, strict=True) if found.broken}
    if not readable:
        return _Batch(rows, None, broken)
    features = extractor.features(list(readable.values()))
    return _Batch(rows, finite(features, list(readable), images.source), broken)


def _refused(why: str) -> UserError:
    return UserError(f"{why}, or go on without such images: --broken skip")


def finite(features: NDArray[np.float32], rows: list[int], source: list[str]) -> NDArray[np.float32]:
    """Pass features (B, N) of some rows.

    Raises:
        UserError: naming the first image whose features are not finite.

    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(
            f"{source[rows[bad[0]]]} has features that are not finite (beyond float32, or NaN): check what made them"
        )
    return features


def _first(images: Images, extractor: Backbone, skip: bool) -> NDArray[Any]:
    """First image that can be read, prepared."""
    for row in range(len(images)):
        try:
            return extractor.prepare(images.load(row))
        except UserError as error:
            if not skip:
                raise _refused(str(error)) from None
    raise UserError(f"{images.source[0]} and the {len(images) - 1} others are no readable images")


def _commit(draft: Draft, rows: store.Rows, images: Images, skipped: Skipped) -> None:
    """Cut what skipped images leave free at the end, add labels and sources, and commit."""
    kept = np.setdiff1d(np.arange(len(images)), np.array([int(row) for row in skipped], dtype=np.int64))
    source = np.array([printable(name) for name in images.source], dtype=np.dtypes.StringDType())
    rows.end()
    if skipped:
        draft.info = replace(draft.info, skipped=tuple(str(source[int(row)]) for row in skipped))
    draft.put("labels", images.labels[kept])
    draft.put("source", source[kept])
    draft.commit()


def digest(images: Images) -> str:
    """Hash of labels, sources and sizes of files: a run resumes only over the images that it began with."""
    found = hashlib.sha256(images.labels.tobytes())
    for row, name in enumerate(images.source):
        found.update(f"{printable(name)}\0{_size(images.raw(row))}\0".encode())
    return found.hexdigest()


def _size(raw: Any) -> int:
    """Bytes of an image's file; 0 if it has none."""
    return raw.stat().st_size if isinstance(raw, Path) and raw.is_file() else 0
