"""Growing at full size: 50, 500 and 5,000 exemplars join 50,000; time, bytes, equality with a scratch build.

    python benchmarks/grow.py FOLDER [--base 50000] [--features 2048] [--added 50 500 5000] [--scratch]

FOLDER is that of benchmarks/gramian.py, with its Gramian, or any new one; it needs room for a second Gramian (6 GB)
while the scratch build is compared, and ends as it began. A command's start-up is what it takes with nothing to do.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

import numpy as np
from facts import keep, takes_json
from project import dseld, features, project
from ruamel.yaml import YAML

from dseld_cli import store
from dseld_cli.dictionary.codes import read_codes
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.store import project as paths

IMAGES, THRESHOLD = 100, 0.27
"""Images to code, and lambda as a share of their norm."""
Stamps = dict[str, tuple[int, int, str]]


def stamps() -> Stamps:
    """Modification time, size and checksum in the mark of each tile."""
    gramian, folder = store.open_store(paths.GRAMIAN, store.GramianInfo), paths.GRAMIAN / "gramian/c"
    return {
        key: (file.stat().st_mtime_ns, file.stat().st_ino, digest)
        for key, digest in gramian.arrays["gramian"].digests.items()
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
    ours, theirs = (store.open_store(p, store.GramianInfo) for p in (grown / "gramian.zarr", paths.GRAMIAN))
    both = (grown / "dictionary.zarr", paths.DICTIONARY)
    marks = [store.open_store(path, store.DictionaryInfo).fingerprint for path in both]
    print("dictionary's fingerprint as from scratch:", marks[0] == marks[1])
    old, recent = 0.0, 0.0
    for i, j in (map(int, key.split("/")) for key in ours.arrays["gramian"].digests):
        a, b = ours.chunk("gramian", (i, j)), theirs.chunk("gramian", (i, j))
        part = max(0, min(len(a), old_rows - i * store.spec.ROWS))
        old = max(old, float(np.abs(a[:part] - b[:part]).max(initial=0)))
        recent = max(recent, float(np.abs(a[part:] - b[part:]).max(initial=0)))
    print(f"Gramian against one from scratch: old rows off by {old:.1e}, new ones by {recent:.1e}")


def full_build() -> float:
    """Seconds of what growing spares: writing the whole dictionary, and the whole Gramian, start-up excluded."""
    spent = 0.0
    for command, path in (("add-exemplars", paths.DICTIONARY), ("gramian", paths.GRAMIAN)):
        shutil.rmtree(path)
        spent += dseld(Path(), command, "--memory", "2GiB")[0] - start_up()
    return spent


def start_up() -> float:
    """Seconds of a command that finds everything as it should be, but for the reading of what is there."""
    return dseld(Path(), "add-exemplars")[0]


def codes(n_features: int) -> SparseCodes:
    """Code images over the dictionary in force."""
    if not paths.features("test").exists():
        features(paths.features("test"), IMAGES, n_features, 1)
    norm = np.linalg.norm(store.open_store(paths.features("test"), store.FeaturesInfo).rows("features", slice(0, 1)))
    dseld(Path(), "encode", "--lambda", f"{THRESHOLD * norm:.2f}")
    return read_codes(store.open_store(paths.codes("test"), store.CodesInfo))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--added", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--repeats", type=int, default=3)
    takes_json(parser)
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
    ragged = wanted.base // store.spec.ROWS
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
    restore(begin)
    best = {n: min(seconds) for n, seconds in times.items()}
    nothing = min(start_up() for _ in range(wanted.repeats))
    print("best of each:", {n: round(seconds, 2) for n, seconds in best.items()}, f"nothing to do: {nothing:.2f} s")
    few, many = wanted.added[0], wanted.added[-1]
    each = (best[many] - best[few]) / (many - few)
    for n in wanted.added:
        linear = best[few] + (n - few) * each
        print(f"{n}: {best[n] / linear:.2f} of linear from {few} to {many}, {1e3 * each:.2f} ms an exemplar")
    figures = {"base": wanted.base, "features": wanted.features, "best_seconds": best, "nothing_to_do_seconds": nothing}
    if wanted.scratch:
        whole = full_build()
        shares = {n: f"{100 * (seconds - nothing) / whole:.1f} %" for n, seconds in best.items()}
        figures["full_build_seconds"] = whole
        print(f"full build {whole:.1f} s, start-up excluded; shares of it that adding costs: {shares}")
        restore(begin)
        dseld(Path(), "add-exemplars", f"data/additions/{many}.zarr")
        ours, grown = codes(wanted.features), Path("data/grown")
        shutil.rmtree(grown, ignore_errors=True)
        grown.mkdir()
        for path in (paths.DICTIONARY, paths.GRAMIAN):
            path.rename(grown / path.name)
        dseld(Path(), "add-exemplars")
        print(dseld(Path(), "gramian", "--memory", "2GiB")[2])
        compare(wanted.base, grown)
        theirs = codes(wanted.features)
        same = np.array_equal(ours.indices, theirs.indices) and np.array_equal(ours.indptr, theirs.indptr)
        print(f"{IMAGES} images coded, {len(ours.values) / IMAGES:.0f} neurons each: same support {same},", end=" ")
        print(f"activations off by {np.abs(ours.values - theirs.values).max() if same else np.nan:.1e}")
        shutil.rmtree(grown)
        restore(begin)
    shutil.rmtree(begin)
    keep(wanted.json, figures)


if __name__ == "__main__":
    main()
