"""Tables and figures of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.cli.options import Json, numbers, require_count
from dseld_cli.runtime.home import expanded

PANEL = "Tables and figures of the paper"
commands: Declared = {}


@command(commands, PANEL, ("lca.steps",))
def workload(
    given: Given,
    atoms: Annotated[int | None, typer.Option(metavar="M", help="Atoms, instead of the dictionary's.")] = None,
    features: Annotated[int | None, typer.Option(metavar="N", help="Features, instead of the dictionary's.")] = None,
    firing: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Share of the neurons firing at a step, instead of as measured here."),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's Table 4, instead of a setting.", metavar="")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count what an image costs: by the paper's Eq. 11 for any setting, and measured on this run's codes.

    Floating-point operations of the driving input, of inhibition by the neurons
    that fire, and of the Gramian, once; then, where data/codes/test.zarr is,
    NeuroBench's ActivationSparsity, SynapticOperations and Footprint, and what
    the encoder really spent.

    [dim]Example:[/dim]  dseld workload --atoms 50000 --features 2048 --firing 0.4
    [dim]Example:[/dim]  dseld workload --paper --json
    """
    for option, value in (("--atoms", atoms), ("--features", features)):
        require_count(option, value)
    params = given.load()
    from dseld_cli.stages import workload as stage

    stage.run(params, atoms, features, firing, paper, as_json)


@command(
    commands,
    PANEL,
    ("reconstruct.images", "reconstruct.atoms", "reconstruct.lambda", "reconstruct.tau", "reconstruct.steps"),
)
def reconstruct(given: Given, as_json: Json = False) -> None:
    """Rebuild test images from their codes, over training images and over Gaussian noise.

    Reads the pixels of params.yaml's data.dataset; writes
    data/reconstruction/: images.png (inputs and both reconstructions),
    energy.png (at every step) and figures.json. Prints MSE, PSNR, SSIM, and the
    step at which the energy had settled to 1 % of its descent.

    [dim]Example:[/dim]  dseld reconstruct --images 5 --steps 2000
    """
    params = given.load()
    from dseld_cli.stages import reconstruct as stage

    stage.run(params, as_json)


@command(commands, PANEL, ("lca.lambda", "lca.tau", "lca.steps"))
def timing(
    given: Given,
    batch: Annotated[
        list[int] | None,
        typer.Option(metavar="B", help="Images per batch; may be given again.", show_default="1 and 50"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Time extraction, encoding and decoding of an image on this machine.

    Reads the test images, data/features/test.zarr, data/codes/test.zarr and
    data/dictionary.zarr; lambda, tau and steps are those of params.yaml. For
    each batch size, the median of five batches.

    [dim]Example:[/dim]  dseld timing --batch 1 --batch 100
    """
    for size in batch or ():
        require_count("--batch", size)
    params = given.load()
    from dseld_cli.stages import timing as stage

    stage.run(params, batch, as_json)


@command(commands, PANEL, ("encode.images", "train_decoder.images"))
def sweep(
    given: Given,
    key: Annotated[
        Literal["size", "lambda", "tau", "steps"],
        typer.Argument(metavar="KEY", help="What is varied: size, lambda, tau or steps."),
    ],
    values: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="What to try. Without it: size doubled from the number of features on; lambda "
            "at 6 to 25 % of the strongest driving input; a quarter to four times params.yaml's "
            "tau or steps.",
        ),
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Which images.")] = "val",
    as_json: Json = False,
) -> None:
    """Draw accuracy against the number of exemplars, lambda, tau or steps.

    Reads data/dictionary.zarr, of which each size takes the first so many, and
    data/features/<split>.zarr (train.zarr as well, if params.yaml lists trained
    decoders); writes data/sweeps/SPLIT/KEY.csv and KEY.png. Settings are chosen
    on the val split (params.yaml, extract.splits); test is for the last figure.
    Backbones need new features: queue them with
    dvc exp run --queue -S extract.backbone=resnet50,vgg16 instead.

    [dim]Example:[/dim]  dseld sweep size --split test
    [dim]Example:[/dim]  dseld sweep lambda --values 0.5,1,2,4 --images 500
    """
    tried, params = numbers("--values", values), given.load()
    from dseld_cli.stages import sweep as stage

    stage.run(params, key, tried, split, as_json)


@command(commands, PANEL, ("encode.images", "train_decoder.images", "run.memory"))
def tune(
    given: Given,
    transform: Annotated[
        Literal["none", "centre", "whiten", "within-class"] | None,
        typer.Option(help="The one transform to try.", show_default="all of them", metavar="NAME"),
    ] = None,
    keep_best: Annotated[
        bool, typer.Option("--save", help="Keep the best setting in params.yaml.", metavar="")
    ] = False,
    as_json: Json = False,
) -> None:
    """Choose transform, lambda, tau, steps and decoder on the val split.

    Reads data/base.zarr, the features that it was drawn from, and
    data/features/val.zarr. For each transform, lambda falls from a quarter of
    the strongest driving input, few neurons firing, until accuracy does; then
    tau and steps are varied at the best. Decoders are params.yaml's, trained
    ones included, which learn from leave-one-out codes of the exemplars.

    [dim]Example:[/dim]  dseld tune --images 1000
    [dim]Example:[/dim]  dseld tune --transform none --save && dvc repro
    """
    params = given.load()
    from dseld_cli.stages import tune as stage

    stage.run(params, [transform] if transform else stage.TRANSFORMS, as_json, keep_best)


@command(commands, PANEL)
def paper(
    given: Given,
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER", help="Projects whose figures are shown; this one without.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set every figure of the D-SELD paper beside those of finished runs.

    Reads metrics.json and data/reconstruction/ of each project; a dash where
    nothing was run. `dseld init --list-presets` names the settings that fill
    it, `dseld workload --paper` has the operations, `dseld report` the plots.

    [dim]Example:[/dim]  dseld paper
    [dim]Example:[/dim]  dseld paper ~/mnist ~/cifar100 ~/imagenet
    """
    given.load()
    from dseld_cli.stages import paper as stage

    stage.run([expanded(folder) for folder in folders or ()], as_json)


@command(commands, PANEL)
def report(
    given: Given,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
) -> None:
    """Write one HTML page of all that has been run, to read in a browser or to send.

    Reads data/predictions/test/, data/baselines/test/, data/codes/test.zarr and,
    where they are, data/reconstruction/ and data/sweeps/. Accuracy, confusion,
    neurons firing, energy (params.yaml, encode.energy), cost, and a gallery of
    right and wrong images, each with the exemplars that decided it. Needs no
    network.

    [dim]Example:[/dim]  dseld report --output ~/digits.html
    """
    params = given.load()
    from dseld_cli.stages import report as stage

    stage.run(params, expanded(output))
