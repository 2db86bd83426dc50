"""`dseld reconstruct`: test images rebuilt over training images and over Gaussian noise (paper, Sec. 4.1)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.evaluation import plots
from dseld_cli.evaluation.reconstruction import (
    Progress,
    Rebuilt,
    gaussian_atoms,
    quality,
    rebuild,
    steps_to_settle,
    unit,
)
from dseld_cli.images.datasets import images as open_images
from dseld_cli.images.image import Images
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.console import say, say_json, table, track
from dseld_cli.runtime.outputs import together
from dseld_cli.store import project as paths

SMALLEST = 7
"""Pixels that an image needs on each side: SSIM compares windows of this size."""
LARGEST = 4096
"""Numbers an image may have: photographs of more belong to a backbone."""


def run(params: Params, as_json: bool = False) -> None:
    """Rebuild a few test images over both dictionaries; write pictures, energy curves and figures.

    Raises:
        UserError: if there are too few images, they differ in size, are too small or large, or the recurrence diverges.

    """
    wanted, root = params.reconstruct, Path(params.data.root)
    share = params.extract.test_share, params.extract.seed
    train, test = (open_images(params.data.dataset, root, split, *share) for split in ("train", "test"))
    pixels = _drawn(test, wanted.images, "reconstruct.images", wanted.seed)
    shape = pixels.shape[1:]
    atoms = unit(_flat(_drawn(train, wanted.atoms, "reconstruct.atoms", wanted.seed, shape)))
    recurrence = lca_params(wanted)
    rebuilt = {}
    gaussian = gaussian_atoms(len(atoms), atoms.shape[1], wanted.seed)
    for name, phi in (("dataset", atoms), ("gaussian", gaussian)):
        rebuilt[name] = rebuild(_flat(pixels), phi, recurrence, _bar(name))
        _require_stable(rebuilt[name], name, recurrence)
    found = {
        "dataset": params.data.dataset,
        "images": len(pixels),
        "atoms": len(atoms),
        "features": atoms.shape[1],
        "lambda": wanted.lambda_,
        "tau": wanted.tau,
        "steps": wanted.steps,
        "dictionaries": {name: _figures(pixels, r) for name, r in rebuilt.items()},
    }
    rows = {"input": pixels} | {name: r.images.reshape(pixels.shape) for name, r in rebuilt.items()}
    curves = {name: (r.reconstruction.mean(axis=0), r.sparsity.mean(axis=0)) for name, r in rebuilt.items()}
    with together() as aside:
        figures = aside(paths.RECONSTRUCTION / "figures.json")
        figures.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        aside(paths.RECONSTRUCTION / "images.png").write_bytes(plots.png(plots.image_rows, rows))
        aside(paths.RECONSTRUCTION / "energy.png").write_bytes(plots.png(plots.energy_curves, curves))
    say_json(found) if as_json else _show(found)


def _bar(name: str) -> Progress:
    return lambda steps: track(steps, len(steps), f"coding over the {name} dictionary")


def _drawn(
    images: Images, wanted: int, key: str, seed: int, shape: tuple[int, ...] | None = None
) -> NDArray[np.float32]:
    """Pixels in [0, 1] of images drawn at random, (n, H, W) or (n, H, W, 3), all of one shape."""
    if wanted > len(images):
        raise UserError(f"{key}: {wanted} images asked for, but there are {len(images)}")
    rows = np.random.default_rng(seed).permutation(len(images))[:wanted]
    pixels = [np.asarray(images.open(images.raw(int(i))), np.float32) / 255 for i in track(rows, wanted, "reading")]
    shape = shape or pixels[0].shape
    odd = [i for i, image in zip(rows, pixels, strict=True) if image.shape != shape]
    if odd:
        raise UserError(
            f"{images.source[odd[0]]} differs in size or colours: dseld reconstruct needs images of one size"
        )
    if min(shape[:2]) < SMALLEST or np.prod(shape) > LARGEST:
        raise UserError(
            f"images of {shape[1]} x {shape[0]} pixels: dseld reconstruct works on pixels, {SMALLEST} at least on each "
            f"side and {LARGEST} numbers at most"
        )
    return np.stack(pixels)


def _flat(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels.reshape(len(pixels), -1)


def _require_stable(rebuilt: Rebuilt, name: str, recurrence: LCAParams) -> None:
    if rebuilt.unstable.any():
        raise UserError(
            f"the recurrence diverges for {rebuilt.unstable.sum()} of {len(rebuilt.unstable)} images over the {name} "
            f"dictionary: raise reconstruct.tau (now {recurrence.tau:g}, and reconstruct.steps with it) or "
            "reconstruct.lambda"
        )


def _figures(pixels: NDArray[np.float32], rebuilt: Rebuilt) -> dict[str, float]:
    energy = rebuilt.reconstruction + rebuilt.sparsity
    found = quality(_flat(pixels), rebuilt.images, pixels.shape[1:])
    return found | {
        "steps_to_settle": float(steps_to_settle(energy).mean()),
        "neurons_firing": float(rebuilt.firing.mean()),
        "energy": float(energy[:, -1].mean()),
    }


def _show(found: dict[str, object]) -> None:
    say(
        f"{found['images']} test images of {found['features']} numbers, {found['atoms']} atoms, lambda "
        f"{found['lambda']:g}, tau {found['tau']:g}, {found['steps']} steps"
    )
    dictionaries = found["dictionaries"]
    assert isinstance(dictionaries, dict)
    rows = [
        [
            name,
            f"{f['mse']:.1f}",
            f"{f['psnr']:.2f} dB",
            f"{f['ssim']:.3f}",
            f"{f['steps_to_settle']:.0f}",
            f"{f['neurons_firing']:.0f}",
        ]
        for name, f in dictionaries.items()
    ]
    columns = ["dictionary", "MSE (0 to 255)", "PSNR", "SSIM", "steps to settle", "neurons firing"]
    table("Reconstruction", columns, rows)
    say(f"pictures: {paths.RECONSTRUCTION}/images.png, {paths.RECONSTRUCTION}/energy.png")
