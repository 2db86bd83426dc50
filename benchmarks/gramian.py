"""The Gramian at full size: rate against one large product in memory, store size, peak memory, entries.

    python benchmarks/gramian.py FOLDER [--atoms 50000] [--features 2048] [--memory 2GiB]

FOLDER needs room for 1.7 times the Gramian (9 GB by default) and is left as it is afterwards, to look at.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from facts import keep, takes_json
from project import dseld, features, project

from dseld_cli import store
from dseld_cli.dictionary.gramian import rectangle
from dseld_cli.store import project as paths


def large_product(n_features: int, rows: int = 8192) -> tuple[float, float]:
    """FLOP/s, and FLOP a second of the cores' time, of a product of two (8192, N) float32 matrices in memory."""
    left, right = torch.rand(rows, n_features), torch.rand(rows, n_features)
    began, worked = time.monotonic(), time.process_time()
    torch.mm(left, right.T)
    flop = 2 * rows * rows * n_features
    return flop / (time.monotonic() - began), flop / (time.process_time() - worked)


def cpu_of_children() -> float:
    """Seconds of the cores' time that commands took so far: other load on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check(n: int) -> None:
    """Compare random entries, the diagonal and rectangles across tile edges with float64 inner products."""
    gramian = store.open_store(paths.GRAMIAN, store.GramianInfo)
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    rng, worst, edge, diagonal = np.random.default_rng(0), 0.0, 0.0, 0.0
    for _ in range(40):
        i, j = rng.integers(0, n - 50, 2)
        exact = [dictionary.rows("atoms", slice(k, k + 50)).astype(np.float64) for k in (i, j)]
        found = rectangle(gramian, slice(i, i + 50), slice(j, j + 50))
        worst = max(worst, np.abs(found - exact[0] @ exact[1].T).max())
    for k in range(0, n, store.spec.ROWS):
        square = rectangle(gramian, slice(max(0, k - 9), k + 9), slice(max(0, k - 9), k + 9))
        edge = max(edge, np.abs(square - square.T).max())
        diagonal = max(diagonal, np.abs(np.diag(square) - 1).max())
    print(f"random entries off by {worst:.1e}, asymmetry at tile edges {edge:.1e}, diagonal off by {diagonal:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--atoms", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    takes_json(parser)
    wanted = parser.parse_args()
    project(wanted.folder, build_dict__size=wanted.atoms, gramian__dtype=wanted.dtype)
    os.chdir(wanted.folder)
    if not paths.DICTIONARY.exists():
        features(paths.features("train"), wanted.atoms, wanted.features, 0)
        print(dseld(Path(), "build-dict")[2])
    n_blocks = -(-wanted.atoms // store.spec.ROWS)
    flop = sum(
        2
        * wanted.features
        * (min(wanted.atoms, (i + 1) * store.spec.ROWS) - i * store.spec.ROWS)
        * (min(wanted.atoms, (j + 1) * store.spec.ROWS) - j * store.spec.ROWS)
        for i in range(n_blocks)
        for j in range(i + 1)
    )
    shares = []
    for _ in range(wanted.repeats):
        shutil.rmtree(paths.GRAMIAN, ignore_errors=True)
        before = large_product(wanted.features)
        worked = cpu_of_children()
        seconds, peak, said = dseld(Path(), "gramian", "--memory", wanted.memory)
        worked = cpu_of_children() - worked
        after = large_product(wanted.features)
        rate = flop / seconds
        shares.append(rate / ((before[0] + after[0]) / 2))
        print(said)
        print(
            f"{seconds:.1f} s with start-up, {rate / 1e9:.0f} GFLOP/s; a large product {before[0] / 1e9:.0f} before, "
            f"{after[0] / 1e9:.0f} after: {100 * shares[-1]:.0f} %; peak {peak / 2**30:.2f} GiB of {wanted.memory}"
        )
        print(f"    by the cores' time: {100 * flop / worked / ((before[1] + after[1]) / 2):.0f} %")
    size = sum(file.stat().st_size for file in paths.GRAMIAN.rglob("*") if file.is_file())
    print(f"median {100 * statistics.median(shares):.0f} % of one large product")
    print(f"store {size / 1e9:.2f} GB, dense {4 * wanted.atoms**2 / 1e9:.2f} GB")
    figures = {"atoms": wanted.atoms, "features": wanted.features, "memory": wanted.memory, "dtype": wanted.dtype}
    figures |= {"seconds": seconds, "share_of_a_large_product": statistics.median(shares), "peak_bytes": peak}
    keep(wanted.json, figures | {"store_bytes": size})
    seconds, peak, said = dseld(Path(), "gramian", "--memory", wanted.memory)
    print(f"{said} ({seconds:.1f} s, peak {peak / 2**30:.2f} GiB)")
    check(wanted.atoms)


if __name__ == "__main__":
    main()
