"""Growing at full size: 50, 500 and 5,000 exemplars join 50,000; time, bytes, equality with a scratch build.

    python benchmarks/grow.py FOLDER [--base 50000] [--features 2048] [--added 50 500 5000]

FOLDER is that of benchmarks/gramian.py, with its Gramian, or any new one; it needs room for a second Gramian (6 GB)
while the scratch build is compared, and ends as it began.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

import numpy as np
from project import dseld, features, project
from ruamel.yaml import YAML

from dseld_cli import paths, store

Stamps = dict[str, tuple[int, int, str]]


def stamps() -> Stamps:
    """Modification time, size and checksum in the mark of each tile."""
    gramian, folder = store.open_store(paths.GRAMIAN, "gramian"), paths.GRAMIAN / "gramian/c"
    return {
        key: (file.stat().st_mtime_ns, file.stat().st_ino, sha256)
        for key, sha256 in gramian.arrays["gramian"]["sha256"].items()
        if (file := folder / key).exists()
    }


def restore(begin: Path) -> None:
    """Go back to the base, its Gramian's files included, by hard links."""
    for path in (paths.DICTIONARY, paths.GRAMIAN):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(begin / path.name, path, copy_function=os.link)
    listed([])


def listed(additions: list[str]) -> None:
    """Write params.yaml's additions."""
    document = YAML().load(Path("params.yaml").read_text())
    document["additions"] = additions
    with Path("params.yaml").open("w") as file:
        YAML().dump(document, file)


def compare(old_rows: int, grown: Path) -> None:
    """Compare the grown stores, moved to `grown`, with those in force, which were made from scratch."""
    ours, theirs = store.open_store(grown / "gramian.zarr", "gramian"), store.open_store(paths.GRAMIAN, "gramian")
    marks = [store.open_store(p, "dictionary").fingerprint for p in (grown / "dictionary.zarr", paths.DICTIONARY)]
    print("dictionary's fingerprint as from scratch:", marks[0] == marks[1])
    old, recent = 0.0, 0.0
    for i, j in (map(int, key.split("/")) for key in ours.arrays["gramian"]["sha256"]):
        a, b = ours.chunk("gramian", (i, j)), theirs.chunk("gramian", (i, j))
        part = max(0, min(len(a), old_rows - i * store.ROWS))
        old = max(old, float(np.abs(a[:part] - b[:part]).max(initial=0)))
        recent = max(recent, float(np.abs(a[part:] - b[part:]).max(initial=0)))
    print(f"Gramian against one from scratch: old rows off by {old:.1e}, new ones by {recent:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--added", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", action="store_true", help="compare the largest with a scratch build")
    wanted = parser.parse_args()
    if not (wanted.folder / paths.GRAMIAN).exists():
        project(wanted.folder, build_dict__size=wanted.base)
        os.chdir(wanted.folder)
        features(paths.features("train"), wanted.base, wanted.features, 0)
        dseld(Path(), "build-dict")
        print(dseld(Path(), "gramian")[2])
    else:
        os.chdir(wanted.folder)
    for n in wanted.added:
        features(Path(f"data/additions/{n}.zarr"), n, wanted.features, n)
    begin = Path("data/begin")
    shutil.rmtree(begin, ignore_errors=True)
    for path in (paths.DICTIONARY, paths.GRAMIAN):
        shutil.copytree(path, begin / path.name, copy_function=os.link)
    before = stamps()
    ragged = wanted.base // store.ROWS
    times: dict[int, list[float]] = {n: [] for n in wanted.added}
    for _ in range(wanted.repeats):
        for n in wanted.added:
            restore(begin)
            seconds, peak, said = dseld(Path(), "add-exemplars", f"data/additions/{n}.zarr", "--memory", "2GiB")
            times[n].append(seconds)
            after = stamps()
            kept = [key for key in before if int(key.split("/")[0]) != ragged]
            untouched = all(after[key] == before[key] for key in kept)
            print(f"{n} added in {seconds:.2f} s, peak {peak / 2**30:.2f} GiB")
            print(f"    all {len(kept)} tiles above the ragged row untouched: {untouched}")
            print("   ", said.replace("\n", "\n    "))
    best = {n: min(seconds) for n, seconds in times.items()}
    print("best of each:", {n: round(seconds, 2) for n, seconds in best.items()})
    restore(begin)
    print(f"nothing to do: {dseld(Path(), 'add-exemplars')[0]:.2f} s")
    if wanted.scratch:
        n = wanted.added[-1]
        dseld(Path(), "add-exemplars", f"data/additions/{n}.zarr")
        grown = Path("data/grown")
        shutil.rmtree(grown, ignore_errors=True)
        grown.mkdir()
        for path in (paths.DICTIONARY, paths.GRAMIAN):
            path.rename(grown / path.name)
        dseld(Path(), "add-exemplars")
        print(dseld(Path(), "gramian", "--memory", "2GiB")[2])
        compare(wanted.base, grown)
        shutil.rmtree(grown)
        restore(begin)
    shutil.rmtree(begin)


if __name__ == "__main__":
    main()
