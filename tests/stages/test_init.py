"""`dseld init`: a project that runs, at the settings of a preset."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dseld_cli.config.load import load
from dseld_cli.config.presets import PRESETS
from dseld_cli.stages.init import FILES
from tests.conftest import ROOT, Run


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_params_yaml_with_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run(f"init project --preset {name}")
    params = load(path=Path("project/params.yaml"))
    shipped, written = (ROOT / "params.yaml").read_text(), Path("project/params.yaml").read_text()
    assert written.count("#") == shipped.count("#")
    if name == "cifar100-resnet152":
        assert (params.data.dataset, params.extract.backbone) == ("cifar100", "resnet152")
        assert (params.build_dict.size, params.lca.lambda_, params.lca.tau, params.lca.steps) == (50_000, 2, 100, 100)
    assert all(Path("project", file).is_file() for file in FILES)
    assert Path("project/.git").is_dir()


def test_dvc_sees_the_pipeline_of_a_new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    run("init")
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"], capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {name.split("@")[0] for name in listed.stdout.split()} == set(stages)


def test_what_is_there_is_not_overwritten(project: Path, run: Run) -> None:
    before = Path("params.yaml").read_text()
    assert "params.yaml is there already" in run("init", ok=False).stderr
    assert Path("params.yaml").read_text() == before
    assert not Path("dvc.yaml").exists()


def test_an_unknown_preset_names_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("init x --preset cifar10-resnet9000", ok=False).stderr
    assert "digits, mnist, fashion-mnist" in said
    assert "resnet152" in said
    assert not Path("x").exists()


def test_data_root_is_the_same_folder_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    run("init project --data-root images")
    assert load(path=Path("project/params.yaml")).data.root == str(tmp_path / "images")
