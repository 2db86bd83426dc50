"""What storing the Gramian as float16 does to codes: real features, the same images coded through both.

    python benchmarks/half.py FOLDER TRAIN.npz TEST.npz [--atoms 10000] [--images 500] [--lambda 2]

Each .npz has `features` (n, N) float32 and `labels` (n,).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from facts import keep, takes_json
from project import EXTRACTOR, dseld, project

from dseld_cli import store
from dseld_cli.store import project as paths


def take_in(file: Path, path: Path, limit: int | None) -> None:
    """Commit features from a file."""
    with np.load(file) as given:
        found, labels = given["features"][:limit].astype(np.float32), given["labels"][:limit].astype(np.int64)
    info = store.FeaturesInfo(
        split=path.stem, classes=tuple(str(c) for c in range(labels.max() + 1)), extractor=EXTRACTOR
    )
    source = np.array([f"{file.name}/{i}" for i in range(len(labels))], dtype=np.dtypes.StringDType())
    store.write(path, info, {"features": found, "labels": labels, "source": source})


def coded(dtype: str, lambda_: float, memory: str) -> tuple[store.Array, dict[str, float]]:
    """Code through the Gramian in force: dense codes (n, M), accuracy."""
    print(dseld(Path(), "encode", "--inhibition", "gramian", "--lambda", str(lambda_), "--memory", memory)[2])
    dseld(Path(), "decode")
    dseld(Path(), "evaluate")
    codes = store.open_store(paths.codes("test"), store.CodesInfo)
    indptr, m = codes.read("indptr"), codes.info.atoms
    dense = np.zeros((len(indptr) - 1, m), np.float32)
    dense[np.repeat(np.arange(len(dense)), np.diff(indptr)), codes.read("indices")] = codes.read("values")
    decoders = json.loads(paths.metrics("test").read_text())["decoders"]
    print(dtype, top1 := {name: result["top1"] for name, result in decoders.items()})
    return dense, top1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--atoms", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--lambda", type=float, default=2.0, dest="lambda_")
    parser.add_argument("--memory", default="4GiB")
    takes_json(parser)
    wanted = parser.parse_args()
    train, test = wanted.train.resolve(), wanted.test.resolve()
    project(wanted.folder, build_dict__size=wanted.atoms)
    os.chdir(wanted.folder)
    take_in(train, paths.features("train"), None)
    take_in(test, paths.features("test"), wanted.images)
    dseld(Path(), "build-dict")
    found, top1 = {}, {}
    for dtype in ("float32", "float16"):
        project(Path(), build_dict__size=wanted.atoms, gramian__dtype=dtype)
        print(dseld(Path(), "gramian")[2])
        size = sum(file.stat().st_size for file in paths.GRAMIAN.rglob("*") if file.is_file())
        print(f"{dtype}: {size / 1e9:.2f} GB")
        found[dtype], top1[dtype] = coded(dtype, wanted.lambda_, wanted.memory)
    single, half = found["float32"], found["float16"]
    apart = np.linalg.norm(single - half, axis=1) / np.maximum(np.linalg.norm(single, axis=1), 1e-30)
    support = ((single != 0) != (half != 0)).sum(axis=1) / np.maximum((single != 0).sum(axis=1), 1)
    print(f"largest difference of an activation {np.abs(single - half).max():.4f} of {np.abs(single).max():.2f}")
    print(f"relative difference of a code: median {np.median(apart):.1e}, largest {apart.max():.1e}")
    print(f"neurons in one code and not in the other: {100 * support.mean():.2f} % of those in the code")
    keep(
        wanted.json,
        {
            "atoms": wanted.atoms,
            "images": wanted.images,
            "lambda": wanted.lambda_,
            "top1": top1,
            "largest_activation": float(np.abs(single).max()),
            "largest_difference": float(np.abs(single - half).max()),
            "median_relative_difference": float(np.median(apart)),
            "share_of_other_neurons": float(support.mean()),
        },
    )


if __name__ == "__main__":
    main()
