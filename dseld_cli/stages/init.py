"""`dseld init`: a project's folder, with the pipeline, its parameters, and what git and DVC need."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import dseld_cli
from dseld_cli.config.edit import edit
from dseld_cli.config.presets import preset
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say

FILES = ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", "data/.gitignore")
"""The project's files, as they are in dseld's own repository and in its wheel."""
PACKAGED = Path(dseld_cli.__file__).parent / "project"
SOURCE = Path(dseld_cli.__file__).parents[1]


def run(folder: Path, name: str, data_root: str | None) -> None:
    """Write a project's files into a folder, new or empty of them, with a preset's parameters.

    Raises:
        UserError: if there is no such preset, or the folder has one of the files already.

    """
    changes = preset(name) | ({"data.root": data_root} if data_root else {})
    if there := [file for file in FILES if os.path.lexists(folder / file)]:
        raise UserError(f"{folder / there[0]} is there already: dseld init writes into a folder without a project")
    origin = PACKAGED if PACKAGED.is_dir() else SOURCE
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin / file, folder / file)
    (folder / "data/additions").mkdir(exist_ok=True)
    (folder / "data/additions/.gitkeep").touch()
    edit(changes, folder / "params.yaml")
    if not _in_git(folder):
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    say(f"{folder}: a project with the settings of {name}; run it with `{where}dvc repro`")


def _in_git(folder: Path) -> bool:
    try:
        found = subprocess.run(["git", "-C", str(folder), "rev-parse"], capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError(
            "git is not installed: DVC, which runs the pipeline, keeps its records in a repository"
        ) from None
    return found.returncode == 0
