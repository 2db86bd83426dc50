"""Time and memory of what follows the encoder, at full size: decode, train-decoder, baselines, evaluate, report.

    python benchmarks/evaluation.py FOLDER [--images 50000] [--atoms 50000] [--features 1280] [--memory 4GiB]

makes a project of synthetic features of 100 classes and of random codes with some 110 neurons per image, as real ones
have, and prints one JSON object: seconds and peak resident bytes of each command.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from facts import keep, takes_json
from project import dseld, project
from project import features as make_features

from dseld_cli import store
from dseld_cli.store import project as paths

NEURONS = 110
STEPS = 100
COMMANDS = ("decode", "train-decoder", "decode --decoder shallow-nn", "baselines", "evaluate", "report")


def codes(folder: Path, split: str, n: int) -> None:
    """Commit codes of the first n images: half of an image's neurons are of its class."""
    features = store.open_store(folder / paths.features(split), store.FeaturesInfo)
    dictionary = store.open_store(folder / paths.DICTIONARY, store.DictionaryInfo)
    labels, truth = dictionary.read("labels"), features.read("labels")[:n]
    m, rng = len(labels), np.random.default_rng(len(split))
    by_class = [np.flatnonzero(labels == c) for c in range(100)]
    half = NEURONS // 2
    atoms = rng.integers(0, m, (n, NEURONS))
    atoms[:, :half] = [by_class[c][rng.integers(0, len(by_class[c]), half)] for c in truth]
    rows = [np.unique(row) for row in atoms]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    arrays = {
        "indptr": indptr,
        "indices": np.concatenate(rows).astype(np.int32),
        "values": rng.exponential(1.0, indptr[-1]).astype(np.float32),
        "firing": np.full((n, STEPS), NEURONS, np.int32),
        "rows": np.arange(n),
        "products": np.full(n, 3, np.float32),
        "proved": np.ones(n, np.int8),
    }
    info = store.CodesInfo(
        inputs=store.fingerprints(features=features, dictionary=dictionary),
        split=split,
        images="all",
        seed=0,
        codes="leave-one-out",
        lambda_=1.0,
        tau=100.0,
        steps=STEPS,
        batch=1000,
        method="working-set",
        inhibition="atoms",
        energy=False,
        atoms=m,
        classes=dictionary.info.classes,
    )
    store.write(folder / paths.codes(split), info, arrays)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--atoms", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--memory", default="4GiB")
    takes_json(parser)
    options = parser.parse_args()
    project(options.folder, run__memory=options.memory)
    for seed, (split, n) in enumerate({"train": options.atoms, "test": options.images}.items()):
        make_features(options.folder / paths.features(split), n, options.features, seed)
    dseld(options.folder, "build-dict")
    for split in ("train", "test"):
        codes(options.folder, split, options.images if split == "test" else options.atoms)
    figures = {}
    for command in COMMANDS:
        seconds, peak, _ = dseld(options.folder, *command.split())
        figures[command] = {"seconds": round(seconds, 1), "peak_bytes": peak}
        print(json.dumps({command: figures[command]}), flush=True)
    sizes = {"atoms": options.atoms, "images": options.images, "features": options.features, "memory": options.memory}
    keep(options.json, sizes | {"commands": figures})


if __name__ == "__main__":
    main()
