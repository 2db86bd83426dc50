"""Pages made when the documentation is built: the command reference, and what lies at the top of the project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

from dseld_cli.cli.app import app

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, "commands.md", content=commands()))
    files.append(
        File.generated(config, "design/architecture.md", content=(ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    )
    return files


def commands() -> str:
    """Every command's help page, as a terminal of 80 columns shows it."""
    group = typer.main.get_command(app)
    pages = ["# Commands", "", "What `dseld COMMAND --help` prints.", "", *_page("dseld", [])]
    for name in sorted(group.commands):  # type: ignore[attr-defined]
        pages += _page(f"dseld {name}", [name])
    return "\n".join(pages)


def _page(title: str, arguments: list[str]) -> list[str]:
    shown = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"})
    return [f"## {title}", "", "```text", re.sub(r"[ \t]+$", "", shown.output, flags=re.M).strip("\n"), "```", ""]
