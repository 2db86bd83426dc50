"""Peak memory of every command within budgets of 1.5, 2 and 4 GiB: what is held, in resident bytes, stays inside.

    python benchmarks/memory.py FOLDER [--atoms 50000] [--features 1280] [--images 2000] [--budgets 1.5 2 4]

Features and codes are synthetic, of a hundred classes. Exit code 1 where a command passes its budget.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from evaluation import codes
from facts import keep, takes_json
from project import dseld, project
from project import features as make_features

from dseld_cli.store import project as paths

MORE = Path("data/additions/more.zarr")
COMMANDS = (
    "build-dict",
    "gramian",
    f"add-exemplars {MORE}",
    "encode --lambda 12",
    "encode --lambda 12 --inhibition gramian",
    "encode --lambda 12 --split train --images 500",
    "train-decoder",
    "decode",
    "baselines",
    "evaluate",
    "report",
    "verify",
    f"remove-exemplars {MORE}",
)
CODED = ("train-decoder", "decode")
"""Commands before which codes of all images are put in place."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--atoms", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--budgets", type=float, nargs="+", default=[1.5, 2, 4], metavar="GIB")
    takes_json(parser)
    wanted = parser.parse_args()
    peaks: dict[str, dict[str, float]] = {}
    for budget in wanted.budgets:
        folder = wanted.folder / f"{budget:g}"
        project(folder, run__memory=f"{budget:g}GiB", train_decoder__images="all")
        stores = {paths.features("train"): wanted.atoms, paths.features("test"): wanted.images, MORE: 1000}
        for seed, (path, n) in enumerate(stores.items()):
            make_features(folder / path, n, wanted.features, seed)
        for command in COMMANDS:
            if command in CODED:
                split, n = ("train", wanted.atoms) if command == "train-decoder" else ("test", wanted.images)
                shutil.rmtree(folder / paths.codes(split), ignore_errors=True)
                codes(folder, split, n)
            seconds, peak, _ = dseld(folder, *command.split())
            peaks.setdefault(command, {})[f"{budget:g}"] = peak / 2**30
            over = "  OVER" if peak > budget * 2**30 else ""
            print(f"{budget:4g} GiB  {command:48} {peak / 2**30:5.2f} GiB  {seconds:6.1f} s{over}", flush=True)
        shutil.rmtree(folder)
    sizes = {"atoms": wanted.atoms, "features": wanted.features, "images": wanted.images}
    keep(wanted.json, sizes | {"peak_gib": peaks})
    sys.exit(any(peak > float(budget) for found in peaks.values() for budget, peak in found.items()))


if __name__ == "__main__":
    main()
