"""Accuracy of every decoder and baseline from the same exemplars: random draws of some sizes, or so many per class.

    dseld init cifar && cd cifar          # and its data set and backbone in params.yaml
    dseld extract
    python benchmarks/accuracy.py cifar --settings none:2 within-class:0.6 --sizes 50000 10000 1000 --per-class 1 5 10

Each setting is a transform and its lambda, chosen on a val split before. All images of the test split are coded;
trained decoders learn from leave-one-out codes of the exemplars alone, at most --taught of them. Draws per class are
averaged over SEEDS. Prints a line of JSON per run: top-1 in percent with its 95 % interval, firing neurons, and what
each command took.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from facts import keep, takes_json
from project import dseld, project

from dseld_cli import Project
from dseld_cli.images.sampling import balanced, shuffled

SEEDS = range(5)
SECONDS = ("build-dict", "encode", "encode --split train", "train-decoder --decoder ridge", "baselines")


def drawn(labels: np.ndarray, size: int | None, per_class: int | None, seed: int) -> np.ndarray:
    """Rows of so many images, at random or as many of each class."""
    if per_class:
        return balanced(labels, seed)[: per_class * len(np.unique(labels))]
    return shuffled(len(labels), seed)[:size]


def measured(folder: Path, setting: str, exemplars: int, taught: int, memory: str) -> dict[str, Any]:
    """Run the pipeline in a folder that has features, and read its metrics."""
    transform, lambda_ = setting.split(":")
    project(
        folder,
        build_dict__transform=transform,
        lca__lambda=float(lambda_),
        train_decoder__images=min(taught, exemplars),
        run__memory=memory,
    )
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(
        text.replace("trained_decoders: [shallow-nn]", "trained_decoders: [ridge, shallow-nn]")
    )
    taken = {}
    trained = ["train-decoder --decoder ridge", "train-decoder --decoder shallow-nn"] if exemplars >= 10 else []
    for command in ("build-dict", "encode", "encode --split train", *trained, "decode", "baselines", "evaluate"):
        taken[command] = round(dseld(folder, *command.split())[0], 2)
    found = json.loads((folder / "metrics.json").read_text())
    top1 = {**found["decoders"], **found["baselines"]}
    return {
        "images": found["images"],
        "firing": round(found["firing"]["average"] * exemplars / 100, 1),
        "top1": {name: [row["top1"], row.get("low"), row.get("high")] for name, row in top1.items()},
        "seconds": {command: taken[command] for command in SECONDS if command in taken},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="with features of train and test")
    parser.add_argument("--settings", nargs="+", default=["none:2"], metavar="TRANSFORM:LAMBDA")
    parser.add_argument("--sizes", nargs="*", type=int, default=[], metavar="M")
    parser.add_argument("--per-class", nargs="*", type=int, default=[], metavar="N")
    parser.add_argument("--taught", type=int, default=10_000, metavar="N")
    parser.add_argument("--memory", default="6GiB")
    takes_json(parser)
    options = parser.parse_args()
    train, test = (Project(options.project).features(split) for split in ("train", "test"))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        given = {split: Path(scratch) / f"{split}.npz" for split in ("train", "test")}
        np.savez(given["test"], features=test.features, labels=test.labels, source=test.source)
        draws = [(size, None, 0) for size in options.sizes]
        draws += [(None, n, seed) for n in options.per_class for seed in SEEDS]
        for size, per_class, seed in draws:
            some = drawn(train.labels, size, per_class, seed)
            source = np.array(train.source)[some]
            np.savez(given["train"], features=train.features[some], labels=train.labels[some], source=source)
            folder = Path(scratch) / f"{size}-{per_class}-{seed}"
            project(folder)
            for split, file in given.items():
                dseld(folder, "extract", "--split", split, "--from-npz", str(file), "--extractor", "given")
            for setting in options.settings:
                found = measured(folder, setting, len(some), options.taught, options.memory)
                rows.append({"setting": setting, "exemplars": len(some), "per_class": per_class, "seed": seed, **found})
                print(json.dumps(rows[-1]), flush=True)
                keep(options.json, {"taught": options.taught, "rows": rows, "means": means(rows)})


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average top-1 over the seeds of each draw per class."""
    found = []
    for key in dict.fromkeys((row["setting"], row["per_class"]) for row in rows if row["per_class"]):
        same = [row["top1"] for row in rows if (row["setting"], row["per_class"]) == key]
        names = [name for name in same[0] if all(name in one for one in same)]
        top1 = {name: round(statistics.mean(one[name][0] for one in same), 2) for name in names}
        found.append({"setting": key[0], "per_class": key[1], "draws": len(same), "top1": top1})
    return found


if __name__ == "__main__":
    main()
