"""Stores of a split, where a project has them: opened, and refused if they are of another split."""

from __future__ import annotations

from typing import Any

from dseld_cli.errors import DoesNotFit
from dseld_cli.store import project as paths
from dseld_cli.store.provenance import CodesInfo, FeaturesInfo
from dseld_cli.store.reader import Codes, Features, Store, open_store
from dseld_cli.store.spec import MADE_BY


def features_of(split: str) -> Features:
    """Open the features of a split.

    Raises:
        DoesNotFit: if what is there was extracted from another split.
        UserError: as `open_store` does.

    """
    found = open_store(paths.features(split), FeaturesInfo)
    _require(found, split)
    return found


def codes_of(split: str) -> Codes:
    """Open the codes of a split.

    Raises:
        DoesNotFit: if what is there are codes of another split.
        UserError: as `open_store` does.

    """
    found = open_store(paths.codes(split), CodesInfo)
    _require(found, split)
    return found


def _require(found: Store[Any], split: str) -> None:
    if found.info.split != split:
        raise DoesNotFit(
            f"{found.path} has images of the split {found.info.split}: `{MADE_BY[found.kind]} --split {split}` makes "
            "it anew"
        )
