"""Whether a store is what params.yaml says. The store is believed; where they differ, whoever uses it is told.

They part company when one of them is changed without the other: `git checkout` without `dvc checkout`, an option on the
command line, a line of params.yaml edited by hand.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dseld_cli import store
from dseld_cli.dictionary.labels import relabels_of
from dseld_cli.dictionary.listed import Listed
from dseld_cli.dictionary.manifest import REMOVED
from dseld_cli.errors import UserError
from dseld_cli.runtime.text import counted

MOST = 3
"""Differences that are named."""


def other_features(features: store.Features, dataset: str, backbone: str) -> str | None:
    """Say in one line that features are of another data set or backbone than params.yaml names; None if they are not.

    Features that were brought along are of a data set that is not known, which differs from none.
    """
    info = features.info
    wanted = {"data.dataset": (dataset, info.dataset), "extract.backbone": (backbone, info.extractor["backbone"])}
    if info.dataset == store.FeaturesInfo.dataset:
        return None
    other = [
        f"{key} is {said}, not {made}"
        for key, (said, made) in wanted.items()
        if said.partition("@")[0] != made.partition("@")[0]
    ]
    if not other:
        return None
    return (
        f"{features.path} is used as it is, but in params.yaml {' and '.join(other)}: `dseld extract ... --save` keeps "
        "there what it was made with, `dvc repro` makes what is there"
    )


def disagreements(dictionary: store.Dictionary, listed: Listed, base: store.Base | None = None) -> list[str]:
    """Name what a dictionary consists of that params.yaml does not list, the reverse, and another base than `base`.

    Args:
        dictionary: the current one.
        listed: additions, removals and compact of params.yaml.
        base: the base dictionary, if it is there.

    """
    info = dictionary.info
    has = [segment.name for segment in info.segments[1:]]
    found = [f"additions lists {name}, which is not in it" for name in listed.additions if name not in has]
    found += [f"additions does not list {name}, which is in it" for name in has if name not in listed.additions]
    if not found and has != list(listed.additions):
        found.append("additions lists them in another order")
    if base and info.segments[0].fingerprint != base.fingerprint:
        found.append(f"its base is not {base.path} as it is now")
    found += _removals(dictionary, listed)
    found += _relabels(dictionary, listed)
    if info.removed and info.compact != listed.compact:
        found.append(f"compact is {str(listed.compact).lower()}, it was made with {str(info.compact).lower()}")
    return found


def _removals(dictionary: store.Dictionary, listed: Listed) -> list[str]:
    source = {str(name) for name in dictionary.read("source")} if listed.removals else set()
    found = [f"removals lists {name}, which is in it" for name in listed.removals if name in source]
    removed = len(dictionary.info.removed)
    if removed and not listed.removals:
        found.append(f"{counted(removed, 'image')} removed from it, removals lists none")
    return found


def _relabels(dictionary: store.Dictionary, listed: Listed) -> list[str]:
    if not listed.relabels and not dictionary.info.relabelled:
        return []
    there = {str(name) for name in dictionary.read("source")}
    wanted = {one.image: one.class_ for one in listed.relabels if one.image in there}
    has = relabels_of(dictionary)
    found = [f"relabels has {name} as {its}, it does not" for name, its in wanted.items() if has.get(name) != its]
    return found + [
        f"relabels does not list {name}, which is {its} in it"
        for name, its in has.items()
        if name not in wanted and name != REMOVED
    ]


def other_dictionary(dictionary: store.Dictionary, listed: Listed, base: Path) -> str | None:
    """Say in one line that a dictionary is another one than params.yaml, and the base beside it, make; None if not."""
    known = None
    with suppress(OSError, UserError):  # a base that cannot be read is no matter of those who use the dictionary
        known = store.previous(base, store.BaseInfo)
    if not (differences := disagreements(dictionary, listed, known)):
        return None
    more = f"; and {len(differences) - MOST} more" if len(differences) > MOST else ""
    return (
        f"{dictionary.path} is used as it is, but params.yaml says otherwise: {'; '.join(differences[:MOST])}{more}. "
        "`dvc checkout` brings what belongs to this params.yaml, `dvc repro` makes it"
    )
