"""A store of one split is never taken for another's, whatever its name says."""

import shutil
from pathlib import Path

import pytest

from dseld_cli import store
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params


@pytest.fixture
def coded(project: Path, run: Run) -> Path:
    image_folder(project / "images", {"ant": 6, "bee": 6})
    image_folder(project / "images", {"ant": 2, "bee": 2}, "test", seed=1)
    set_params(data__dataset="folder:images", extract__workers=0)
    for line in ("extract", "build-dict", "encode"):
        run(line)
    return project


@pytest.mark.parametrize("extra", ["", " --from-npz given.npz --extractor x"])
def test_features_do_not_replace_those_of_another_split(coded: Path, run: Run, extra: str) -> None:
    import numpy as np

    np.savez("given.npz", features=np.ones((2, 3)), labels=np.arange(2))
    before = store.features_of("train").fingerprint
    said = run(f"extract --split test --output {paths.features('train')}{extra}", ok=False).stderr
    assert "has features of the split train, which those of test would replace" in said
    assert store.features_of("train").fingerprint == before
    run(f"extract --split test --output data/other.zarr{extra}")


@pytest.mark.parametrize("line", ["encode", "baselines", "evaluate", "sweep lambda --split test"])
def test_a_command_refuses_features_of_another_split(coded: Path, run: Run, line: str) -> None:
    for command in ("decode", "baselines"):
        run(command)
    shutil.rmtree(paths.features("test"))
    shutil.copytree(paths.features("train"), paths.features("test"))
    said = run(line, ok=False).stderr
    assert "has images of the split train: `dseld extract --split test` makes it anew" in said


def test_a_command_refuses_codes_of_another_split(coded: Path, run: Run) -> None:
    run("encode --split train")
    shutil.rmtree(paths.codes("test"))
    shutil.copytree(paths.codes("train"), paths.codes("test"))
    assert "`dseld encode --split test` makes it anew" in run("decode", ok=False).stderr


def test_what_is_missing_of_a_split_is_made_by_a_command_that_names_it(coded: Path, run: Run) -> None:
    assert "run `dseld extract --split val` first" in run("decode --split val", ok=False).stderr
    assert "run `dseld encode --split train` first" in run("decode --split train", ok=False).stderr
