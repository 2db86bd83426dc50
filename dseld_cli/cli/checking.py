"""Whether what is on the disk is what was committed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dseld_cli.cli.command import Declared, Given, command

PANEL = "Keeping a project whole"
commands: Declared = {}
DAMAGED = 1
"""Exit code."""


@command(commands, PANEL, ())
def verify(
    given: Given,
    stores: Annotated[
        list[Path] | None, typer.Argument(metavar="STORE", help="Stores elsewhere, to look through as well.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Put right what needs no recomputing; name what mends the rest.", metavar=""),
    ] = False,
) -> None:
    """Compare every store and draft of a project with what was committed, to the last byte.

    Looks at all below data/, at additions that params.yaml lists, and at STOREs.
    One line per store; exit code 1 if one is damaged: after `dvc pull`, and
    for cron. With --repair, puts back what a killed run left half-way, and
    writes damaged metadata anew. Damaged chunks are made by the command that
    the line names, or fetched by `dvc checkout`.

    [dim]Example:[/dim]  dseld verify
    [dim]Example:[/dim]  dseld verify --repair data/additions/june.zarr
    """
    params = given.load()
    from dseld_cli.stages import verify as stage

    if stage.run(params, stores or (), repair):
        raise typer.Exit(DAMAGED)


@command(commands, PANEL, ("data.store",))
def gc(
    given: Given,
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Leave what was written since.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Delete, instead of listing.", metavar="")] = False,
) -> None:
    """Delete from object storage what nothing of this project names any more.

    Stores whose chunks lie on object storage (data.store) leave their objects
    there when another takes their place, so that DVC can go back to them.
    Kept are those of stores and drafts in data/, of additions in params.yaml,
    and of all that DVC's cache has: fetch what other clones may go back to by
    dvc fetch --all-commits.

    [dim]Example:[/dim]  dseld gc
    [dim]Example:[/dim]  dvc gc --all-commits && dseld gc --older-than 7 --yes
    """
    params = given.load()
    from dseld_cli.stages import gc as stage

    stage.run(params, older_than, yes)
