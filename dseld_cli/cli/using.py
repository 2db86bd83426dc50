"""Using a dictionary on new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.cli.options import CodedSplit, Decoders, Json, chosen_decoders, require_share
from dseld_cli.errors import UserError
from dseld_cli.runtime.home import expanded

PANEL = "Using a dictionary"
commands: Declared = {}


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
        typer.Option(metavar="FOLDER", help="Stay, and classify what is below FOLDER, comes into it, or changes."),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(metavar="P", help="Name the smallest set of classes that has the true one this often: 0.95."),
    ] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(metavar="P", help="Say where an image is of no known class; this share of known ones is, too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Name the class of images, and the exemplars that decided it.

    Reads data/dictionary.zarr, and extracts features as its own were extracted;
    writes nothing. An exemplar's share is its part of the positive activations
    of the class. With --watch, or with - for IMAGE, the dictionary stays
    loaded, and there is one line of JSON per image. After dseld calibrate, the
    class has a probability, and --coverage and --false-alarms can be asked for.

    [dim]Example:[/dim]  dseld classify holiday/*.jpg
    [dim]Example:[/dim]  dseld classify holiday --json > classes.json
    [dim]Example:[/dim]  dseld classify --watch inbox >> classes.jsonl
    [dim]Example:[/dim]  dseld classify holiday --coverage 0.95 --false-alarms 0.05
    """
    if bool(watch) == bool(images):
        raise UserError("give images, folders of them or - (paths on standard input), or --watch FOLDER")
    for option, share in (("--coverage", coverage), ("--false-alarms", false_alarms)):
        require_share(option, share)
    stays = bool(watch) or images == [Path("-")]
    if not stays and Path("-") in (images or ()):
        raise UserError("- reads paths from standard input: give it alone")
    params = given.load(quiet=stays or as_json)
    from dseld_cli.stages import classify as stage

    if stays:
        return stage.watch(params, watch and expanded(watch), coverage, false_alarms)
    return stage.run(params, [expanded(image) for image in images or ()], coverage, false_alarms, as_json)


@command(
    commands,
    PANEL,
    (
        "classify.decoder",
        "lca.lambda",
        "lca.tau",
        "lca.steps",
        "encode.images",
        "encode.seed",
        "encode.inhibition",
        "run.memory",
        "run.device",
    ),
)
def calibrate(given: Given, as_json: Json = False) -> None:
    """Learn what a decoder's shares are worth: probabilities, sets of classes, images of no known class.

    Reads data/dictionary.zarr and the features of val, on which it is learned
    and nothing else should have been; writes data/calibration/<decoder>.zarr,
    for dseld classify. Where the codes of test have the same settings, tells
    what that gives there.

    [dim]Example:[/dim]  dseld calibrate && dseld classify holiday --coverage 0.95
    """
    params = given.load()
    from dseld_cli.stages import calibrate as stage

    stage.run(params, as_json)


@command(commands, PANEL, ())
def export_table(
    given: Given,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="codes or predictions.")],
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The table: .csv, .parquet or .npz.")],
    decoder: Decoders = None,
    split: CodedSplit = "test",
) -> None:
    """Write codes or predictions as a table, for pandas, R or a spreadsheet.

    Of predictions, a row per image: its file, its class, and for each decoder
    the class that it names and that class's share. Of codes, a row per neuron
    that is active: image, atom, activation, the exemplar's file and class.
    From Python, dseld_cli.Project gives both as arrays.

    [dim]Example:[/dim]  dseld export-table predictions predictions.csv
    [dim]Example:[/dim]  dseld export-table codes codes.parquet --split val
    """
    chosen, params = chosen_decoders(decoder), given.load()
    from dseld_cli.stages import export_table as stage

    stage.run(params, what, expanded(output), split, chosen or ())
