"""`dseld tune`: the transform, lambda, tau, steps and decoder that do best on the val split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.edit import edit
from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.dictionary.checks import normalize, relabel, require_same_extractor
from dseld_cli.dictionary.duplicates import equal_to, keys
from dseld_cli.dictionary.labels import as_listed
from dseld_cli.dictionary.transform import Transform, fitted
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.evaluation.metrics import interval
from dseld_cli.evaluation.trial import SHARES, Exemplars, Sample, Setting, Trial, rounded, strongest_input
from dseld_cli.images.sampling import drawn
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, say_json, table, track
from dseld_cli.store import project as paths

TRANSFORMS = ("none", "centre", "whiten", "within-class")
PATIENCE = 2
"""Smaller lambdas that are tried though they did not help: each costs more than the one before."""

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """A setting, what it is made with, and the decoder that does best there."""

    transform: str
    params: LCAParams
    decoder: str
    top1: float
    firing: float

    def plain(self) -> dict[str, object]:
        """Name its parts as params.yaml does."""
        p = self.params
        return {
            "transform": self.transform,
            "lambda": p.lambda_,
            "tau": p.tau,
            "steps": p.steps,
            "decoder": self.decoder,
            "top1": self.top1,
            "firing": self.firing,
        }


@dataclass(frozen=True)
class Data:
    """Features (n, N) and classes of the base's images, in its atoms' order, and of val's; which are learned from."""

    exemplars: Float32
    labels: Int64
    sample: Float32
    truth: Int64
    taught: Int64
    n_classes: int


def run(params: Params, transforms: Sequence[str], as_json: bool, save: bool) -> None:
    """Try each transform with lambdas from large to small, then tau and steps at the best of them; print a table.

    Raises:
        UserError: if there are no features of val, no base, or memory is too small.

    """
    data = _data(params)
    found = [one for transform in transforms for one in _lambdas(params, data, transform)]
    if not found:
        raise UserError("tune: the recurrence diverges at every setting tried: raise lca.tau in params.yaml")
    found += list(_dynamics(params, data, max(found, key=lambda one: one.top1)))
    best = max(found, key=lambda one: one.top1)
    if as_json:
        say_json({"images": len(data.truth), "best": best.plain(), "tried": [one.plain() for one in found]})
    else:
        _show(found, best, len(data.truth), save)
    if save:
        edit(_changes(best))


def _data(params: Params) -> Data:
    """Read what is tried on, as the backbone gave it: the base less removals, its labels corrected; no additions.

    Raises:
        UserError: if it is not there, or memory is too small.

    """
    if not store.present(paths.features("val")):
        raise StoreMissing(
            "no features of the val split, on which settings are chosen: add val to extract.splits in params.yaml, run "
            "`dseld extract` and `dseld build-dict`"
        )
    base = store.open_store(paths.BASE, store.BaseInfo)
    val = store.features_of("val")
    train = store.features_of(base.info.split)
    store.require_input(base, "features", train)
    require_same_extractor(val, base)
    m, n = base.shape("atoms")
    arrays_within(params.run.memory, 4 * m * n * 4, f"{m} exemplars of {n} features, as they are and transformed")
    rows = drawn(val.shape("features")[0], params.encode.images, params.encode.seed)
    place = {str(name): row for row, name in enumerate(train.read("source"))}
    classes, source = base.info.classes, base.read("source")
    labels, stays = as_listed(base, params)
    stay = np.flatnonzero(stays)
    if not len(stay):
        raise UserError("tune: every image of the base is on the list of removals")
    of_atoms, m = np.array([place[str(name)] for name in source[stay]]), len(stay)
    wanted = params.train_decoder
    taught = drawn(m, wanted.images if wanted.images == "all" else min(int(wanted.images), m), wanted.seed)
    return Data(
        train.take("features", of_atoms),
        labels[stay],
        val.take("features", rows),
        relabel(val.read("labels")[rows], val.info.classes, classes),
        taught,
        len(classes),
    )


def _trial(params: Params, data: Data, kind: str) -> Trial:
    """Exemplars and samples as a dictionary with a transform sees them."""
    blocks = ((data.exemplars[part], data.labels[part]) for part in store.blocks(len(data.labels)))
    transform = fitted(kind, blocks, data.n_classes)
    seen = _through(transform, data.exemplars)
    atoms = normalize(seen, [f"exemplar {row}" for row in range(len(seen))])
    decoders = registry.decoders([*params.decoders, *params.trained_decoders], params.decoder_options)
    own = equal_to(keys(atoms[data.taught]), keys(atoms))  # an image's own atom, and exact copies of it
    training = Sample(seen[data.taught], data.labels[data.taught], own) if params.trained_decoders else None
    exemplars = Exemplars(atoms, data.labels, data.n_classes)
    sample = Sample(_through(transform, data.sample), data.truth)
    return Trial(exemplars, sample, decoders, training, params.train_decoder.seed, track)


def _through(transform: Transform | None, rows: Float32) -> Float32:
    return transform(rows) if transform else rows


def _lambdas(params: Params, data: Data, transform: str) -> Iterator[Found]:
    """Lambdas from large to small, until PATIENCE of them did not help."""
    trial, now = _trial(params, data, transform), lca_params(params.lca)
    strongest = strongest_input(trial.sample.features, trial.exemplars.atoms)
    best, idle = -1.0, 0
    for share in reversed(SHARES):  # from few neurons firing to many
        one = _tried(trial, transform, replace(now, lambda_=rounded(share * strongest)))
        if one is None:
            return
        yield one
        best, idle = (one.top1, 0) if one.top1 > best else (best, idle + 1)
        if idle == PATIENCE:
            return


def _dynamics(params: Params, data: Data, best: Found) -> Iterator[Found]:
    """Half and twice tau, and twice the steps."""
    trial, p = _trial(params, data, best.transform), best.params
    for other in (
        replace(p, tau=max(1.0, p.tau / 2)),
        replace(p, tau=2 * p.tau),
        replace(p, steps=2 * p.steps),
    ):
        if one := _tried(trial, best.transform, other):
            yield one


def _tried(trial: Trial, transform: str, lca: LCAParams) -> Found | None:
    what = f"{transform}, lambda {lca.lambda_:g}, tau {lca.tau:g}, {lca.steps} steps"
    found = trial.top1(Setting(len(trial.exemplars.labels), lca), what)
    top1 = {name: value for name, value in found.items() if name != "firing" and value is not None}
    if not top1:
        return None
    name = max(top1, key=lambda name: top1[name])
    return Found(transform, lca, name, top1[name], (found["firing"] or 0) * len(trial.exemplars.labels) / 100)


def _changes(best: Found) -> dict[str, object]:
    return {
        "build_dict.transform": best.transform,
        "lca.lambda": best.params.lambda_,
        "lca.tau": best.params.tau,
        "lca.steps": best.params.steps,
    }


def _show(found: Sequence[Found], best: Found, n: int, save: bool) -> None:
    rows = ([*_cells(one), f"{one.top1:.2f} %{' <' if one is best else ''}"] for one in found)
    table(f"{n} val images", ["transform", "lambda", "tau", "steps", "firing", "best decoder", "top-1"], rows)
    low, high = interval(round(best.top1 / 100 * n), n)
    say(f"the best is {low:.1f} to {high:.1f} % right (95 %); settings that differ by less are not told apart")
    changes = ", ".join(f"{key}: {value}" for key, value in _changes(best).items())
    say(f"{'kept in params.yaml' if save else 'to keep them, --save, or in params.yaml'}: {changes}; then `dvc repro`")


def _cells(one: Found) -> list[str]:
    p = one.params
    return [one.transform, f"{p.lambda_:g}", f"{p.tau:g}", str(p.steps), f"{one.firing:.0f}", one.decoder]
