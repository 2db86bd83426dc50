"""Time the working-set encoder against the direct recurrence and others, in one run on the same images and atoms.

    python benchmarks/encode.py --mnist data --images 2000
    python benchmarks/encode.py --features-train train.npz --features-test test.npz --images 2000 --json result.json
    python benchmarks/encode.py --atoms 10000 --features 1280            (synthetic)
    python benchmarks/encode.py --on-disk /somewhere/large --atoms 1000000 --images 100

The direct recurrence is timed on fewer images, half of them before and half after the working set's, and compared by
cost an image. Give it many: a batch of 32 costs more than twice as much an image as one of 256. Absolute times on
a shared machine mean little; the ratio of one run does.

What did not pay (CIFAR-10 through EfficientNet-Lite0, 50,000 atoms, two AVX512-BF16 cores):

- Principal components of the atoms as further references: 64 of them halve the residual of two references, at 64
  multiplications an atom and knot; a third reference costs less and does more. They do pay for the first look at b.
- The mean atom alone as a free reference: the path's second direction is not along it, the residual stays.
- Points of the path as references instead of its principal directions: residual 0.19 instead of 0.15 with two.
- More references, so that fewer atoms are multiplied exactly (RESIDUAL 0.05): 6.8 products instead of 4.9, no faster.
- Starting from fewer atoms (96, 144): more violators, many only because the others are missing; sets grow to 400 to 510
  instead of 360. Starting from 256 buys nothing either.
- bfloat16 with torch's out_dtype=float32 would save the rounding of the result: there is none on the CPU.
- oneDNN multiplies float32 two to three times as fast as MKL here (220 against 68 to 90 G multiplications a second):
  the direct recurrence, and the sub-Gramians, could gain that much, but torch offers it through private operators only.
- Sub-Gramians in torch: MKL reaches half of what OpenBLAS (numpy) does on this processor.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.inhibition import AtomBlocks, driving_input, through_atoms, through_gramian
from dseld_cli.lca.recurrence import Dynamics, respond
from dseld_cli.lca.working_set import Coded, encode

T = TypeVar("T")

BLOCK = 8192
GRAMIAN_TILE = 2048
ATOMS_PER_CLASS = 200
GRAMIAN_STEPS = 3
LASSO_ATOMS = 5000
LASSO_IMAGES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features-train", type=Path, help="npz with `features` (n, N): the atoms")
    parser.add_argument("--features-test", type=Path, help="npz with `features` (n, N): the images")
    parser.add_argument("--mnist", type=Path, help="torchvision root of MNIST")
    parser.add_argument("--on-disk", type=Path, help="folder for a synthetic dictionary too large for memory")
    parser.add_argument("--atoms", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1280, help="of synthetic atoms")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--direct-images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=2.0)
    parser.add_argument("--tau", type=float, default=100.0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dynamics = Dynamics(options.lambda_, options.tau, options.steps)
    result = on_disk(options, dynamics) if options.on_disk else in_memory(options, dynamics)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def in_memory(options: argparse.Namespace, dynamics: Dynamics) -> dict[str, Any]:
    images, atoms = problem(options)
    blocks = blocks_of(atoms)
    n_atoms, n_features = atoms.shape
    encode(images[:4], blocks, n_atoms, dynamics)  # compile
    few = images[: options.direct_images]
    halves = few.chunk(2)
    seconds, codes = zip(*(timed(lambda h=h: direct(h, blocks, n_atoms, dynamics)) for h in halves[:1]), strict=True)
    ours, coded = timed(lambda: encode_in_batches(images, blocks, n_atoms, dynamics, options.batch))
    more = [timed(lambda h=h: direct(h, blocks, n_atoms, dynamics)) for h in halves[1:]]
    direct_cost = (sum(seconds) + sum(t for t, _ in more)) / len(few)
    reference = SparseCodes.concatenate([*codes, *(code for _, code in more)])
    costs = {
        "working set": ours / len(images),
        "direct, through the atoms": direct_cost,
        f"direct, through the Gramian (tiles from memory, {GRAMIAN_STEPS} steps extrapolated)": gramian_cost(
            few, atoms, dynamics
        ),
        f"lasso_cd, converged, {min(LASSO_ATOMS, n_atoms)} atoms only": lasso_cost(few, atoms, dynamics),
    }
    return summary(costs, coded, n_atoms, n_features) | agreement(reference, coded[0].codes, len(few))


def on_disk(options: argparse.Namespace, dynamics: Dynamics) -> dict[str, Any]:
    path = options.on_disk / f"atoms-{options.atoms}-{options.features}.f32"
    images = write_synthetic(path, options.atoms, options.features, options.images)
    blocks = blocks_of_file(path, options.atoms, options.features)
    small = min(50_000, options.atoms)
    encode(images[:4], blocks_of_file(path, small, options.features), small, dynamics)  # compile
    before, _ = timed(lambda: encode(images, blocks_of_file(path, small, options.features), small, dynamics))
    ours, coded = timed(lambda: encode_in_batches(images, blocks, options.atoms, dynamics, options.batch))
    costs = {f"working set, first {small} atoms": before / len(images), "working set": ours / len(images)}
    return summary(costs, coded, options.atoms, options.features)


def problem(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Images (n, N) and unit-norm atoms (M, N)."""
    if options.mnist:
        from torchvision.datasets import MNIST

        train, test = (MNIST(options.mnist, train=train).data.reshape(-1, 784).float() / 255 for train in (True, False))
    elif options.features_train:
        train, test = (
            torch.from_numpy(np.load(path)["features"]) for path in (options.features_train, options.features_test)
        )
    else:
        classes = classes_of(options.atoms)
        train = synthetic(options.atoms, options.features, classes, 2)
        test = 20 * synthetic(options.images, options.features, classes, 1)
    return test[: options.images].contiguous(), torch.nn.functional.normalize(train[: options.atoms], dim=1)


def synthetic(n: int, n_features: int, n_classes: int, seed: int) -> Tensor:
    """Draw unit vectors (n, N) around the centres of classes, positive and correlated as pooled CNN features are.

    Many alike would fire together and make the recurrence unstable: take a class for every ATOMS_PER_CLASS atoms.
    """
    centres = torch.randn((n_classes + 1, n_features), generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(n_classes, (n,), generator=generator)
    rows = torch.randn((n, n_features), generator=generator).add_(centres[labels]).add_(centres[-1], alpha=0.5)
    return torch.nn.functional.normalize(rows.relu_(), dim=1)


def write_synthetic(path: Path, n_atoms: int, n_features: int, n_images: int) -> Tensor:
    """Write the dictionary, unless it is there, and return images of the same classes."""
    if not path.exists() or path.stat().st_size != 4 * n_atoms * n_features:
        with path.open("wb") as file:
            for start in range(0, n_atoms, BLOCK):
                block = synthetic(min(BLOCK, n_atoms - start), n_features, classes_of(n_atoms), start + 2)
                block.numpy().tofile(file)
    return 20 * synthetic(n_images, n_features, classes_of(n_atoms), 1)


def classes_of(n_atoms: int) -> int:
    return max(10, n_atoms // ATOMS_PER_CLASS)


def blocks_of(atoms: Tensor) -> AtomBlocks:
    return lambda: ((slice(i, i + len(block)), block) for i, block in zip(
        range(0, len(atoms), BLOCK), atoms.split(BLOCK), strict=True))  # fmt: skip


def blocks_of_file(path: Path, n_atoms: int, n_features: int) -> AtomBlocks:
    def blocks():
        with path.open("rb") as file:
            for start in range(0, n_atoms, BLOCK):
                count = min(BLOCK, n_atoms - start)
                block = np.fromfile(file, np.float32, count * n_features).reshape(count, n_features)
                yield slice(start, start + count), torch.from_numpy(block)

    return blocks


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def direct(images: Tensor, blocks: AtomBlocks, n_atoms: int, dynamics: Dynamics) -> SparseCodes:
    """Code images as one would in torch: two float32 products a step, in one batch."""
    b = driving_input(images, blocks, n_atoms)
    return SparseCodes.from_response(respond(b, through_atoms(blocks, images.shape[1]), dynamics))


def encode_in_batches(images: Tensor, blocks: AtomBlocks, n_atoms: int, dynamics: Dynamics, batch: int) -> list[Coded]:
    return [encode(part, blocks, n_atoms, dynamics) for part in images.split(batch)]


def gramian_cost(images: Tensor, atoms: Tensor, dynamics: Dynamics) -> float:
    """Seconds an image, from a few steps. One true tile stands for all: a lower bound, as nothing is read from disk."""
    tile = atoms[:GRAMIAN_TILE] @ atoms[:GRAMIAN_TILE].T
    cuts = [slice(i, min(i + GRAMIAN_TILE, len(atoms))) for i in range(0, len(atoms), GRAMIAN_TILE)]

    def tiles():
        for i, rows in enumerate(cuts):
            for columns in cuts[: i + 1]:
                yield rows, columns, tile[: rows.stop - rows.start, : columns.stop - columns.start]

    few = Dynamics(dynamics.lambda_, dynamics.tau, GRAMIAN_STEPS)
    b = images @ atoms.T
    seconds, _ = timed(lambda: respond(b, through_gramian(tiles), few))
    return seconds / GRAMIAN_STEPS * dynamics.steps / len(images)


def lasso_cost(images: Tensor, atoms: Tensor, dynamics: Dynamics) -> float:
    """Seconds an image of scikit-learn's coordinate descent: another problem (converged), and fewer atoms."""
    from sklearn.decomposition import sparse_encode

    dictionary, some = atoms[:LASSO_ATOMS].numpy(), images[:LASSO_IMAGES].numpy()
    gram = dictionary @ dictionary.T
    seconds, _ = timed(
        lambda: sparse_encode(some, dictionary, gram=gram, algorithm="lasso_cd", alpha=dynamics.lambda_, max_iter=1000)
    )
    return seconds / len(some)


def summary(costs: dict[str, float], coded: list[Coded], n_atoms: int, n_features: int) -> dict[str, Any]:
    reports = [part.report for part in coded]
    phases = {name: sum(r.seconds.get(name, 0.0) for r in reports) for r in reports for name in r.seconds}
    products = np.concatenate([r.products for r in reports])
    return {
        "atoms": n_atoms,
        "features": n_features,
        "images": len(products),
        "seconds_per_image": costs,
        "times_faster": {name: cost / costs["working set"] for name, cost in costs.items()},
        "passes_per_image": float(products.mean()),
        "most_passes": float(products.max()),
        "proved": float(np.concatenate([r.proved for r in reports]).mean()),
        "unstable": float(np.concatenate([r.unstable for r in reports]).mean()),
        "working_set": float(np.concatenate([r.working_set for r in reports]).mean()),
        "phases": {name: seconds / sum(phases.values()) for name, seconds in phases.items()},
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def agreement(reference: SparseCodes, codes: SparseCodes, n: int) -> dict[str, Any]:
    """Compare the codes of the first n images."""
    largest, support = 0.0, 0
    for i in range(n):
        true, ours = (
            dict(zip(c.indices[row].tolist(), c.values[row].tolist(), strict=True))
            for c in (reference, codes)
            for row in [slice(c.indptr[i], c.indptr[i + 1])]
        )
        largest = max([largest, *(abs(true.get(m, 0) - ours.get(m, 0)) for m in true | ours)])
        support += true.keys() != ours.keys()
    return {"compared": n, "largest_difference": largest, "images_with_other_support": support}


def show(result: dict[str, Any]) -> None:
    table = Table("what", "ms an image", "times the working set")
    for name, cost in result["seconds_per_image"].items():
        table.add_row(name, f"{1e3 * cost:.2f}", f"{result['times_faster'][name]:.1f}")
    for name, share in result["phases"].items():
        table.add_row(f"  share of {name}", "", f"{share:.1%}")
    for name, value in result.items():
        if not isinstance(value, dict):
            table.add_row(name, "", f"{value:.4g}")
    Console().print(table)


if __name__ == "__main__":
    main()
