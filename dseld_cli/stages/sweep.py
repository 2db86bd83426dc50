"""`dseld sweep`: accuracy against the dictionary's size (paper, Fig. 5), lambda, tau or the number of steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import replace

from dseld_cli import store
from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.dictionary.checks import require_same_extractor, require_unit_norm
from dseld_cli.dictionary.labels import training_labels
from dseld_cli.dictionary.leave_one_out import training_images
from dseld_cli.errors import UserError
from dseld_cli.evaluation import plots
from dseld_cli.evaluation.trial import (
    SHARES,
    Exemplars,
    Sample,
    Setting,
    Trial,
    drawn_sample,
    rounded,
    strongest_input,
    top1_cell,
)
from dseld_cli.images.sampling import drawn
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, say_json, table, track
from dseld_cli.runtime.outputs import together
from dseld_cli.store import project as paths

KEYS = ("size", "lambda", "tau", "steps")
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Times params.yaml's value: what is tried of tau and steps unless --values says otherwise."""


def run(params: Params, key: str, values: Sequence[float] | None, split: str, as_json: bool) -> None:
    """Code and decode a sample of a split at each value; print a table, write it, and draw the curves.

    Raises:
        UserError: if there is no such key or value, a store is missing, or memory is too small.

    """
    if key not in KEYS:
        raise UserError(f"sweep {key}: there are {', '.join(KEYS)}")
    stored = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    m, n = stored.shape("atoms")
    arrays_within(params.run.memory, 4 * m * n * 2, f"a dictionary of {m} atoms of {n} features")
    exemplars = Exemplars(stored.read("atoms"), stored.read("labels"), len(stored.info.classes))
    require_unit_norm(exemplars.atoms, stored)
    sample = _sample(params, stored, split)
    if key == "lambda" and not values:
        values = proposed(params.lca.lambda_, strongest_input(sample.features, exemplars.atoms))
    settings = points(params, key, values, m, n)
    training = _training(params, stored) if params.trained_decoders else None
    decoders = registry.decoders([*params.decoders, *params.trained_decoders], params.decoder_options)
    trial = Trial(exemplars, sample, decoders, training, params.train_decoder.seed, track)
    rows = [{key: value, **trial.top1(setting, f"{key} {value:g}")} for value, setting in settings]
    _write(key, split, rows)
    if as_json:
        say_json({"split": split, "images": len(sample.truth), "rows": rows})
    else:
        _show(key, split, rows, f"{len(sample.truth)} {split} images, {m} exemplars of {n} features")


def proposed(now: float, strongest: float) -> list[float]:
    """Lambdas to try where the strongest driving input is known: what params.yaml has, and SHARES of that input."""
    return sorted({now, *(rounded(share * strongest) for share in SHARES)})


def points(
    params: Params, key: str, values: Sequence[float] | None, n_atoms: int, n_features: int
) -> list[tuple[float, Setting]]:
    """Say what to try: of size, the number of features doubled until the dictionary is whole (over-completeness).

    A dictionary that is not over-complete is doubled from a sixteenth of itself.

    Raises:
        UserError: for a value that cannot be.

    """
    now = lca_params(params.lca)
    if key == "size":
        first = n_features if n_features < n_atoms else max(1, n_atoms // 16)
        doubled = [first * 2**i for i in range(32) if first * 2**i < n_atoms]
        wanted = values or [*doubled, n_atoms]
        if not all(float(value).is_integer() for value in wanted):
            raise UserError("--values: sizes should be whole numbers")
        sizes = [round(value) for value in wanted]
        if any(not 1 <= size <= n_atoms for size in sizes):
            raise UserError(f"--values: sizes should be from 1 to the dictionary's {n_atoms}")
        return [(size, Setting(size, now)) for size in sizes]
    least = 1e-12 if key == "lambda" else 1.0
    middle = {"lambda": now.lambda_, "tau": now.tau, "steps": float(now.steps)}[key]
    tried = [round(middle * f) if key == "steps" else middle * f for f in FACTORS]
    found = values or [value for value in tried if value >= least]
    if any(not least <= value < math.inf for value in found):
        raise UserError(f"--values: {key} should be {'positive' if key == 'lambda' else 'at least 1'}")
    if key == "steps" and any(value != round(value) for value in found):
        raise UserError("--values: steps should be whole numbers")
    return [(value, Setting(n_atoms, _with(now, key, value))) for value in found]


def _with(params: LCAParams, key: str, value: float) -> LCAParams:
    if key == "lambda":
        return replace(params, lambda_=value)
    return replace(params, tau=value) if key == "tau" else replace(params, steps=round(value))


def _sample(params: Params, dictionary: store.Dictionary, split: str) -> Sample:
    if split == "val" and not store.present(paths.features("val")):
        raise UserError(
            "no features of the val split, on which settings are chosen: add val to extract.splits in params.yaml, run "
            "`dseld extract` and `dseld build-dict`; --split test is for the one last figure"
        )
    features = store.features_of(split)
    require_same_extractor(features, dictionary)
    rows = drawn(features.shape("features")[0], params.encode.images, params.encode.seed)
    return drawn_sample(dictionary, features, rows)


def _training(params: Params, dictionary: store.Dictionary) -> Sample:
    """Training images for the shallow network, with their own atoms."""
    features = store.features_of("train")
    require_same_extractor(features, dictionary)
    wanted = params.train_decoder
    rows, own = training_images(features, dictionary, wanted.codes, wanted.images, wanted.seed, params.removals)
    truth = training_labels(features, dictionary)[rows]
    return replace(drawn_sample(dictionary, features, rows, own), truth=truth)


def _write(key: str, split: str, rows: list[dict[str, float | None]]) -> None:
    with together() as aside:
        with aside(paths.SWEEPS / split / f"{key}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        aside(paths.SWEEPS / split / f"{key}.png").write_bytes(plots.png(plots.sweep, key, rows))


def _show(key: str, split: str, rows: list[dict[str, float | None]], what: str) -> None:
    say(what)
    names = [name for name in rows[0] if name not in (key, "firing")]
    shown = ([f"{row[key]:g}", *(top1_cell(row[name]) for name in [*names, "firing"])] for row in rows)
    table(f"Accuracy against {key}", [key, *names, "neurons firing"], shown)
    say(f"{paths.SWEEPS / split / key}.csv, {paths.SWEEPS / split / key}.png")
