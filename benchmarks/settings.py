"""How much settings matter, what `dseld tune` chooses, and whether a general search (optuna's TPE) chooses better.

    pip install optuna
    python benchmarks/settings.py WORK/cifar10-val --images 1000

The project has features of train, val and test, and a dictionary. Settings are tried on val by decoders that need no
training; the two that win are read once on test, each by the decoder that won with it. optuna has as many trials.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from facts import keep, takes_json
from project import dseld, project

from dseld_cli import Project
from dseld_cli.config.load import load
from dseld_cli.config.recurrence import lca_params
from dseld_cli.evaluation.trial import SHARES, Sample, Setting, rounded, strongest_input
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.stages import tune

SWEEPS = {"lambda": "1,1.5,2,3,4", "tau": "50,100,200,400", "steps": "50,100,200,400"}
Choice = tuple[str, LCAParams]


class Search:
    """What optuna tries: the same transforms and ranges as `dseld tune`."""

    def __init__(self, images: int) -> None:
        self.params = load({"encode.images": images})
        self.data = tune._data(self.params)
        self.trials = {name: tune._trial(self.params, self.data, name) for name in tune.TRANSFORMS}
        self.strongest = {
            name: strongest_input(its.sample.features, its.exemplars.atoms) for name, its in self.trials.items()
        }

    def choice(self, trial: Any) -> Choice:
        """Let optuna choose."""
        transform = trial.suggest_categorical("transform", tune.TRANSFORMS)
        share = trial.suggest_float("share", SHARES[0], SHARES[-1], log=True)
        now = lca_params(self.params.lca)
        tau = now.tau * trial.suggest_categorical("tau", [0.5, 1.0, 2.0])
        steps = now.steps * trial.suggest_categorical("steps", [1, 2])
        return transform, replace(now, lambda_=rounded(share * self.strongest[transform]), tau=tau, steps=steps)

    def tried(self, choice: Choice, test: Sample | None = None) -> dict[str, float]:
        """Top-1 of every decoder on val, or on test."""
        transform, params = choice
        its = self.trials[transform]
        if test is not None:
            blocks = [(self.data.exemplars, self.data.labels)]
            through = tune.fitted(transform, blocks, self.data.n_classes)
            its = replace(its, sample=Sample(tune._through(through, test.features), test.truth))
        found = its.top1(Setting(len(self.data.labels), params), "")
        return {name: value or 0.0 for name, value in found.items() if name != "firing"}


def by_optuna(search: Search, n: int) -> tuple[Choice, str, float]:
    """Let TPE try n settings: the best, its decoder, its top-1 on val."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))

    def objective(trial: Any) -> float:
        top1 = search.tried(search.choice(trial))
        trial.set_user_attr("decoder", max(top1, key=lambda name: top1[name]))
        return max(top1.values())

    study.optimize(objective, n_trials=n)
    best = study.best_trial
    return search.choice(optuna.trial.FixedTrial(best.params)), best.user_attrs["decoder"], best.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=2.0)
    takes_json(parser)
    options = parser.parse_args()
    folder = options.project
    changes = {"lca__lambda": options.lambda_, "run__memory": "6GiB", "extract__splits": ["train", "test", "val"]}
    project(folder, trained_decoders=[], **changes)
    sample = ["--images", str(options.images), "--json"]
    found: dict[str, Any] = {"val_images": options.images, "sweeps": {}}
    for key, values in SWEEPS.items():
        found["sweeps"][key] = json.loads(
            dseld(folder, "sweep", key, "--split", "val", "--values", values, *sample)[2]
        )["rows"]
        print(key, json.dumps(found["sweeps"][key]), flush=True)
    seconds, _, said = dseld(folder, "tune", *sample)
    tuned = json.loads(said)
    best, n = tuned["best"], len(tuned["tried"])
    os.chdir(folder)
    search = Search(options.images)
    test = Project().features("test")
    sampled = Sample(test.features, test.labels)
    now = lca_params(search.params.lca)
    ours = best["transform"], replace(now, lambda_=best["lambda"], tau=best["tau"], steps=best["steps"])
    began = time.monotonic()
    theirs, decoder, value = by_optuna(search, n)
    chosen = {
        "dseld tune": (ours, best["decoder"], best["top1"], seconds),
        "optuna, TPE": (theirs, decoder, value, time.monotonic() - began),
    }
    found |= {"trials": n, "test_images": len(sampled.truth), "searches": {}}
    for name, ((transform, params), decoder, value, taken) in chosen.items():
        found["searches"][name] = {
            "transform": transform,
            "lambda": params.lambda_,
            "tau": params.tau,
            "steps": params.steps,
            "decoder": decoder,
            "val": value,
            "test": search.tried((transform, params), sampled)[decoder],
            "seconds": taken,
        }
        print(name, json.dumps(found["searches"][name]), flush=True)
    keep(options.json, found)


if __name__ == "__main__":
    main()
