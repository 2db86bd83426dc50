"""`dseld remove-exemplars`: take images, or a whole addition, out of the current dictionary."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from dseld_cli import store
from dseld_cli.config.edit import edited
from dseld_cli.config.load import load
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import Sources, listed
from dseld_cli.dictionary.gramian_growth import Settings
from dseld_cli.dictionary.growth import grow_both
from dseld_cli.dictionary.manifest import Composition, compose, in_common
from dseld_cli.errors import UserError
from dseld_cli.runtime.cluster import engine
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.runtime.text import unshown
from dseld_cli.store import project as paths


def run(params: Params, names: Sequence[str] = (), places: Sequence[int] = (), compact: bool = False) -> None:
    """Write the dictionary without some images; then put them on params.yaml's list, and take additions off its list.

    Args:
        params: budget and device; what the dictionary consists of is read anew.
        names: images as the dictionary's source names them, or additions as params.yaml lists them.
        places: places of images in the current dictionary, from 0.
        compact: drop the tombstones that removed images leave; all later atoms move up.

    Raises:
        UserError: if a name or a place is not in the current dictionary.

    """
    if any(not name.strip() for name in names):
        raise UserError("remove-exemplars: a name is empty: name images as data/dictionary.zarr's source does")
    base = store.open_store(paths.BASE, store.BaseInfo)
    with store.locked(paths.DICTIONARY):
        params = load().model_copy(update={"run": params.run})  # now that nobody else changes it
        gone = {listed(name) for name in names} & set(params.additions)
        stay = [name for name in params.additions if name not in gone]
        removals = [name for name in params.removals if not _of_any(name, gone, stay)]
        relabels = [one for one in params.relabels if not _of_any(one.image, gone, stay)]
        listing = params.model_copy(
            update={
                "additions": stay,
                "removals": removals,
                "relabels": relabels,
                "compact": compact or params.compact,
            }
        )
        sources = Sources(params.extract, params.run.device, params.run.memory, base.info.extractor)
        left = compose(base, listing, sources.features)
        images = unshown([name for name in names if listed(name) not in gone], left.source)
        images += [_at(left, place) for place in places]
        _require_known(images, left)
        wanted = replace(left, removals=list(dict.fromkeys([*removals, *images])))
        _require_exemplars(wanted)
        run, settings = params.run, Settings(params.gramian.dtype, params.run.memory)
        changes = {"additions": stay, "removals": wanted.removals, "compact": wanted.compact, "relabels": relabels}
        changes = {key: value for key, value in changes.items() if value != getattr(params, key)}
        if "relabels" in changes:
            changes["relabels"] = [one.model_dump(by_alias=True) for one in relabels]
        with engine(run.engine, run.scheduler, run.memory) as does, edited(changes):
            for done in grow_both(paths.DICTIONARY, paths.GRAMIAN, wanted, settings, track, does):
                say(str(done))
    say("next: `dvc repro` codes images over it and lets DVC keep this version; then commit with git")
    say("the cache and the remote still have what was removed: docs/growing.md says how to erase it")


def _of_any(image: str, gone: Collection[str], stay: Collection[str]) -> bool:
    """Whether an image is of an addition that goes: with it, its entries in lists go, so that it may come again."""
    return any(image.startswith(f"{name}:") for name in gone) and not any(image.startswith(f"{name}:") for name in stay)


def _at(left: Composition, place: int) -> str:
    """Name of the image at a place of the current dictionary, even if a killed run has taken it out already."""
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    if left.compact or dictionary.info.compact:
        raise UserError("--index: places change in a compaction; name the images instead")
    m = dictionary.shape("atoms")[0]
    if not 0 <= place < m:
        raise UserError(f"--index {place}: the dictionary has places 0 to {m - 1}")
    if place >= in_common(dictionary, left):
        raise UserError(f"--index {place}: params.yaml does not list what {dictionary.path} has there; name the image")
    return str(left.source[place])


def _require_known(images: Sequence[str], known: Composition) -> None:
    have = set(known.source)
    if missing := [name for name in images if name not in have]:
        raise UserError(
            f"{missing[0]} is neither an image in {paths.DICTIONARY} nor an addition: images are named as in its "
            f"source, such as {known.source[0]}"
        )


def _require_exemplars(wanted: Composition) -> None:
    """Refuse a dictionary without any exemplar, and warn of classes without one."""
    counts = wanted.counts
    if not counts.any():
        raise UserError("that would leave no exemplar at all: nothing removed")
    for c in np.flatnonzero(counts == 0):
        warn(f"class {wanted.classes[c]} has no exemplar left")
