"""Where additions come from: a feature store, or a folder of images whose features are extracted once and kept."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from dseld_cli import paths, store
from dseld_cli.backbones.base import restored
from dseld_cli.backbones.extraction import Work, digest, extract
from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images

FOLDER = "folder:"


def addition(name: str, params: Params, base: store.Store) -> store.Store:
    """Features of an addition as params.yaml lists it: of a folder, extracted as the base's were, if need be.

    Raises:
        UserError: if there is no such store or folder.

    """
    if not name.startswith(FOLDER):
        return store.open_store(Path(name), "features")
    path = extracted(name)
    kept = store.previous(path, "features")
    if kept and kept.provenance["extractor"] == base.provenance["extractor"] and _same_images(kept, name, params):
        return kept
    images, identity = pictures(name, params), base.provenance["extractor"]
    extractor = restored(identity, params.extract.weights, params.run.device)
    settings = params.extract
    work = Work(params.run.device, settings.batch_size, settings.workers, settings.broken == "skip")
    facts = {"dataset": name, "split": "train", "limit_per_class": "all", "seed": settings.seed, "val_share": 0}
    extract(images, extractor, path, facts, work).report()
    return store.open_store(path, "features")


def listed(source: str) -> str:
    """Name of a source as params.yaml lists it: the same for ./x.zarr/ and x.zarr."""
    folder = FOLDER if source.startswith(FOLDER) else ""
    return folder + str(Path(source.removeprefix(folder)))


def pictures(name: str, params: Params) -> Images:
    """Images of a folder.

    Raises:
        UserError: if there is no such folder.

    """
    return images(name, Path(params.data.root), "train")


def extracted(name: str) -> Path:
    """Where features of a folder are kept."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removeprefix(FOLDER)).strip("-.")
    return paths.ADDED / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.zarr"


def _same_images(kept: store.Store, name: str, params: Params) -> bool:
    """Whether a folder still has the images that were extracted, by name and size; true if it is there no more."""
    try:
        return bool(kept.provenance["images_sha256"] == digest(pictures(name, params)))
    except UserError:
        return True
