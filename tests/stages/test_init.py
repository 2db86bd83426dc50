"""`dseld init`: a project that runs, at the settings of a preset."""

import errno
import os
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
        assert (params.data.dataset, params.extract.backbone) == ("cifar100", "resnet152@IMAGENET1K_V2")
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
    assert {name.split("@")[0] for name in listed.stdout.split()} == set(stages) - {"deploy-check"}  # off by default


def test_what_is_there_is_not_overwritten(project: Path, run: Run) -> None:
    before = Path("params.yaml").read_text()
    assert "params.yaml is there already" in run("init", ok=False).stderr
    assert Path("params.yaml").read_text() == before
    assert not Path("dvc.yaml").exists()


def test_a_disk_that_is_full_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """It left half a project, which the same command then refused to write into."""
    monkeypatch.chdir(tmp_path)
    written = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "dvc.yaml":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, content)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        assert "make room, then run the same command again" in run("init project", ok=False).stderr
    assert not [path for path in Path("project").rglob("*") if path.is_file()]
    run("init project")
    assert all(Path("project", file).is_file() for file in FILES)


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


def git(folder: str, *command: str) -> str:
    """What a git command prints."""
    return subprocess.run(["git", "-C", folder, *command], capture_output=True, text=True, check=True).stdout


def test_a_new_project_is_one_commit_on_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    for key in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(key, "somebody@example.org")
    run("init project --preset mnist")
    assert git("project", "branch", "--show-current").strip() == "main"
    assert git("project", "log", "--format=%s").splitlines() == ["A dseld project with the settings of mnist"]
    assert git("project", "status", "--porcelain") == ""
    assert {*git("project", "ls-files").split()} == {*FILES, "data/additions/.gitkeep"}


def test_without_a_name_for_git_the_commands_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    for key in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(key, raising=False)
    said = run("init project").stdout
    assert "git add params.yaml" in said
    assert "git commit" in said


def test_a_project_within_a_repository_is_left_to_its_owner_to_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    git(".", "init", "-q")
    run("init project")
    assert not Path("project/.git").exists()
    assert git(".", "ls-files") == ""


def test_presets_are_listed_with_what_they_are(run: Run) -> None:
    lines = [line.split() for line in run("init --list-presets").stdout.splitlines()]
    assert ["cifar100-resnet152", "resnet152@IMAGENET1K_V2", "79.32"] in lines
    assert ["digits", "none"] in lines
    assert {line[0] for line in lines if line} >= set(PRESETS)
