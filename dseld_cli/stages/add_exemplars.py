"""`dseld add-exemplars`: base dictionary and every addition that params.yaml lists to the current dictionary."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from dseld_cli import store
from dseld_cli.config.edit import edited
from dseld_cli.config.load import load
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import FOLDER, Sources, listed, pictures, require_named
from dseld_cli.dictionary.checks import merged
from dseld_cli.dictionary.gramian_growth import Settings
from dseld_cli.dictionary.growth import Cost, duplicates, grow, grow_both
from dseld_cli.dictionary.manifest import Composition, Segment, compose
from dseld_cli.runtime.cluster import HERE, Engine, engine
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.runtime.home import expanded
from dseld_cli.store import project as paths


def run(params: Params, source: str | None = None, dry_run: bool = False) -> None:
    """Bring the current dictionary up to date; with a source, put it on params.yaml's list, last.

    Raises:
        UserError: if an addition is not there, is listed twice, or does not go with the base.

    """
    base, run = store.open_store(paths.BASE, store.BaseInfo), params.run
    with store.locked(paths.DICTIONARY):
        if source is None:
            with engine(run.engine, run.scheduler, run.memory) as does:
                say(str(grow(paths.DICTIONARY, _composed(params, base, does), track, does)))
            return
        require_named(source := listed(source))
        params = load().model_copy(update={"run": run})  # as it is now that nobody else changes it
        if twin := next((one for one in params.additions if _same(one, source)), None):
            source = twin
            say(f"{source} is among the additions already: nothing to add")
        if not dry_run:
            _add(params, base, source)
        elif not twin:
            _foresee(params, base, source)


def _add(params: Params, base: store.Base, source: str) -> None:
    additions = list(dict.fromkeys([*params.additions, source]))
    run, settings = params.run, Settings(params.gramian.dtype, params.run.memory)
    with engine(run.engine, run.scheduler, run.memory) as does:
        wanted = _composed(params.model_copy(update={"additions": additions}), base, does)
        if source not in params.additions:
            _report_classes(wanted)
            _report_duplicates(wanted.segments[-1])
            if source in map(str, (paths.features("test"), paths.features("val"))):
                warn(f"{source} has the images that evaluate looks at: what is right about them will say nothing then")
        with edited({"additions": additions}):
            for done in grow_both(paths.DICTIONARY, paths.GRAMIAN, wanted, settings, track, does):
                say(str(done))
    say("next: `dvc repro` codes images over it and lets DVC keep this version; then commit with git")


def _composed(params: Params, base: store.Base, does: Engine = HERE) -> Composition:
    sources = Sources(params.extract, params.run.device, params.run.memory, base.info.extractor, does)
    wanted = compose(base, params, sources.features)
    for name in wanted.unmatched:
        warn(f"{name} names no image of the base or an addition")
    return wanted


def _same(one: str, other: str) -> bool:
    """Whether two names are of the same folder or store."""
    (kind, place), (its_kind, its_place) = (
        (source.startswith(FOLDER), source.removeprefix(FOLDER)) for source in (one, other)
    )
    return kind == its_kind and expanded(Path(place)).resolve() == expanded(Path(its_place)).resolve()


def _report_classes(wanted: Composition) -> None:
    """Say which classes are new, and warn of those that differ from one that is there in writing alone."""
    before = merged(segment.classes for segment in wanted.segments[:-1])
    unknown = [name for name in wanted.classes if name not in before]
    if unknown:
        say(f"new classes: {', '.join(unknown)}")
    for name in unknown:
        if alike := next((one for one in before if one.strip().casefold() == name.strip().casefold()), None):
            warn(
                f"class {name!r} joins beside {alike!r}: if they are the same, remove {wanted.segments[-1].name}, "
                "rename its folder, and add it again"
            )


def _report_duplicates(new: Segment) -> None:
    """Warn of images whose atom is in the current dictionary already, or twice among the new ones."""
    found = duplicates(new, store.previous(paths.DICTIONARY, store.DictionaryInfo), track)
    for image, twin in found[:3]:
        warn(f"{image} has the same features as {twin}")
    if found:
        warn(
            f"{len(found)} of the {len(new)} images of {new.name} are in the dictionary twice now: remove one of each?"
        )


def _foresee(params: Params, base: store.Base, source: str) -> None:
    """Say what adding a source would add, cost and need in disk."""
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    if source.startswith(FOLDER):
        images = pictures(source)
        labels, classes = images.labels, list(images.classes)
        say(f"{source}: features are extracted when it is added; duplicates show only then")
    else:
        new = _composed(params.model_copy(update={"additions": [*params.additions, source]}), base).segments[-1]
        labels, classes = new.origin.read("labels"), new.classes
        twins = duplicates(new, dictionary, track)
        say(f"{source}: {len(twins)} duplicates" + (f", such as {twins[0][0]} of {twins[0][1]}" if twins else ""))
    m, n_features = dictionary.shape("atoms")
    unknown = [classes[c] for c in np.unique(labels) if classes[c] not in dictionary.info.classes]
    say(f"would add {len(labels)} images to {m} atoms; new classes: {', '.join(unknown) or 'none'}")
    cost = Cost.of(m, m + len(labels), n_features, 2 if params.gramian.dtype == "float16" else 4)
    free = shutil.disk_usage(paths.DATA).free
    say(
        f"would write {cost.blocks} blocks of atoms and {cost.tiles} tiles of the Gramian ({cost.size / 2**20:.0f} MiB,"
        f" {free / 2**20:.0f} MiB are free), and compute {cost.operations / 1e9:.1f} GFLOP"
    )
