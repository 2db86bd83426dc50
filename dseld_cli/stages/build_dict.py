"""`dseld build-dict`: features of a split to the base dictionary, in shuffled order, and on to the current one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import Sources
from dseld_cli.dictionary.base import build, candidates, choose, fit
from dseld_cli.dictionary.growth import grow
from dseld_cli.dictionary.manifest import compose
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.runtime.text import counted
from dseld_cli.store import project as paths


def run(params: Params, base_only: bool = False) -> None:
    """Draw images, keep their unit-norm features as the base, and, unless it is to be that alone, add the additions.

    Raises:
        UserError: if there are fewer images than atoms asked for, fewer atoms than classes, or an addition is missing.

    """
    _build(params)
    if base_only:
        return
    base = store.open_store(paths.BASE, store.BaseInfo)
    sources = Sources(params.extract, params.run.device, params.run.memory, base.info.extractor)
    wanted = compose(base, params, sources.features)
    for name in wanted.unmatched:
        warn(f"{name} names no image of the base or an addition")
    say(str(grow(paths.DICTIONARY, wanted, track)))


def _build(params: Params) -> None:
    settings = params.build_dict
    features = store.features_of(settings.split)
    (n, n_features), classes = features.shape("features"), features.info.classes
    rows = candidates(features, settings.duplicates)
    if dropped := n - len(rows):
        say(f"{features.path}: {dropped} of {n} images are exact duplicates, dropped")
    chosen = choose(features, rows, settings, params.run.memory, track)
    transform = fit(settings.transform, features, chosen, params.run.memory, track)
    counts = build(paths.BASE, features, chosen, settings.model_dump(), params.run.memory, transform)
    say(f"{paths.BASE}: {len(chosen)} atoms of {n_features} features")
    _report_classes(classes, counts)


def _report_classes(classes: Sequence[str], counts: NDArray[np.int64]) -> None:
    """Say how many atoms each class has, or, where that is too long a line, the extremes."""
    if len(classes) <= 20:
        say("atoms per class: " + ", ".join(f"{name} {count}" for name, count in zip(classes, counts, strict=True)))
    else:
        least, most = int(counts.argmin()), int(counts.argmax())
        say(f"atoms per class: {counts[least]} ({classes[least]}) to {counts[most]} ({classes[most]})")
    if empty := [name for name, count in zip(classes, counts, strict=True) if not count]:
        more = ", ..." if len(empty) > 5 else ""
        warn(
            f"no atom of {counted(len(empty), 'class')} ({', '.join(empty[:5])}{more}): try --sampling balanced, or "
            "more atoms"
        )
