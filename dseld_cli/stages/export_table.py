"""`dseld export-table`: codes or predictions of a split, as a table that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dseld_cli.config.schema import Params
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.evaluation.export import codes_tables, predictions_table, writer
from dseld_cli.evaluation.project import Predictions, Project
from dseld_cli.runtime.console import say
from dseld_cli.runtime.outputs import together

TABLES = ("codes", "predictions")


def run(params: Params, what: str, output: Path, split: str, decoders: Sequence[str]) -> None:
    """Write the table.

    Raises:
        UserError: if there is no such table or format, the file is there already, or a store is missing.

    """
    if what not in TABLES:
        raise UserError(f"export-table {what}: there are {' and '.join(TABLES)}")
    write = writer(output)
    if output.exists():
        raise UserError(f"{output} is there already: choose another name, or remove it first")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}")
    project = Project()
    if what == "codes":
        tables = codes_tables(project.codes(split), project.dictionary())
    else:
        tables = iter([predictions_table(_predictions(project, params, split, decoders))])
    with together() as aside:
        write(aside(output), tables)
    say(f"{output}: {what} of the {split} images, {output.stat().st_size / 1e3:,.0f} kB")


def _predictions(project: Project, params: Params, split: str, decoders: Sequence[str]) -> list[Predictions]:
    """Of the given decoders, or of those of params.yaml that were run."""
    found = [project.predictions(name, split) for name in decoders or params.decoders]
    for name in () if decoders else params.trained_decoders:
        try:
            found.append(project.predictions(name, split))
        except StoreMissing as error:
            say(f"without {name}: {error}")
    return found
