"""`dseld build-dict`: features of a split to the base dictionary, in shuffled order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli import paths, store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.checks import normalize
from dseld_cli.dictionary.duplicates import distinct, keys_of
from dseld_cli.errors import UserError
from dseld_cli.images.sampling import balanced, shuffled
from dseld_cli.runtime.console import say, warn


def run(params: Params) -> None:
    """Draw images, normalise their features and keep them as the base dictionary.

    Raises:
        UserError: if there are fewer images than atoms asked for, or fewer atoms than classes.

    """
    settings = params.build_dict
    features = store.open_store(paths.features(settings.split), "features")
    n_features = features.shape("features")[1]
    chosen = choose(features, params)
    classes = features.provenance["classes"]
    if len(chosen) < len(classes):
        raise UserError(f"build_dict.size: {len(chosen)} atoms cannot cover {len(classes)} classes; ask for more")
    facts = {"classes": classes, "extractor": features.provenance["extractor"], **settings.model_dump()}
    specs = {"atoms": store.Spec.rows("float32", len(chosen), n_features)}
    source, labels = features.read("source")[chosen], features.read("labels")[chosen]
    panel = max(store.ROWS, params.run.memory // 4 // (4 * n_features) // store.ROWS * store.ROWS)
    with store.Draft(paths.BASE, "base", store.provenance({"features": features}, **facts), specs) as draft:
        for part in store.blocks(len(chosen), panel):
            draft["atoms"][part] = normalize(features.take("features", chosen[part]), source[part])
        draft.put("labels", labels)
        draft.put("source", source)
        draft.commit()
    say(f"{paths.BASE}: {len(chosen)} atoms of {n_features} features")
    _report_classes(classes, np.bincount(labels, minlength=len(classes)))


def choose(features: store.Store, params: Params) -> NDArray[np.int64]:
    """Rows of the images that become atoms, (M,), shuffled: any prefix is itself such a draw.

    Raises:
        UserError: if there are not so many images.

    """
    settings, labels = params.build_dict, features.read("labels")
    rows = np.arange(len(labels))
    if settings.duplicates == "drop":
        rows = distinct(keys_of(block for _, block in features.stream("features")))
    if dropped := len(labels) - len(rows):
        say(f"{features.path}: {dropped} of {len(labels)} images are exact duplicates, dropped")
    wanted = len(rows) if settings.size == "all" else int(settings.size)
    if wanted > len(rows):
        raise UserError(f"build_dict.size: {wanted} atoms asked for, but there are {len(rows)} {settings.split} images")
    order = (
        balanced(labels[rows], settings.seed) if settings.sampling == "balanced" else shuffled(len(rows), settings.seed)
    )
    return rows[order[:wanted]]


def _report_classes(classes: list[str], counts: NDArray[np.int64]) -> None:
    """Say how many atoms each class has, or, where that is too long a line, the extremes."""
    if len(classes) <= 20:
        say("atoms by class: " + ", ".join(f"{name} {count}" for name, count in zip(classes, counts, strict=True)))
    else:
        least, most = int(counts.argmin()), int(counts.argmax())
        say(f"atoms by class: {counts[least]} ({classes[least]}) to {counts[most]} ({classes[most]})")
    if empty := [name for name, count in zip(classes, counts, strict=True) if not count]:
        more = ", ..." if len(empty) > 5 else ""
        warn(
            f"{len(empty)} classes have no atom ({', '.join(empty[:5])}{more}): try --sampling balanced, or more atoms"
        )
