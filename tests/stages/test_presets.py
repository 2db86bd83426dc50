"""Every row of the paper, from `init --preset` to a figure, on a tiny set of the same layout and random weights."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from dseld_cli.evaluation.paper import ACCURACY, Accuracy
from tests.conftest import Run
from tests.images.test_datasets import write_idx

CLASSES, PER_CLASS = 2, 2


def pixels(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)


def mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "t10k"):
        write_idx(root / "MNIST/raw" / f"{part}-images-idx3-ubyte", pixels(20, 28, 28))
        write_idx(root / "MNIST/raw" / f"{part}-labels-idx1-ubyte", np.arange(20) % 10)


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch, kind: type[datasets.CIFAR10], key: str, names: str) -> None:
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    for listed in ("train_list", "test_list"):
        files = [file for file, _ in getattr(kind, listed)]
        monkeypatch.setattr(kind, listed, [[file, None] for file in files])
        for file in files:
            content = {"data": pixels(4, 3072), key: [i % CLASSES for i in range(4)]}
            (folder / file).write_bytes(pickle.dumps(content))
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": None})
    meta = {names: [f"class {i}" for i in range(CLASSES)]}
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps(meta))


def cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar(root, monkeypatch, datasets.CIFAR10, "labels", "label_names")


def cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar(root, monkeypatch, datasets.CIFAR100, "fine_labels", "fine_label_names")


def imagenet(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wnids = ("n01440764", "n02102040")
    for part in ("train", "val"):
        for i, wnid in enumerate(wnids):
            (root / part / wnid).mkdir(parents=True)
            for n in range(PER_CLASS):
                Image.fromarray(pixels(40 + i, 40, 3)).save(root / part / wnid / f"{n}.JPEG")
    torch.save(({wnid: (f"class {i}",) for i, wnid in enumerate(wnids)}, []), root / "meta.bin")


LAYOUTS = {"mnist": mnist, "cifar10": cifar10, "cifar100": cifar100, "imagenet": imagenet}


QUICK = ("mnist", "cifar10-resnet50", "cifar100-efficientnet_v2_s", "imagenet-resnet152")
"""Each data set, and each network, once."""
ROWS = [pytest.param(row, id=row.preset, marks=[] if row.preset in QUICK else pytest.mark.slow) for row in ACCURACY]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_paper_runs(row: Accuracy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    root = tmp_path / "sets"
    root.mkdir()
    LAYOUTS[row.dataset](root, monkeypatch)
    monkeypatch.chdir(tmp_path)
    run(f"init project --preset {row.preset} --data-root {root}")
    monkeypatch.chdir(tmp_path / "project")
    small = "" if row.extractor == "none" else "--image-size 32 --weights random"
    run(f"extract {small}")
    run("build-dict --size all")
    for line in ("encode", "decode", "evaluate"):
        run(line)
    found = json.loads(Path("metrics.json").read_text())
    assert (found["dataset"], found["backbone"].partition("@")[0]) == (row.dataset, row.extractor)
    assert "class-sum" in found["decoders"]
