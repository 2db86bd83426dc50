"""Time the encoder against the direct recurrence and others, in one run on the same images and atoms.

    python benchmarks/encode.py --mnist data --images 2000
    python benchmarks/encode.py --features-train train.npz --features-test test.npz --images 2000 --json result.json
    python benchmarks/encode.py --features-train train.npz --features-test test.npz --gramian /somewhere/large
    python benchmarks/encode.py --atoms 10000 --features 1280 --screening float32            (synthetic)

The direct recurrence runs in the faster of NumPy and torch, in two batches of at least 256 (a batch of 32 costs more
than twice as much per image), one before and one after the encoder. Absolute times on a shared machine mean little; the
ratio of one run does. One image at a time is timed beside one reading of the atoms.

What did not pay (CIFAR-10 through EfficientNet-Lite0, 50,000 atoms, two AVX512-BF16 cores):

- Principal components of the atoms as further references: 64 of them halve the residual of two references, at 64
  multiplications an atom and knot; a third reference costs less and does more. They do pay for the first look at b.
- bfloat16 on a processor that has it and multiplies float32 faster all the same (an Intel with AVX512-BF16 under a
  virtual machine: 78 against 130 GFLOP/s per core, torch 2.14).
- Starting from 192 atoms once a sketch adds to them: 128 give smaller working sets at as many passes.
- Asking the sketch twice: the second time it names hardly anybody.
- A sketch of N / 8 directions: a quarter of all images are screened twice, against one in twenty with N / 4.
- Letting in watched atoms within a margin of lambda by their screening bound: sets grow to 600 instead of 370.
- Looking inner products up where linear algebra is fast (the same machine, busy): 3.5 ms against 2.4 for 340 atoms on
  one thread; on an AMD with AVX2 it was 0.7 against 5.1 for 240.
- The mean atom alone as a free reference: the path's second direction is not along it, the residual stays.
- Points of the path as references instead of its principal directions: residual 0.19 instead of 0.15 with two.
- More references, so that fewer atoms are multiplied exactly (RESIDUAL 0.05): 6.8 products instead of 4.9, no faster.
- Starting from fewer atoms (96, 144): more violators, many only because the others are missing; sets grow to 400 to 510
  instead of 360. Starting from 256 buys nothing either.
- oneDNN multiplies float32 two to three times as fast as MKL here (220 against 68 to 90 G multiplications a second):
  the direct recurrence, and the sub-Gramians, could gain that much, but torch offers it through private operators only.
- Sub-Gramians in torch: MKL reaches half of what OpenBLAS (numpy) does on this processor.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from facts import keep, processor, takes_json
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder, EncodeResult
from dseld_cli.lca.inhibition import GramianTiles, driving_input, through_atoms
from dseld_cli.lca.recurrence import LCAParams, run_lca

Float32 = NDArray[np.float32]
T = TypeVar("T")

TILE = 2048
ATOMS_PER_CLASS = 200
PROBE_STEPS = 5
SINGLE_IMAGES = 30
LASSO_ATOMS = 5000
LASSO_IMAGES = 8
ROUNDED = {"auto": None, "float32": False, "int16": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features-train", type=Path, help="npz with `features` (n, N), or npy: the atoms")
    parser.add_argument("--features-test", type=Path, help="npz with `features` (n, N), or npy: the images")
    parser.add_argument("--mnist", type=Path, help="torchvision root of MNIST")
    parser.add_argument("--gramian", type=Path, help="folder to write the Gramian to, and to look it up in (5 GB)")
    parser.add_argument("--screening", choices=list(ROUNDED), default="auto")
    parser.add_argument("--atoms", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1280, help="of synthetic atoms")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--direct-images", type=int, default=512)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=2.0)
    parser.add_argument("--tau", type=float, default=100.0)
    parser.add_argument("--steps", type=int, default=100)
    takes_json(parser)
    options = parser.parse_args()
    result = measured(options)
    show(result)
    keep(options.json, result)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    images, atoms = problem(options)
    params = LCAParams(options.lambda_, options.tau, options.steps)
    gramian = mapped(options.gramian, atoms) if options.gramian else None
    rounded = ROUNDED[options.screening]

    def encoder(n: int) -> Encoder:
        return Encoder(atoms, params, gramian=gramian, images=n, rounded=rounded)

    encoder(1000).encode(images[:100])  # compile
    few = images[: options.direct_images]
    library = "torch" if probe("torch", few, atoms, params) < probe("numpy", few, atoms, params) else "numpy"
    half = len(few) // 2
    before, first = timed(lambda: direct(library, few[:half], atoms, params))
    ours, result = timed(lambda: encoder(len(images)).encode(images))
    after, second = timed(lambda: direct(library, few[half:], atoms, params))
    single = one_by_one(Encoder(atoms, params, rounded=False), images)
    costs = {
        "encoder": ours / len(images),
        f"direct, in {library}": (before + after) / len(few),
        f"lasso_cd, converged, {min(LASSO_ATOMS, len(atoms))} atoms only": lasso_cost(few, atoms, params),
    }
    reference = SparseCodes.concatenate([first, second])
    facts = {"processor": processor(), "screening": options.screening, "gramian": bool(gramian)}
    return facts | summary(costs, result, atoms) | single | agreement(reference, result.codes, len(few))


def one_by_one(encoder: Encoder, images: Float32) -> dict[str, float]:
    """Milliseconds of single images over atoms in memory, first without and then with the copy of half the size."""
    atoms = encoder.atoms.resident
    assert atoms is not None
    taken = [timed(lambda i=i: encoder.encode(images[i : i + 1]))[0] for i in range(64 + SINGLE_IMAGES)]
    reading = [timed(lambda: atoms.sum(dtype=np.float32))[0] for _ in range(5)]
    return {
        "one_image_ms_float32": 1e3 * float(np.median(taken[3:60])),
        "one_image_ms_half_size_copy": 1e3 * float(np.median(taken[66:])),
        "one_read_of_the_atoms_ms": 1e3 * min(reading),
    }


def mapped(folder: Path, atoms: Float32) -> GramianTiles:
    """Tiles of the Gramian, written as files once, and mapped into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = [slice(i, min(i + TILE, len(atoms))) for i in range(0, len(atoms), TILE)]
    tiles = []
    for i, rows in enumerate(cuts):
        for j, columns in enumerate(cuts[: i + 1]):
            file, shape = folder / f"{i}_{j}", (rows.stop - rows.start, columns.stop - columns.start)
            if file.exists():
                file.read_bytes()  # into the page cache, where it is looked up
            else:
                (atoms[rows] @ atoms[columns].T).tofile(file)
            tiles.append((rows, columns, np.asarray(np.memmap(file, np.float32, "r", shape=shape))))
    return lambda: tiles


def problem(options: argparse.Namespace) -> tuple[Float32, Float32]:
    """Images (n, N) and unit-norm atoms (M, N)."""
    if options.mnist:
        from torchvision.datasets import MNIST

        train, test = (
            MNIST(options.mnist, train=train).data.reshape(-1, 784).float().numpy() / 255 for train in (True, False)
        )
    elif options.features_train:
        train, test = (load(path) for path in (options.features_train, options.features_test))
    else:
        classes = max(10, options.atoms // ATOMS_PER_CLASS)
        train = synthetic(options.atoms, options.features, classes, 2)
        test = 20 * synthetic(options.images, options.features, classes, 1)
    return drawn(test, options.images), unit(drawn(train, options.atoms))


def drawn(rows: Float32, n: int) -> Float32:
    """Draw so many rows: the first ones of a folder of images are of one class, and easier than others."""
    return np.ascontiguousarray(rows[np.random.default_rng(0).permutation(len(rows))[:n]])


def load(path: Path) -> Float32:
    found = np.load(path)
    return found if isinstance(found, np.ndarray) else found["features"]


def unit(rows: Float32) -> Float32:
    return (rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


def synthetic(n: int, n_features: int, n_classes: int, seed: int) -> Float32:
    """Draw unit vectors (n, N) around the centres of classes, positive and correlated as pooled CNN features are.

    Many alike would fire together and make the recurrence unstable: take a class for every ATOMS_PER_CLASS atoms.
    """
    centres = np.random.default_rng(0).standard_normal((n_classes + 1, n_features), np.float32)
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, n_features), np.float32) + centres[rng.integers(n_classes, size=n)]
    return unit(np.maximum(rows + 0.5 * centres[-1], 0))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def direct(library: str, images: Float32, atoms: Float32, params: LCAParams) -> SparseCodes:
    """Code images as one would: two float32 products per step, in one batch."""
    s, phi = images, atoms
    if library == "torch":
        import torch

        s, phi = torch.from_numpy(images), torch.from_numpy(atoms)

    def blocks():
        return [(slice(0, len(atoms)), phi)]

    b = driving_input(s, blocks, len(atoms))
    return SparseCodes.from_response(run_lca(b, through_atoms(blocks, atoms.shape[1]), params))


def probe(library: str, images: Float32, atoms: Float32, params: LCAParams) -> float:
    """Seconds of a few steps."""
    short = LCAParams(params.lambda_, params.tau, PROBE_STEPS)
    return min(timed(lambda: direct(library, images, atoms, short))[0] for _ in range(3))


def lasso_cost(images: Float32, atoms: Float32, params: LCAParams) -> float:
    """Seconds per image of scikit-learn's coordinate descent: another problem (converged), and fewer atoms."""
    from sklearn.decomposition import sparse_encode

    dictionary, some = atoms[:LASSO_ATOMS], images[:LASSO_IMAGES]
    gram = dictionary @ dictionary.T
    seconds, _ = timed(
        lambda: sparse_encode(some, dictionary, gram=gram, algorithm="lasso_cd", alpha=params.lambda_, max_iter=1000)
    )
    return seconds / len(some)


def summary(costs: dict[str, float], result: EncodeResult, atoms: Float32) -> dict[str, Any]:
    report, total = result.report, sum(result.report.seconds.values())
    return {
        "atoms": len(atoms),
        "features": atoms.shape[1],
        "images": len(result.codes),
        "seconds_per_image": costs,
        "times_faster": {name: cost / costs["encoder"] for name, cost in costs.items()},
        "passes_per_image": float(report.products.mean()),
        "most_passes": float(report.products.max()),
        "proved": float(report.proved.mean()),
        "unstable": float(report.unstable.mean()),
        "working_set": float(report.working_set.mean()),
        "phases": {name: seconds / total for name, seconds in report.seconds.items()},
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def agreement(reference: SparseCodes, codes: SparseCodes, n: int) -> dict[str, Any]:
    """Compare the codes of the first n images."""
    m = 1 + int(max(reference.indices.max(initial=0), codes.indices.max(initial=0)))
    true, ours = reference.to_scipy(m), codes[:n].to_scipy(m)
    other = [not np.array_equal(true[[i]].indices, ours[[i]].indices) for i in range(n)]
    return {"compared": n, "largest_difference": float(abs(true - ours).max()), "images_with_other_support": sum(other)}


def show(result: dict[str, Any]) -> None:
    table = Table("what", "ms per image", "times the encoder")
    for name, cost in result["seconds_per_image"].items():
        table.add_row(name, f"{1e3 * cost:.2f}", f"{result['times_faster'][name]:.1f}")
    for name, share in result["phases"].items():
        table.add_row(f"  share of {name}", "", f"{share:.1%}")
    for name, value in result.items():
        if not isinstance(value, dict):
            table.add_row(name, "", value if isinstance(value, str) else f"{value:.4g}")
    Console().print(table)


if __name__ == "__main__":
    main()
