"""A package that is installed beside ours adds a backbone; no line of ours knows its name."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from dseld_cli import store
from dseld_cli.backbones import base
from dseld_cli.backbones.base import backbone, restored
from dseld_cli.errors import UserError
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder

MODULE = '''
"""Mean colour of each cell of a grid."""
import numpy as np
from dseld_cli.backbones.base import Backbone

def thumbs(name, settings):
    side = int(name.partition(":")[2] or 2)
    def prepare(image):
        return np.asarray(image.convert("RGB").resize((side, side), 4))  # 4: box
    def features(batch):
        return np.stack(batch).reshape(len(batch), -1).astype(np.float32) / 255
    return Backbone(prepare, features, {"backbone": name, "weights": "none", "transform": f"means of {side} x {side}"})

def mute(name, settings):
    return Backbone(np.asarray, np.stack, {"backbone": name})
'''


ENTRY_POINTS = """
[dseld.backbones]
thumbs = dseld_thumbs:thumbs
torn = dseld_thumbs.missing:torn
mute = dseld_thumbs:mute
"""
WHEEL = {
    "dseld_thumbs.py": MODULE,
    "dseld_thumbs-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: dseld-thumbs\nVersion: 1.2\n",
    "dseld_thumbs-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "dseld_thumbs-1.2.dist-info/entry_points.txt": ENTRY_POINTS,
    "dseld_thumbs-1.2.dist-info/RECORD": "",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, as pip installs it."""
    wheel, target = (
        tmp_path_factory.mktemp("dist") / "dseld_thumbs-1.2-py3-none-any.whl",
        tmp_path_factory.mktemp("site"),
    )
    with ZipFile(wheel, "w") as archive:
        for name, content in WHEEL.items():
            archive.writestr(name, content)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", target, wheel], check=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)


def test_its_backbone_extracts_and_is_found_again(installed: None, project: Path, run: Run) -> None:
    image_folder(project / "images", {"ant": 2, "bee": 2})
    run("extract --dataset folder:images --split train --backbone thumbs:3")
    found = store.open_store(paths.features("train"), store.FeaturesInfo)
    with Image.open("images/train/bee/1.png") as image:
        cells = np.asarray(image).reshape(3, 2, 3, 2, 3).mean((1, 3))
    np.testing.assert_allclose(found.read("features")[3].reshape(3, 3, 3), cells / 255, atol=1.1 / 255)
    again = restored(found.info.extractor, "default", "cpu")
    assert again.identity == found.info.extractor


def test_its_name_is_listed_and_proposed(
    installed: None, project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dseld_cli.backbones.torchvision.architectures", lambda: ["resnet18"])
    with pytest.raises(UserError, match="did you mean thumbs"):
        backbone("thumb")
    lines = [" ".join(line.split()) for line in run("extract --list-backbones").stdout.splitlines()]
    assert "thumbs of dseld-thumbs" in lines


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torn", r"torn of dseld-thumbs 1\.2 cannot be loaded \(No module named 'dseld_thumbs\.missing'"),
        ("mute", r"mute of dseld-thumbs 1\.2 lacks weights in its identity"),
    ],
)
def test_what_is_wrong_with_it_is_one_line_that_names_the_package(installed: None, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        backbone(name)


@pytest.mark.parametrize("name", ["thumbs", "none", "timm"])
def test_a_name_that_is_brought_twice_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [EntryPoint(name, f"package{i}:make", base.GROUP) for i in range(2)]
    monkeypatch.setattr(base, "entry_points", lambda group: twins)
    with pytest.raises(UserError, match=f"{name} is brought twice"):
        backbone("other")
