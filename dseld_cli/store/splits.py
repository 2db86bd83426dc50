"""Stores of a split, where a project has them: opened, and refused if they are of another split."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from dseld_cli.errors import DoesNotFit
from dseld_cli.store import project as paths
from dseld_cli.store.provenance import CodesInfo, FeaturesInfo
from dseld_cli.store.reader import Codes, Features, Store, open_store, present
from dseld_cli.store.spec import MADE_BY

SplitT = TypeVar("SplitT", FeaturesInfo, CodesInfo)


def features_of(split: str) -> Features:
    """Open the features of a split.

    Raises:
        DoesNotFit: if what is there was extracted from another split.
        UserError: as `open_store` does.

    """
    return _of(split, paths.features(split), FeaturesInfo)


def codes_of(split: str) -> Codes:
    """Open the codes of a split.

    Raises:
        DoesNotFit: if what is there are codes of another split.
        UserError: as `open_store` does.

    """
    return _of(split, paths.codes(split), CodesInfo)


def _of(split: str, path: Path, kind: type[SplitT]) -> Store[SplitT]:
    first = kind.kind if present(paths.features(split)) else FeaturesInfo.kind
    found = open_store(path, kind, None if split == "test" else f"{MADE_BY[first]} --split {split}")
    if found.info.split != split:
        raise DoesNotFit(
            f"{path} has images of the split {found.info.split}: `{MADE_BY[found.kind]} --split {split}` makes it anew"
        )
    return found
