"""`dseld init`: a project's folder, with the pipeline, its parameters, and what git and DVC need."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import dseld_cli
from dseld_cli.config.edit import edit
from dseld_cli.config.presets import PRESETS, preset
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, table
from dseld_cli.runtime.outputs import together

FILES = ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", "data/.gitignore")
"""The project's files, as they are in dseld's own repository and in its wheel."""
KEPT = "data/additions/.gitkeep"
PACKAGED = Path(dseld_cli.__file__).parent / "project"
SOURCE = Path(dseld_cli.__file__).parents[1]


def run(folder: Path, name: str, data_root: str | None) -> None:
    """Write a project's files into a folder, new or empty of them, with a preset's parameters.

    A folder in no git repository becomes one, on branch main, with these files as the first commit: `dvc exp` and
    `git checkout` need one.

    Raises:
        UserError: if there is no such preset, no git, or the folder has one of the files already.

    """
    changes = preset(name) | ({"data.root": data_root} if data_root else {})
    if there := [file for file in FILES if os.path.lexists(folder / file)]:
        raise UserError(f"{folder / there[0]} is there already: dseld init writes into a folder without a project")
    if not shutil.which("git"):
        raise UserError("git is not installed: DVC, which runs the pipeline, keeps its records in a repository")
    origin = PACKAGED if PACKAGED.is_dir() else SOURCE
    with together() as aside:
        drafts = {file: aside(folder / file) for file in (*FILES, KEPT)}
        for file, draft in drafts.items():
            draft.write_bytes((origin / file).read_bytes() if file in FILES else b"")
        edit(changes, drafts["params.yaml"])
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    say(f"{folder}: a project with the settings of {name}; run it with `{where}dvc repro`")
    if _git(folder, "rev-parse").returncode:
        _first_commit(folder, name)


def list_presets() -> None:
    """Show the presets, what they set, and the accuracy that the paper reports of them."""
    from dseld_cli.evaluation.paper import ACCURACY

    theirs = {row.preset: f"{row.top1['class-sum']:.2f}" for row in ACCURACY}
    rows = [[name, str(set_.get("extract.backbone", "none")), theirs.get(name, "")] for name, set_ in PRESETS.items()]
    table("Presets: DATASET-BACKBONE, and the paper's class-sum", ["preset", "backbone", "paper, %"], rows)
    say("all but digits, which takes every exemplar at lambda 1: 50000 exemplars, lambda 2, tau = K = 100")
    say("start one with `dseld init FOLDER --preset NAME`; params.yaml there explains each setting")


def _first_commit(folder: Path, name: str) -> None:
    made = _git(folder, "-c", "init.defaultBranch=main", "init", "-q")
    if made.returncode:
        raise UserError(f"git init in {folder} failed: {made.stderr}")
    add = ["add", *FILES, KEPT]
    commit = ["commit", "-q", "-m", f"A dseld project with the settings of {name}"]
    done = [_git(folder, *command) for command in (add, commit)]
    if any(step.returncode for step in done):
        steps = " && ".join(shlex.join(["git", *command]) for command in (add, commit))
        say(f"git made no first commit, which `dvc exp` needs (is your name in git config?); in {folder}: {steps}")


def _git(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(folder), *command], capture_output=True, check=False, text=True, errors="backslashreplace"
    )
