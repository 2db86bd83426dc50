"""`dseld condense`: how few exemplars do, and which, those that represent their classes or their borders; by val."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.edit import edit
from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.dictionary.base import candidates, choose, fit
from dseld_cli.dictionary.checks import normalize, relabel
from dseld_cli.dictionary.labels import as_listed
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import DoesNotFit, StoreMissing, UserError
from dseld_cli.evaluation.metrics import interval
from dseld_cli.evaluation.trial import Exemplars, Sample, Setting, Trial, top1_cell
from dseld_cli.images.sampling import drawn
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, say_json, table, track
from dseld_cli.store import project as paths

CLOSER = 3
"""Times that the smallest size that does is looked for between two, one twice the other."""

Sampling = Literal["random", "representative", "condensed"]
KINDS: tuple[Sampling, ...] = ("representative", "condensed")
"""Draws that small dictionaries are made by."""
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """A dictionary of so many exemplars, drawn so."""

    sampling: str
    size: int | Literal["all"]
    seed: int


@dataclass(frozen=True)
class Tried:
    """What a dictionary gets right of val: top-1 of each decoder in percent, None where the recurrence diverges.

    Attributes:
        size: exemplars.
        drawn: images of which they are what is left without removals.
        sampling: how those were drawn.

    """

    size: int
    drawn: int
    sampling: Sampling
    top1: dict[str, float | None]

    def plain(self) -> dict[str, object]:
        """Name its parts."""
        return {"size": self.size, "drawn": self.drawn, "sampling": self.sampling, **self.top1}


@dataclass(frozen=True)
class Data:
    """Images to choose exemplars from, and val's, which are looked at."""

    params: Params
    features: store.Features
    val: store.Features

    @cached_property
    def rows(self) -> Int64:
        """Images that may become exemplars."""
        return candidates(self.features, self.params.build_dict.duplicates)

    @cached_property
    def listed(self) -> tuple[Int64, NDArray[np.bool_]]:
        """Class of each image (n,), wrong labels corrected, and whether it is on no list of removals (n,)."""
        return as_listed(self.features, self.params)

    @property
    def everything(self) -> int:
        """How many exemplars there can be."""
        return int(self.listed[1][self.rows].sum())

    @cached_property
    def orders(self) -> dict[Sampling, Int64]:
        """All of them, in the order of each kind of draw, of which every dictionary is a prefix."""
        seed, memory = self.params.build_dict.seed, self.params.run.memory
        kinds: tuple[Sampling, ...] = ("random", *KINDS)
        return {kind: choose(self.features, self.rows, Draw(kind, "all", seed), memory, track) for kind in kinds}

    def tried(self, size: int, sampling: Sampling) -> Tried:
        """Code val over a dictionary of so many exemplars, and decode.

        The base is drawn, and fitted to, as build-dict does, which knows of no removals and relabels.
        """
        params, order, (labels, stays) = self.params, self.orders[sampling], self.listed
        base = order[: int(np.searchsorted(np.cumsum(stays[order]), size)) + 1]
        chosen = base[stays[base]]
        transform = fit(params.build_dict.transform, self.features, base, params.run.memory)
        seen = Seen(self.features, transform)
        classes = self.features.info.classes
        atoms = normalize(seen.take(chosen), self.features.read("source")[chosen])
        rows = drawn(self.val.shape("features")[0], params.encode.images, params.encode.seed)
        truth = relabel(self.val.read("labels")[rows], self.val.info.classes, classes)
        sample = Sample(Seen(self.val, transform).take(rows), truth)
        decoders = registry.decoders(params.decoders, params.decoder_options)
        trial = Trial(Exemplars(atoms, labels[chosen], len(classes)), sample, decoders, track=track)
        found = trial.top1(Setting(size, lca_params(params.lca)), f"{size} exemplars, {sampling}")
        return Tried(size, len(base), sampling, {name: found[name] for name in decoders})


def run(params: Params, keep: int | None, lose: float, as_json: bool, save: bool) -> None:
    """Judge dictionaries of `keep` exemplars, or find the smallest that loses at most `lose` points.

    Raises:
        UserError: if there are no features of val, not so many images, or memory is too small.

    """
    data = _data(params)
    everything, classes = data.everything, len(data.features.info.classes)
    if not everything:
        raise UserError("condense: every image is on the list of removals")
    if keep is not None and not classes <= keep <= everything:
        raise UserError(f"--keep {keep}: should be from {classes}, one for each class, to {everything}, all images")
    full = data.tried(everything, "random")
    if not (top1 := {name: value for name, value in full.top1.items() if value is not None}):
        raise UserError("condense: the recurrence diverges over all images: raise lca.tau in params.yaml")
    by = max(top1, key=lambda name: top1[name])
    found = [one for kind in KINDS for one in _tried(data, kind, full, by, keep, lose)]
    good = found if keep else [one for one in found if _lost(full, one, by) <= lose]
    best = min([*good, *([] if keep else [full])], key=lambda one: (one.size, _lost(full, one, by)))
    beside = [data.tried(best.size, "random")] if best is not full else []
    tried = [full, *found, *beside]
    images = len(drawn(data.val.shape("features")[0], params.encode.images, params.encode.seed))
    if as_json:
        say_json(
            {
                "images": images,
                "decoder": by,
                "keep": best.size,
                "sampling": best.sampling,
                "tried": [one.plain() for one in tried],
            }
        )
    else:
        _show(tried, full, best, by, images, save)
    if save:
        edit({"build_dict.sampling": best.sampling, "build_dict.size": best.drawn})


def _data(params: Params) -> Data:
    """Open what is chosen from, and what is looked at.

    Raises:
        UserError: if it is not there, or memory is too small.

    """
    if not store.present(paths.features("val")):
        raise StoreMissing(
            "no features of the val split, on which this is judged: add val to extract.splits in params.yaml, run "
            "`dseld extract` and `dseld build-dict`"
        )
    if params.build_dict.split == "val":
        raise UserError("build_dict.split: val is what this is judged on; exemplars have to come from another split")
    features = store.features_of(params.build_dict.split)
    val = store.features_of("val")
    if val.info.extractor != features.info.extractor:
        raise DoesNotFit(f"{val.path} and {features.path} were extracted differently: run `dseld extract` for both")
    n, n_features = features.shape("features")
    arrays_within(params.run.memory, 4 * n * n_features * 3, f"{n} exemplars of {n_features} features, twice")
    return Data(params, features, val)


def _lost(full: Tried, one: Tried, by: str) -> float:
    """Points that a smaller dictionary loses."""
    had, has = full.top1[by], one.top1[by]
    return math.inf if had is None or has is None else had - has


def _tried(data: Data, kind: Sampling, full: Tried, by: str, keep: int | None, lose: float) -> Iterator[Tried]:
    """Try the size that is asked for, or halve until more is lost, then look closer between the last two."""
    if keep:
        yield data.tried(keep, kind)
        return
    good, bad = full.size, (least := len(data.features.info.classes))
    while good // 2 >= least:
        yield (one := data.tried(good // 2, kind))
        if _lost(full, one, by) > lose:
            bad = one.size
            break
        good = one.size
    for _ in range(CLOSER if bad < good else 0):
        size = round(math.sqrt(bad * good))
        if size in (bad, good):
            return
        yield (one := data.tried(size, kind))
        good, bad = (size, bad) if _lost(full, one, by) <= lose else (good, size)


def _show(tried: list[Tried], full: Tried, best: Tried, by: str, images: int, save: bool) -> None:
    rows = (
        [str(one.size), one.sampling, *map(top1_cell, one.top1.values())]
        for one in sorted(tried, key=lambda one: -one.size)
    )
    table(f"{images} val images", ["exemplars", "drawn", *full.top1], rows)
    low, high = interval(round((full.top1[by] or 0) / 100 * images), images)
    say(f"{by} over all is {low:.1f} to {high:.1f} % right (95 %); what differs by less is not told apart")
    if best is full:
        say("no smaller dictionary loses so little")
    else:
        say(f"{best.size} of {full.size} exemplars, {best.sampling}, lose {_lost(full, best, by):.2f} points of {by}")
    changes = f"build_dict.sampling: {best.sampling}, build_dict.size: {best.drawn}"
    say(f"{'kept in params.yaml' if save else 'to keep that, --save, or in params.yaml'}: {changes}; then `dvc repro`")
