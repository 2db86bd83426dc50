"""Images that a decoder got right and wrong, each with the exemplars that spoke for the class it was given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dseld_cli.dictionary.codes import read_codes
from dseld_cli.evaluation.evaluation import Evaluation
from dseld_cli.evaluation.explain import explain

OF_EACH_KIND = 6
"""Images that are right, and that are wrong."""
EXEMPLARS = 5
SEED = 0

Thumbnails = Callable[[Collection[str]], Mapping[str, str]]
"""Sources of images to data URIs of their pictures; those without one are left out."""


@dataclass(frozen=True)
class Shown:
    """An exemplar below an image: where it came from, its picture, its class, its share."""

    source: str
    picture: str | None
    label: str
    share: float


@dataclass(frozen=True)
class Exhibit:
    """An image: its true and predicted class, and the exemplars that decided."""

    source: str
    picture: str | None
    true: str
    predicted: str
    right: bool
    exemplars: list[Shown]


def gallery(found: Evaluation, decider: str, thumbnails: Thumbnails) -> list[Exhibit]:
    """Wrong and right images of a decoder, drawn at random, wrong ones first."""
    predicted = found.predictions[decider].labels
    right = (predicted == found.truth) & (found.truth >= 0)
    rng = np.random.default_rng(SEED)
    drawn = np.concatenate([rng.permutation(np.flatnonzero(kind))[:OF_EACH_KIND] for kind in (~right, right)])
    labels, atoms, source = found.dictionary.read("labels"), found.dictionary.read("source"), found.source()
    true, names = found.true_names(), [*found.classes, "undecided"]
    codes = {int(i): read_codes(found.codes, slice(i, i + 1)) for i in drawn}
    speakers = {i: explain(one, 0, labels, int(predicted[i]), EXEMPLARS) for i, one in codes.items()}
    wanted = {str(source[i]) for i in speakers} | {str(atoms[s.atom]) for some in speakers.values() for s in some}
    pictures = thumbnails(wanted)

    def shown(name: str) -> tuple[str, str | None]:
        return without_path(name), pictures.get(name)

    return [
        Exhibit(
            *shown(str(source[i])),
            true[i],
            names[predicted[i]],
            bool(right[i]),
            [Shown(*shown(str(atoms[s.atom])), names[labels[s.atom]], s.share) for s in some],
        )
        for i, some in speakers.items()
    ]


@dataclass(frozen=True)
class Suspect:
    """A training image whose label is argued against: its picture, both classes, and who argues against the label."""

    source: str
    picture: str | None
    label: str
    suggested: str
    share: float
    against: list[tuple[str, str | None]]


def suspects(audited: Sequence[Mapping[str, Any]], thumbnails: Thumbnails) -> list[Suspect]:
    """Show the first of the images that `dseld audit` lists."""
    some = audited[: 2 * OF_EACH_KIND]
    pictures = thumbnails({name for one in some for name in (one["image"], *one["against"])})
    return [
        Suspect(
            without_path(one["image"]),
            pictures.get(one["image"]),
            one["label"],
            one["suggested"],
            one["share"],
            [(without_path(name), pictures.get(name)) for name in one["against"]],
        )
        for one in some
    ]


def without_path(name: str) -> str:
    """Name a data set, or an image of one, without saying where folders are on this machine."""
    if not name.startswith("folder:"):
        return name
    path, _, image = name.removeprefix("folder:").partition(":")
    return f"{Path(path).name}:{image}" if image else Path(path).name
