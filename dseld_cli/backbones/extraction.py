"""Images through a backbone to a committed store of features; a killed run goes on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.backbones.base import Backbone
from dseld_cli.errors import UserError
from dseld_cli.images.contents import digest
from dseld_cli.images.image import MOST_PIXELS, Images, looks_whole, printable
from dseld_cli.images.image_loading import Decode, Prepared, decoded, worker_processes
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.runtime.engine import in_order
from dseld_cli.runtime.text import counted
from dseld_cli.store.disk import require_replaceable
from dseld_cli.store.provenance import as_json

Draft = store.Draft[store.FeaturesInfo]
Skipped = dict[str, str]
"""Row of a broken image (as text, as JSON has it) to what is wrong with it."""
BLOCK = 256
"""Images after which a kill loses nothing."""
NORMS = (1e-15, 1e15)
"""Lengths of feature vectors, but for 0, whose squares float32 holds."""
NAMED = 3
"""Broken images that are named, of many."""


@dataclass(frozen=True)
class Work:
    """How an extraction goes about it.

    Attributes:
        device: where the network runs: cpu or cuda.
        batch_size: images per forward pass.
        workers: processes that decode, or "auto".
        skip: whether broken images are left out; otherwise they are refused.
        memory: budget, in bytes.

    """

    device: str = "cpu"
    batch_size: int = 32
    workers: int | str = "auto"
    skip: bool = False
    memory: int = 2**32


@dataclass(frozen=True)
class Extracted:
    """What an extraction came to.

    Attributes:
        path: of the store.
        n_images: images that have features now.
        n_classes: classes of the data set.
        n_features: features of each image.
        rate: images per second; None if all was there already.
        skipped: what is wrong with each broken image.
        ignored: files that are known to be no images.
        on_white: images whose transparent pixels were put on white.

    """

    path: Path
    n_images: int
    n_classes: int
    n_features: int
    rate: float | None
    skipped: list[str]
    ignored: tuple[str, ...] = ()
    on_white: int = 0

    def report(self, which: str = "") -> None:
        """Print it; `which` says which images these are."""
        for why in self.skipped:
            warn(f"skipped: {why.rpartition(':')[0]}")
        if self.ignored:
            more = ", ..." if len(self.ignored) > NAMED else ""
            warn(f"{counted(len(self.ignored), 'file')} left out as no image: {', '.join(self.ignored[:NAMED])}{more}")
        if self.on_white:
            warn(f"{counted(self.on_white, 'image')} with transparent pixels, which were put on white")
        rate = "up to date" if self.rate is None else f"{self.rate:.0f} images/s"
        say(
            f"{self.path}: {counted(self.n_images, 'image')}{which} of {counted(self.n_classes, 'class')}, "
            f"{self.n_features} features each, "
            f"{rate}"
        )


@dataclass(frozen=True)
class Batch:
    """Features of the readable images among some rows, None if there are none, and what is wrong with the others."""

    rows: range
    features: NDArray[np.float32] | None
    broken: Skipped
    on_white: int


Blocks = Callable[[Images, Backbone, Work, int, str, Draft], Generator[list[Batch], None, None]]
"""Computes features block by block, in order: of images, by a backbone, from a block on, for a store of a name."""


def require_whole(splits: Iterable[Images], memory: int) -> None:
    """Look at every image file of some splits, before hours are spent on the first.

    Raises:
        UserError: naming the first few of those that are broken.

    """
    files = [file for images in splits for file in _files(images.within(memory))]
    broken = [why for why in track(in_order(_look, files), len(files), "looking at images") if why]
    if len(broken) == 1:
        raise _refused(broken[0])
    if broken:
        named = "; ".join(
            why.rpartition(": ")[0].replace(" is not a readable image", "")[-140:] for why in broken[:NAMED]
        )
        more = "; ..." if len(broken) > NAMED else ""
        raise _refused(f"{len(broken)} files are not readable images: {named}{more}: mend or remove them")


def _files(images: Images) -> Iterator[tuple[Path, int]]:
    """Files of images, and the most pixels that each may have."""
    limit = getattr(images.open, "keywords", {}).get("most_pixels", MOST_PIXELS)
    return ((raw, limit) for row in range(len(images)) if isinstance(raw := images.raw(row), Path))


def _look(file: tuple[Path, int]) -> str | None:
    try:
        looks_whole(*file)
    except UserError as error:
        return printable(str(error))
    return None


def extract(
    images: Images, extractor: Backbone, path: Path, facts: Mapping[str, Any], work: Work, blocks: Blocks | None = None
) -> Extracted:
    """Extract the features of images into a store at `path`, whose provenance says `facts` and what made them.

    A store that was extracted so from images of the same content is left as it is. `blocks` computes features
    elsewhere than here.

    Raises:
        UserError: if an image is broken and not to be skipped, features make no sense, or another process extracts to
            the same place.

    """
    with store.locked(path):
        require_replaceable(path, store.FeaturesInfo.kind)
        contents = facts.get("contents_sha256") or digest(images, path.with_suffix(".seen.json"), track)
        info = store.FeaturesInfo(
            **{**facts, "contents_sha256": contents},
            batch_size=work.batch_size,
            classes=tuple(images.classes),
            extractor=extractor.identity,
        )
        return _kept(path, info, images) or _extract(
            images.within(work.memory), extractor, path, info, work, blocks or _blocks
        )


def _kept(path: Path, info: store.FeaturesInfo, images: Images) -> Extracted | None:
    """Return what is there already, if it is what is wanted, to the last chunk."""
    kept = store.reusable(path, store.FeaturesInfo)
    if kept is None or as_json(replace(kept.info, skipped=None)) != as_json(info):
        return None
    if not all(kept.intact(*chunk) for chunk in kept.all_chunks()):
        warn(f"{path} is damaged: all of it is made anew")
        return None
    store.tidy(path)
    n, n_features = kept.shape("features")
    skipped = [f"{name} is not a readable image:" for name in kept.info.skipped or ()]
    return Extracted(path, n, len(info.classes), n_features, None, skipped, images.ignored)


def _extract(
    images: Images, extractor: Backbone, path: Path, info: store.FeaturesInfo, work: Work, blocks: Blocks
) -> Extracted:
    n = len(images)
    n_features = extractor.features([_first(images, extractor, work.skip)]).shape[1]
    specs = {"features": store.Spec.rows("float32", n, n_features)}
    began = time.monotonic()
    with store.Draft(path, info, specs) as draft:
        rows = store.Rows(draft, "features")
        start = _Progress.of(draft, rows.came)
        with closing(blocks(images, extractor, work, start.blocks, path.stem, draft)) as found:
            done = _compute(draft, rows, start, found)
        _commit(draft, rows, images, done.skipped)
    rate = (n - min(n, start.blocks * BLOCK)) / (time.monotonic() - began)
    skipped = list(done.skipped.values())
    n_classes = len(images.classes)
    return Extracted(path, n - len(skipped), n_classes, n_features, rate, skipped, images.ignored, done.on_white)


@dataclass(frozen=True)
class _Progress:
    """How far an extraction came.

    Attributes:
        blocks: of images.
        rows: of features that they gave.
        skipped: images that were broken.
        on_white: images that were put on white.

    """

    blocks: int = 0
    rows: int = 0
    skipped: Skipped = field(default_factory=dict)
    on_white: int = 0

    @classmethod
    def of(cls, draft: Draft, rows: int) -> _Progress:
        """Look where a killed run has to go on, of which so many rows are in the draft for good."""
        noted = [cls(*note) for note in draft.notes]
        return next((one for one in reversed(noted) if one.rows <= rows), cls())


def _compute(draft: Draft, rows: store.Rows, start: _Progress, blocks: Iterable[list[Batch]]) -> _Progress:
    """Write the features of the blocks that are left."""
    done, already = start, rows.came - start.rows
    for number, batches in enumerate(blocks, start.blocks + 1):
        skipped = dict(done.skipped)
        for batch in batches:
            skipped |= batch.broken
        if found := [batch.features for batch in batches if batch.features is not None]:
            features = np.concatenate(found)
            rows.add(features[already:])
            already = max(0, already - len(features))
        rows.hold()
        done = _Progress(number, rows.came, skipped, done.on_white + sum(batch.on_white for batch in batches))
        draft.note(list(astuple(done)))
    return done


def _blocks(
    images: Images, extractor: Backbone, work: Work, done: int, what: str, _: Draft
) -> Generator[list[Batch], None, None]:
    """Blocks that are not on disk yet; batches never cross a block, so that a resumed run has the same ones."""
    n, size = len(images), work.batch_size
    blocks = list(store.blocks(n, BLOCK))[done:]
    found = track(
        batches(images, extractor, work, [rows for part in blocks for rows in cut(part, size)]),
        n,
        f"extracting {what}",
        done * BLOCK,
        length=lambda batch: len(batch.rows),
        unit="images",
    )
    for part in blocks:
        yield [next(found) for _ in cut(part, size)]


def cut(part: slice, size: int) -> list[range]:
    """Rows of each batch of a block."""
    return [range(i, min(i + size, part.stop)) for i in range(part.start, part.stop, size)]


def batches(images: Images, extractor: Backbone, work: Work, rows: list[range]) -> Iterator[Batch]:
    """Features batch by batch.

    On a CPU each core decodes a batch of its own and runs the network on it; otherwise, or if asked to, processes
    decode ahead of the one network.

    Raises:
        UserError: as soon as an image is broken and not to be skipped.

    """
    decode = Decode(images.open, extractor.prepare)

    def batch(step: tuple[range, list[Prepared]]) -> Batch:
        found = _batch(*step, extractor, images)
        if found.broken and not work.skip:
            raise _refused(next(iter(found.broken.values())))
        return found

    if (processes := worker_processes(work.workers, sum(map(len, rows)), work.device)) or work.device != "cpu":
        arrays = decoded(images, extractor.prepare, rows, processes)
        return map(batch, zip(rows, arrays, strict=True))
    return in_order(lambda part: batch((part, decode(map(images.raw, part)))), rows)


def _batch(rows: range, prepared: list[Prepared], extractor: Backbone, images: Images) -> Batch:
    readable = {row: found.array for row, found in zip(rows, prepared, strict=True) if found.array is not None}
    broken = {str(row): printable(found.broken) for row, found in zip(rows, prepared, strict=True) if found.broken}
    on_white = sum(found.on_white for found in prepared)
    if not readable:
        return Batch(rows, None, broken, on_white)
    features = extractor.features(list(readable.values()))
    return Batch(rows, sensible(features, list(readable), images.source), broken, on_white)


def _refused(why: str) -> UserError:
    return UserError(f"{why}, or go on without such images: extract.broken: skip (--broken skip)")


def sensible(features: NDArray[np.float32], rows: Sequence[int], source: Sequence[str]) -> NDArray[np.float32]:
    """Pass features (B, N) of some rows.

    Raises:
        UserError: naming the first image whose features are not finite, or of a length beyond what float32 squares.

    """
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))
    if len(bad := np.flatnonzero(~np.isfinite(lengths))):
        raise UserError(
            f"{source[rows[bad[0]]]} has features that are not finite (beyond float32, or NaN): check what made them"
        )
    low, high = NORMS
    if len(bad := np.flatnonzero((lengths > high) | ((lengths < low) & (lengths > 0)))):
        raise UserError(
            f"{source[rows[bad[0]]]} has features of length {lengths[bad[0]]:.3g}, with which float32 cannot compute: "
            "scale those of all images alike, to lengths around 1"
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
