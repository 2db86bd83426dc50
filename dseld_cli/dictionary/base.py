"""The base dictionary: which images are drawn as atoms, in which order, and their unit-norm features on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import normalize
from dseld_cli.dictionary.condensed import BLOCK, PANEL, condensed
from dseld_cli.dictionary.duplicates import distinct, keys_in
from dseld_cli.dictionary.representative import representative
from dseld_cli.dictionary.transform import Seen, Transform, fitted
from dseld_cli.errors import UserError
from dseld_cli.images.sampling import balanced, shuffled
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.progress import Track, quiet

FITTED = 4 * store.spec.ROWS
"""Rows that a map of the features is fitted to at a time: in double precision they take three times their room."""


class Draw(Protocol):
    """How atoms are drawn, as the section `build_dict` of params.yaml has it."""

    @property
    def sampling(self) -> str:
        """At "random", "balanced" over the classes, "representative" of each class, or "condensed" to their borders."""

    @property
    def size(self) -> int | Literal["all"]:
        """How many atoms."""

    @property
    def seed(self) -> int:
        """Seeds the draw."""


def candidates(features: store.Features, duplicates: str) -> NDArray[np.int64]:
    """Rows among which atoms are drawn: all ("keep"), or all but exact copies of earlier ones ("drop")."""
    if duplicates == "keep":
        return np.arange(features.shape("labels")[0])
    return distinct(keys_in(features, "features"))


def choose(
    features: store.Features, rows: NDArray[np.int64], draw: Draw, memory: int, track: Track = quiet
) -> NDArray[np.int64]:
    """Draw M of the rows of features, (M,), in an order of which any prefix is itself such a draw.

    Raises:
        UserError: if there are fewer images than atoms asked for, fewer atoms than classes, or an image that cannot be
            an atom.

    """
    labels, n_classes = features.read("labels"), len(features.info.classes)
    wanted = len(rows) if draw.size == "all" else draw.size
    if wanted > len(rows):
        raise UserError(f"build_dict.size: {wanted} atoms asked for, but there are {len(rows)} images")
    if wanted < n_classes:
        raise UserError(f"build_dict.size: {wanted} atoms cannot cover {n_classes} classes; ask for more")
    return rows[_order(features, labels[rows], rows, draw, memory, track)[:wanted]]


def _order(
    features: store.Features,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    draw: Draw,
    memory: int,
    track: Track,
) -> NDArray[np.int64]:
    if draw.sampling == "random":
        return shuffled(len(rows), draw.seed)
    if draw.sampling == "balanced":
        return balanced(labels, draw.seed)
    source = features.read("source")[rows]

    def unit(some: NDArray[np.int64]) -> NDArray[np.float32]:
        return normalize(features.take("features", rows[some]), source[some])

    n_features = features.shape("features")[1]
    order = representative(unit, labels, draw.seed, _panel(memory, n_features), track)
    if draw.sampling == "representative":
        return order
    room = 4 * len(rows) * n_features + 4 * (BLOCK + PANEL) * (n_features + BLOCK)
    arrays_within(memory, room, f"{len(rows)} images of {n_features} features, which are compared with each other")
    first = condensed(unit(np.arange(len(rows))), labels, draw.seed, track)
    return np.concatenate([first, order[~np.isin(order, first)]])


def fit(
    kind: str, features: store.Features, chosen: NDArray[np.int64], memory: int, track: Track = quiet
) -> Transform | None:
    """Fit the map of params.yaml's build_dict.transform to the images `chosen` (M,), in one pass; None for none.

    Raises:
        UserError: if their features do not vary, or are not finite.

    """
    labels = features.read("labels")[chosen]
    parts = list(store.blocks(len(chosen), min(FITTED, _panel(memory, features.shape("features")[1]))))
    blocks = (
        (features.take("features", chosen[part]), labels[part]) for part in track(parts, len(parts), f"fitting {kind}")
    )
    return fitted(kind, blocks, len(features.info.classes))


def _panel(memory: int, n_features: int) -> int:
    """Rows of features that are in memory at a time."""
    return max(store.spec.ROWS, memory // 4 // (4 * n_features) // store.spec.ROWS * store.spec.ROWS)


def build(
    path: Path,
    features: store.Features,
    chosen: NDArray[np.int64],
    drawn: Mapping[str, Any],
    memory: int,
    transform: Transform | None = None,
) -> NDArray[np.int64]:
    """Commit the base of the images `chosen` (M,); `drawn` says how, for its provenance. Atoms of each class.

    Raises:
        UserError: if features of an image cannot be an atom, or another process builds the base.

    """
    n_features, classes = features.shape("features")[1], features.info.classes
    info = store.BaseInfo(
        inputs=store.fingerprints(features=features),
        classes=classes,
        extractor=features.info.extractor,
        **{**drawn, "transform": drawn["transform"] if transform else None},
        transform_sha256=transform.sha256 if transform else None,
    )
    specs = {"atoms": store.Spec.rows("float32", len(chosen), n_features)}
    source, labels = features.read("source"), features.read("labels")[chosen]
    seen = Seen(features, transform)
    with store.Draft(path, info, specs) as draft:
        rows = store.Rows(draft, "atoms")
        left = chosen[rows.came :]
        for part in store.blocks(len(left), _panel(memory, n_features)):
            rows.add(normalize(seen.take(left[part]), source[left[part]]))
        rows.end()
        for name, array in (transform.arrays if transform else {}).items():
            draft.put(name, array)
        draft.put("labels", labels)
        draft.put("source", source[chosen])
        draft.commit()
    return np.bincount(labels, minlength=len(classes))
