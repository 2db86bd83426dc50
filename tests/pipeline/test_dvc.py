"""`dvc repro` in a fresh clone: the whole pipeline, and only what a change reaches."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PROJECT = ["params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"]
PROJECT += ["data/.gitignore", "data/additions/.gitkeep"]
STAGES = ["extract@train", "extract@test", "build-dict", "add-exemplars", "gramian", "encode"]
STAGES += ["decode@max-activation", "decode@class-sum", "decode@minimum-residual", "encode-train"]
STAGES += ["train-decoder@shallow-nn", "decode-trained@shallow-nn", "evaluate", "baselines"]


def call(folder: Path, *command: str) -> str:
    """Run a command with this environment's dseld and dvc on the PATH; what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    identity = {f"GIT_{who}_{what}": "test@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | identity | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(.+?)'", output)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project's files, without any history of DVC's."""
    origin, clone = tmp_path_factory.mktemp("origin"), tmp_path_factory.mktemp("clone") / "project"
    for name in PROJECT:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, origin / name)
    for command in ("git init -q -b main", "git add -A", "git commit -qm project"):
        call(origin, *command.split())
    call(clone.parent, "git", "clone", "-q", str(origin), str(clone))
    return clone


def test_pipeline_runs_whole_then_not_at_all_then_from_encode_on(clone: Path) -> None:
    first = call(clone, "dvc", "repro")
    assert sorted(ran(first)) == sorted(STAGES)
    assert re.search(r"class-sum +97\.78 %", first)
    assert call(clone, "git", "status", "--short").split() == ["??", "dvc.lock", "??", "metrics.json"]
    assert ran(call(clone, "dvc", "repro")) == []

    call(clone, "git", "add", "-A")
    call(clone, "git", "commit", "-qm", "first run")
    assert (
        json.loads(call(clone, "dvc", "metrics", "show", "--json"))[""]["data"]["metrics.json"]["data"]["exemplars"]
        == 1437
    )

    again = call(clone, "dvc", "exp", "run", "-S", "lca.lambda=1.5")
    assert sorted(ran(again)) == sorted(STAGES[5:-1])
    changed = json.loads(call(clone, "dvc", "metrics", "diff", "--json"))["metrics.json"]
    assert changed["lambda"] == {"old": 1.0, "new": 1.5, "diff": 0.5}
    assert changed["decoders.class-sum.top1"]["new"] < 97.78

    call(clone, "dvc", "plots", "show")
    page = (clone / "dvc_plots/index.html").read_text()
    images = re.findall(r'<img[^>]*src="([^"]+)"', page)
    assert len(images) == 3
    assert all((clone / "dvc_plots" / image).exists() for image in images), "pictures need no network"


def test_several_trained_decoders_are_a_stage_each(clone: Path) -> None:
    """Loading the pipeline fails where two stages have one output, as `dvc dag` does."""
    params = (clone / "params.yaml").read_text()
    try:
        changed = yaml.safe_load(params) | {"trained_decoders": ["shallow-nn", "deep-nn"]}
        (clone / "params.yaml").write_text(yaml.safe_dump(changed))
        stages = {line.split()[0] for line in call(clone, "dvc", "stage", "list").splitlines()}
        assert "digraph" in call(clone, "dvc", "dag", "--dot")
    finally:
        (clone / "params.yaml").write_text(params)
    trained = {f"{stage}@{name}" for stage in ("train-decoder", "decode-trained") for name in ("shallow-nn", "deep-nn")}
    assert trained | {"encode-train"} <= stages
