"""What Dask costs on one machine: `dseld encode` by threads and by local workers, in turns; and that codes are equal.

    python benchmarks/engines.py WORK/cifar10-val --images 4000

The project has features and a dictionary. Times are of whole commands: start-up of workers included.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from facts import keep, takes_json
from project import codes_fingerprint, dseld

ENGINES = {
    "threads": ("--engine", "threads"),
    "dask local:1": ("--engine", "dask", "--scheduler", "local:1"),
    "dask local:2": ("--engine", "dask", "--scheduler", "local:2"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--images", default="all")
    parser.add_argument("--repeats", type=int, default=3)
    takes_json(parser)
    wanted = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
    codes = set()
    for _ in range(wanted.repeats):
        for name, engine in ENGINES.items():
            seconds[name].append(dseld(wanted.project, "encode", "--images", wanted.images, *engine)[0])
            codes.add(codes_fingerprint(wanted.project))
            print(f"{name:13} {seconds[name][-1]:7.1f} s", flush=True)
    median = {name: statistics.median(its) for name, its in seconds.items()}
    ratio = {name: its / median["threads"] for name, its in median.items()}
    for name in ENGINES:
        print(f"{name:13} {median[name]:7.1f} s, {ratio[name]:.2f} of threads")
    print("codes are equal" if len(codes) == 1 else "CODES DIFFER")
    keep(wanted.json, {"images": wanted.images, "seconds": seconds, "ratio": ratio, "equal": len(codes) == 1})


if __name__ == "__main__":
    main()
