"""Adding images to a dictionary and taking them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.cli.options import Json, require_count
from dseld_cli.errors import UserError
from dseld_cli.runtime.home import expanded

PANEL = "Growing a dictionary"
commands: Declared = {}


@command(commands, PANEL, ("run.memory", "run.engine", "run.scheduler"))
def add_exemplars(
    given: Given,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A feature store made by dseld extract --output, or folder:PATH with images in PATH/<class>/ or "
            "PATH/train/<class>/.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what SOURCE would add, cost and need in disk; change nothing.", metavar=""),
    ] = False,
) -> None:
    """Add images to the dictionary, new classes included, in time proportional to their number.

    Adds SOURCE to the list of additions in params.yaml, and what it brings to
    data/dictionary.zarr and, if there is one, data/gramian.zarr: old atoms and
    tiles stay as they are. Without SOURCE, as dvc.yaml runs it, brings
    data/dictionary.zarr up to date with params.yaml. Afterwards `dvc repro`
    codes images anew. Killed at any moment, the old or the new dictionary is
    the current one, and running it again completes it.

    [dim]Example:[/dim]  dseld add-exemplars data/additions/june.zarr
    [dim]Example:[/dim]  dseld add-exemplars folder:~/photos/june --dry-run
    """
    if dry_run and source is None:
        raise UserError("--dry-run takes a SOURCE: say what is to be added")
    params = given.load()
    from dseld_cli.stages import add_exemplars as stage

    stage.run(params, source, dry_run)


@command(commands, PANEL, ("run.memory", "run.engine", "run.scheduler"))
def remove_exemplars(
    given: Given,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Images as the dictionary's source names them, or whole additions."),
    ] = None,
    index: Annotated[
        list[int] | None, typer.Option(metavar="I", help="Place of an image in the dictionary; may be given again.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A CSV file with a column image, or a file of one NAME a line."),
    ] = None,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Take tombstones of removed images out: all atoms behind move up.", metavar=""),
    ] = False,
) -> None:
    """Take images, or a whole addition, out of the dictionary.

    Adds images to the list of removals in params.yaml, takes additions off that
    of additions, and brings data/dictionary.zarr and, if there is one,
    data/gramian.zarr up to date. A removed image leaves a tombstone, an atom of
    zeros that never fires; nothing else changes place, unless --compact drops
    them.

    [dim]Example:[/dim]  dseld remove-exemplars train/cat/0042.png --index 17
    [dim]Example:[/dim]  dseld remove-exemplars data/additions/june.zarr
    [dim]Example:[/dim]  dseld remove-exemplars --from data/audit/labels.csv
    """
    if not (names or index or compact or file):
        raise UserError("nothing to remove: give NAMEs of images or additions, --index I, --from FILE, or --compact")
    params = given.load()
    from dseld_cli.evaluation.listing import names_in
    from dseld_cli.stages import remove_exemplars as stage

    listed = names_in(expanded(file)) if file else []
    stage.run(params, [*(names or ()), *listed], index or (), compact)


@command(commands, PANEL, ("run.memory",))
def relabel(
    given: Given,
    name: Annotated[
        str | None, typer.Argument(metavar="IMAGE", help="An image as the dictionary's source names it.")
    ] = None,
    label: Annotated[str | None, typer.Argument(metavar="CLASS", help="The class that it shows.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A CSV file with columns image and suggested, or image and class."),
    ] = None,
) -> None:
    """Give images of the dictionary their right class.

    Adds them to the list of relabels in params.yaml, which a clone replays, and
    brings data/dictionary.zarr up to date: no atom and no inner product
    changes. Files stay where they are. Taken off the list, an image has its
    old label again.

    [dim]Example:[/dim]  dseld relabel train/cat/0042.png dog
    [dim]Example:[/dim]  dseld relabel --from data/audit/labels.csv
    """
    if (file is None) == (name is None) or (name is None) != (label is None):
        raise UserError("give an IMAGE and the CLASS that it shows, or --from FILE")
    params = given.load()
    from dseld_cli.evaluation.listing import classes_in
    from dseld_cli.stages import relabel as stage

    stage.run(params, classes_in(expanded(file)) if file else {str(name): str(label)})


@command(commands, PANEL, ("run.memory",))
def audit(given: Given, as_json: Json = False) -> None:
    """Find training images whose label their exemplars argue against.

    Reads data/codes/train.zarr (dseld encode --split train), in which no image
    is coded with its own atom or a copy of it: where the others speak for
    another class, one of the two is wrong. Also exemplars that speak more for
    other classes than for their own, and classes that take from others. Writes
    data/audit/labels.csv, exemplars.csv, pairs.csv and audit.json, the clearest
    first.

    [dim]Example:[/dim]  dseld encode --split train --images all && dseld audit
    [dim]Example:[/dim]  dseld relabel --from data/audit/labels.csv
    """
    params = given.load()
    from dseld_cli.stages import audit as stage

    stage.run(params, as_json)


@command(commands, PANEL, ("encode.images", "build_dict.transform", "build_dict.seed", "lca.lambda", "run.memory"))
def condense(
    given: Given,
    keep: Annotated[int | None, typer.Option(metavar="N", help="How many exemplars are kept.")] = None,
    lose: Annotated[
        float | None, typer.Option(metavar="POINTS", help="How much accuracy may be lost: as few as that takes.")
    ] = None,
    keep_best: Annotated[
        bool, typer.Option("--save", help="Build it so from now on: keep its size in params.yaml.", metavar="")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find a smaller dictionary of much the same accuracy.

    Reads the features that the base is drawn from, and those of val, which
    judges two ways to choose exemplars, beside a random draw of the same size.
    representative: the classes take turns, and each next exemplar is the one
    that raises most how near the images of its class have one (facility
    location). condensed: first those that the ones before get wrong, along the
    borders of the classes (Hart 1968). --save sets build_dict.sampling and
    build_dict.size, from which dvc repro builds; additions join afterwards.

    [dim]Example:[/dim]  dseld condense --keep 5000
    [dim]Example:[/dim]  dseld condense --lose 0.3 --save && dvc repro
    """
    if (keep is None) == (lose is None):
        one = "one of " if keep is not None else ""
        raise UserError(f"give {one}--keep N, how many exemplars are kept, or --lose POINTS, how much may be lost")
    require_count("--keep", keep)
    if lose is not None and not 0 <= lose <= 100:
        raise UserError(f"--lose {lose:g}: should be from 0 to 100 points")
    params = given.load()
    from dseld_cli.stages import condense as stage

    stage.run(params, keep, lose or 0, as_json, keep_best)
