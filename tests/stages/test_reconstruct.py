"""`dseld reconstruct` on the digits and on small folders of images."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Run, image_folder, set_params


def test_figures_pictures_and_curves_are_written(project: Path, run: Run) -> None:
    said = run("reconstruct --images 3 --atoms 64 --steps 400 --tau 100 --json").stdout
    found = json.loads(said)
    assert found == json.loads(Path("data/reconstruction/figures.json").read_text())
    for figures in found["dictionaries"].values():
        assert figures["mse"] > 0
        assert figures["psnr"] > 10
        assert 0 < figures["steps_to_settle"] < 400
    better, worse = found["dictionaries"]["dataset"], found["dictionaries"]["gaussian"]
    assert better["mse"] < worse["mse"]
    assert better["ssim"] > worse["ssim"]
    assert better["steps_to_settle"] < worse["steps_to_settle"]
    for name in ("images", "energy"):
        assert Path(f"data/reconstruction/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_colour_images_of_a_folder(project: Path, run: Run) -> None:
    for split in ("train", "test"):
        image_folder(project / "images", {"ant": 12, "bee": 12}, split, size=8)
    set_params(data__dataset="folder:images")
    assert "dataset" in run("reconstruct --images 2 --atoms 20 --steps 300").stdout
    image_folder(project, {"ant": 20, "bee": 20}, "photos", size=8)
    set_params(data__dataset="folder:photos")
    assert "dataset" in run("reconstruct --images 2 --atoms 20 --steps 300").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--images 361", "reconstruct.images: 361 images asked for, but there are 360"),
        ("--atoms 5000", "reconstruct.atoms: 5000 images asked for, but there are 1437"),
        ("--steps 0", "reconstruct.steps should be"),
        ("--atoms 600 --tau 2 --lambda 0.01 --steps 200", "raise reconstruct.tau"),
    ],
)
def test_what_cannot_be_rebuilt_is_one_line(project: Path, run: Run, options: str, said: str) -> None:
    assert said in run(f"reconstruct {options}", ok=False).stderr
    assert not Path("data/reconstruction").exists()


def test_images_of_several_sizes_are_named(project: Path, run: Run) -> None:
    for split in ("train", "test"):
        image_folder(project / "images", {"ant": 3}, split, size=8)
    Image.new("RGB", (9, 8)).save(project / "images/train/ant/9.png")
    set_params(data__dataset="folder:images")
    said = run("reconstruct --images 2 --atoms 4 --steps 50", ok=False).stderr
    assert "train/ant/9.png differs in size or colours" in said


def test_small_images_are_refused(project: Path, run: Run) -> None:
    for split in ("train", "test"):
        image_folder(project / "images", {"ant": 3}, split, size=5)
    set_params(data__dataset="folder:images")
    assert "images of 5 x 5 pixels" in run("reconstruct --images 2 --atoms 3", ok=False).stderr
