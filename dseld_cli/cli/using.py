"""Using a dictionary on new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dseld_cli.cli.command import Given, command, expanded
from dseld_cli.cli.options import Json
from dseld_cli.errors import UserError

PANEL = "Using a dictionary"
commands = typer.Typer()


@command(
    commands,
    PANEL,
    ("classify.decoder", "classify.exemplars", "extract.weights", "extract.broken", "run.memory", "run.device"),
)
def classify(
    given: Given,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE", help="Image files, or folders of them; -: paths on standard input."),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Stay, and classify what is in FOLDER and what comes into it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Name the class of images, and the exemplars that decided it.

    Reads data/dictionary.zarr, and extracts features as its own were extracted;
    writes nothing. An exemplar's share is its part of the positive activations
    of the class. With --watch, or with - for IMAGE, the dictionary stays
    loaded, and there is one line of JSON per image.

    [dim]Example:[/dim]  dseld classify holiday/*.jpg
    [dim]Example:[/dim]  dseld classify holiday --json > classes.json
    [dim]Example:[/dim]  dseld classify --watch inbox >> classes.jsonl
    """
    if bool(watch) == bool(images):
        raise UserError("give images, folders of them or - (paths on standard input), or --watch FOLDER")
    stays = bool(watch) or images == [Path("-")]
    params = given.load(quiet=stays or as_json)
    from dseld_cli.stages import classify as stage

    if stays:
        return stage.watch(params, watch and expanded(watch))
    return stage.run(params, [expanded(image) for image in images or ()], as_json=as_json)
