"""ImageNet's size on one machine: every stage over 1,281,167 exemplars of 2,048 features, without a Gramian.

    python benchmarks/scale.py FOLDER [--atoms 1281167] [--features 2048] [--images 200] [--memory 4GiB]

Features are synthetic, of a hundred classes, and take as much disk as the dictionary: 10.5 GB each at full size. The
same images are coded over the first 50,000 exemplars first, in the same run, so that the cost of one can be compared.
Folders that are there are gone on with: `dseld` resumes what was interrupted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facts import keep, takes_json
from project import dseld, project
from project import features as make_features

from dseld_cli import store
from dseld_cli.store import project as paths

FIRST = 50_000
MORE = Path("data/additions/more.zarr")
STAGES = ("build-dict", "encode", "decode", "baselines", "evaluate", f"add-exemplars {MORE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--atoms", type=int, default=1_281_167)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=25.0)
    parser.add_argument("--memory", default="4GiB")
    takes_json(parser)
    wanted = parser.parse_args()
    sizes = {"atoms": wanted.atoms, "features": wanted.features, "images": wanted.images, "memory": wanted.memory}
    sizes["lambda"] = wanted.lambda_
    found: dict[str, dict[str, object]] = {}
    for size in sorted({min(FIRST, wanted.atoms), wanted.atoms}):
        folder = wanted.folder / str(size)
        settings = {"build_dict__size": size, "lca__lambda": wanted.lambda_, "run__memory": wanted.memory}
        project(folder, gramian__build="never", **settings)
        stores = {paths.features("train"): size, paths.features("test"): wanted.images, MORE: 1000}
        for seed, (path, n) in enumerate(stores.items()):
            if not store.present(folder / path):
                make_features(folder / path, n, wanted.features, seed)
        for stage in STAGES:
            seconds, peak, said = dseld(folder, *stage.split())
            name = stage.split()[0]
            found.setdefault(name, {})[str(size)] = {"seconds": seconds, "peak_gib": peak / 2**30, "said": said}
            print(f"{size:9,} {name:14} {seconds:8.1f} s {peak / 2**30:5.2f} GiB  {said.splitlines()[-1]}", flush=True)
            keep(wanted.json, sizes | {"stages": found})


if __name__ == "__main__":
    main()
