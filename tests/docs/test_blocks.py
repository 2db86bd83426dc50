"""What README and documentation tell people to type: run where it needs no network, else held against the command line.

Blocks marked `python` of a page run one after another, in the folder of a finished quickstart, and so do blocks marked
`sh`. Blocks marked `console` need a network, or files of the reader's own: their commands and options must exist.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from dseld_cli.cli.app import app
from tests.conftest import ROOT, Run

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(text: str) -> Iterator[list[str]]:
    """Every call of dseld in some lines of shell, as words."""
    for line in text.splitlines():
        for part in re.split(r"&&|\|\||[|;]", line):
            words = shlex.split(part.partition(">")[0], comments=True)
            if words[:1] == ["dseld"]:
                yield words[1:]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=str)
def test_python_blocks_run(page: Path, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shutil.copytree(quickstart, tmp_path / "project"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=str)
def test_sh_blocks_run(page: Path, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(shutil.copytree(quickstart, tmp_path / "project"))
    for block in blocks(page, "sh"):
        for words in commands(block):
            run(shlex.join(words))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_exists(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for block in [*blocks(page, "console"), *blocks(page, "sh")]:
        for words in commands(block):
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            if words[:1] and not words[0].startswith("-"):
                assert words[0] in group.commands, words
                command = group.commands[words[0]]
                known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
                assert options <= known, (words, options - known)
