"""Where additions come from: a feature store, or a folder of images whose features are extracted once and kept."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from dseld_cli import paths, store
from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images
from dseld_cli.stages import extract

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
    extract.run(_like(base, name, params), "train", path)
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
        return bool(kept.provenance["images_sha256"] == extract.digest(pictures(name, params)))
    except UserError:
        return True


def _like(base: store.Store, name: str, params: Params) -> Params:
    """Parameters that extract all of a folder as the base was extracted."""
    identity = base.provenance["extractor"]
    size = identity.get("image_size", "default")
    like: dict[str, object] = {"backbone": identity["backbone"], "precision": identity.get("precision", "float32")}
    like |= {"image_size": size if size == "default" else int(size), "splits": ["train"], "limit_per_class": "all"}
    like |= {"weights": "random"} if identity["weights"] == "random" else {}
    data = params.data.model_copy(update={"dataset": name})
    settings = params.extract.model_copy(update=like)
    return params.model_copy(update={"data": data, "extract": settings})
