"""Where additions come from: a feature store, or a folder of images whose features are extracted once and kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dseld_cli import store
from dseld_cli.backbones.base import arguments_of, restored
from dseld_cli.backbones.blocks import by_workers
from dseld_cli.backbones.extraction import Work, extract, require_whole
from dseld_cli.errors import UserError
from dseld_cli.images.contents import digest
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images
from dseld_cli.runtime.cluster import HERE, Engine
from dseld_cli.runtime.console import track
from dseld_cli.runtime.home import expanded
from dseld_cli.store import project as paths

FOLDER = "folder:"
LONGEST_NAME = 160
"""Characters of a folder's path that the name of its store has at most: file systems allow 255, endings included."""


class Extracting(Protocol):
    """How features of folders are extracted, as the section `extract` of params.yaml has it."""

    @property
    def weights(self) -> str:
        """Where the network's weights come from: "default" or a file."""

    @property
    def batch_size(self) -> int:
        """Images per forward pass."""

    @property
    def workers(self) -> int | str:
        """Processes that decode, or "auto"."""

    @property
    def broken(self) -> str:
        """What a broken image does: "fail" or "skip"."""


@dataclass(frozen=True)
class Sources:
    """Opens additions by the names that params.yaml lists.

    Attributes:
        how: how features of folders are extracted.
        device: where the network runs: cpu or cuda.
        memory: budget in bytes of extracting.
        extractor: identity of what made the base's features; those of folders are made alike.
        does: who extracts them.

    """

    how: Extracting
    device: str
    memory: int
    extractor: Mapping[str, Any]
    does: Engine = HERE

    def features(self, name: str) -> store.Features:
        """Features of an addition; of a folder whose content changed, extracted anew.

        Raises:
            UserError: if there is no such store or folder, or its images cannot be extracted.

        """
        require_named(name)
        if not name.startswith(FOLDER):
            return store.open_store(Path(name), store.FeaturesInfo)
        path = extracted(name)
        kept = store.reusable(path, store.FeaturesInfo)
        if kept and kept.info.extractor == self.extractor and not _folder(name).is_dir():
            return kept  # as in a clone that has the features alone
        found = pictures(name)
        contents = digest(found, path.with_suffix(".seen.json"), track)
        known = kept.info.contents_sha256 if kept else None
        if kept and kept.info.extractor == self.extractor and known == contents:
            return kept
        self._extract(name, found, path, contents)
        return store.open_store(path, store.FeaturesInfo)

    def _extract(self, name: str, found: Images, path: Path, contents: str) -> None:
        facts = {"dataset": name, "split": "train", "limit_per_class": "all", "seed": 0, "val_share": 0}
        work = Work(self.device, self.how.batch_size, self.how.workers, self.how.broken == "skip", self.memory)
        if not work.skip:
            require_whole([found], work.memory)
        extractor = restored(self.extractor, self.how.weights, self.device)
        blocks = by_workers(self.does, arguments_of(self.extractor, self.how.weights, self.device), extractor)
        extract(found, extractor, path, {**facts, "contents_sha256": contents}, work, blocks).report()


def require_named(source: str) -> None:
    """Refuse what names no source, or a folder of images without saying that it is one.

    Raises:
        UserError: saying how sources are named.

    """
    path = source.removeprefix(FOLDER)
    if path.strip() in ("", "."):
        raise UserError("name what is to be added: folder:PATH for a folder of images, or a store of features")
    place = Path(path)
    if path == source and place.is_dir() and place.suffix != ".zarr" and not (place / "zarr.json").exists():
        raise UserError(f"{path} is a folder of images, or of something else: a folder of images is folder:{path}")


def added_stores(additions: Sequence[str]) -> list[Path]:
    """Feature stores among additions, as params.yaml lists them; features of folders lie in data/."""
    return [Path(name) for name in additions if not name.startswith(FOLDER)]


def listed(source: str) -> str:
    """Name of a source as params.yaml lists it: the same for ./x.zarr/ and x.zarr."""
    folder = FOLDER if source.startswith(FOLDER) else ""
    return folder + str(Path(source.removeprefix(folder)))


def pictures(name: str) -> Images:
    """Images of a folder, PATH/train/<class>/* or PATH/<class>/*.

    Raises:
        UserError: if there is no such folder, or it is not laid out so.

    """
    return images(name, Path(), "train")


def classes_of(name: str) -> list[str]:
    """Classes of an addition as they are now, nothing extracted.

    Raises:
        UserError: if there is no such store or folder.

    """
    if name.startswith(FOLDER):
        return list(pictures(name).classes)
    return list(store.open_store(Path(name), store.FeaturesInfo).info.classes)


def extracted(name: str) -> Path:
    """Where features of a folder are kept: of a long path, only its end is in the name, and the digest of it all."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removeprefix(FOLDER))[-LONGEST_NAME:].strip("-.")
    return paths.ADDED / f"{readable}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}.zarr"


def _folder(name: str) -> Path:
    return expanded(Path(name.removeprefix(FOLDER)))
