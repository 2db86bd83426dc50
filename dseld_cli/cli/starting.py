"""Starting a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.runtime.home import expanded

PANEL = "Starting a project"
commands: Declared = {}


@command(commands, PANEL)
def init(
    given: Given,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where; made if it is not there.")] = Path(),
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Settings: digits, mnist, or e.g. cifar100-resnet152.")
    ] = "digits",
    list_presets: Annotated[
        bool, typer.Option("--list-presets", help="Print a table of them, exit.", metavar="")
    ] = False,
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where data sets are or go, instead of data/raw in FOLDER.")
    ] = None,
) -> None:
    """Start a project: the pipeline, params.yaml with the settings of an experiment, a git repository.

    A preset is digits, mnist, fashion-mnist, or DATASET-BACKBONE: cifar10,
    cifar100 or imagenet with resnet152, resnet50, efficientnet_v2_s,
    densenet121, mobilenet_v3_large, inception_v3, vgg16 or efficientnet_lite0,
    at the paper's 50,000 exemplars, lambda 2 and 100 steps. Images of your own:
    start from digits, then
    dseld extract --dataset folder:PATH --backbone NAME --save.

    [dim]Example:[/dim]  dseld init cifar --preset cifar100-resnet152 --data-root ~/data
    [dim]Example:[/dim]  cd cifar && dvc repro
    """
    from dseld_cli.stages import init as stage

    if list_presets:
        return stage.list_presets()
    return stage.run(expanded(folder), preset, str(expanded(data_root).resolve()) if data_root else None)
