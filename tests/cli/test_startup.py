"""What each command loads: nothing heavy before its first line, and after it only what it needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, image_folder

HEAVY = {"torch", "torchvision", "sklearn", "skimage", "matplotlib", "scipy", "numba", "zarr", "numpy", "PIL", "rich"}
HEAVY |= {"distributed"}
ARRAYS = {"numpy"}
PICTURES = {"matplotlib", "PIL"}
KERNELS = {"numba", "scipy"}  # numba asks which SciPy there is
MAY = {
    "--version": set(),
    "encode --help": {"rich"},
    "init elsewhere": set(),
    "workload --paper": {"rich", *ARRAYS},
    "extract": {"PIL", *ARRAYS},
    "build-dict": {"PIL", *ARRAYS},  # additions may be folders of images
    "add-exemplars": {"PIL", *ARRAYS},
    "gramian": ARRAYS,
    "encode": ARRAYS | KERNELS,
    "decode": ARRAYS,
    "encode --split train": ARRAYS | KERNELS,
    "train-decoder --decoder shallow-nn": {"scipy", *ARRAYS},
    "baselines": {"scipy", *ARRAYS},
    "evaluate": {"rich", *ARRAYS, *PICTURES},
    "sweep size --split test": {"rich", *KERNELS, *ARRAYS, *PICTURES},
    "report": ARRAYS | PICTURES,
    "classify images/test": {"rich", "PIL", *KERNELS, *ARRAYS},
    "timing --batch 1": {"rich", "PIL", *KERNELS, *ARRAYS},
    "reconstruct --images 2 --atoms 4 --steps 20": {"rich", "skimage", "scipy", *ARRAYS, *PICTURES},
    "audit": {"rich", "scipy", *ARRAYS},
    "calibrate": {"rich", *KERNELS, *ARRAYS},
    "condense --keep 4": {"rich", *KERNELS, *ARRAYS},
    "deploy-check": {"rich", *KERNELS, *ARRAYS},
    "export chip": ARRAYS | KERNELS,
    "relabel train/ant/0.png bee": {"PIL", *ARRAYS},
    "remove-exemplars --index 0": {"PIL", *ARRAYS},
}
"""Heavy modules that a command may have loaded when it is done, in the order that a project needs them."""
SPY = """
import json, os, sys

class First:
    def __init__(self, stream): self.stream, self.loaded = stream, None
    def __getattr__(self, name): return getattr(self.stream, name)
    def write(self, text):
        self.loaded = self.loaded if self.loaded is not None else [*sys.modules]
        return self.stream.write(text)

sys.stdout = first = First(sys.stdout)
try:
    from dseld_cli.cli.app import app
    app(sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
with open(os.environ["SPIED"], "w") as file:
    json.dump([first.loaded or [], [*sys.modules]], file)
os._exit(0)
"""


def spied(command: str, folder: Path) -> tuple[set[str], set[str]]:
    """Run a command; the heavy modules at its first line, and at its end."""
    report = folder / "modules.json"
    subprocess.run(
        [sys.executable, "-c", SPY, *command.split()],
        cwd=folder,
        env=os.environ | {"SPIED": str(report)},
        check=True,
        capture_output=True,
        text=True,
    )
    first, end = json.loads(report.read_text())
    return HEAVY & set(first), HEAVY & set(end)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[set[str], set[str]]]:
    """Every command of the table, run in one project of a few images."""
    folder = tmp_path_factory.mktemp("startup")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["dataset"] = "folder:images"
    params["extract"] |= {"workers": 0, "splits": ["train", "val", "test"], "val_share": 0.25}
    params["lca"]["lambda"] = 0.5
    params["trained_decoders"] = []
    params["baselines"]["neighbours"] = 3
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for split in ("train", "test"):
        image_folder(folder / "images", {"ant": 8, "bee": 8}, split, size=8, seed=len(split))
    return {command: spied(command, folder) for command in MAY}


@pytest.mark.parametrize("command", MAY)
def test_a_command_speaks_before_it_loads_anything_heavy(
    loaded: dict[str, tuple[set[str], set[str]]], command: str
) -> None:
    assert loaded[command][0] <= {"rich"} & MAY[command]


@pytest.mark.parametrize("command", MAY)
def test_a_command_loads_only_what_it_needs(loaded: dict[str, tuple[set[str], set[str]]], command: str) -> None:
    assert loaded[command][1] <= MAY[command]


def test_importing_the_package_is_light_and_changes_no_global(tmp_path: Path) -> None:
    code = (
        "import json, os, sys, warnings, locale\n"
        "def state(): return [str(warnings.filters), dict(os.environ), locale.setlocale(locale.LC_ALL), "
        "sys.getrecursionlimit(), str(sys.excepthook)]\n"
        "before = state(); import dseld_cli; assert before == state()\n"
        "json.dump([*sys.modules], sys.stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & {*HEAVY, "pydantic", "typer", "ruamel.yaml", "yaml"}
