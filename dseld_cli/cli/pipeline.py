"""The pipeline's own stages, in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.cli.options import (
    CodedSplit,
    DecoderOptions,
    Decoders,
    Split,
    chosen_decoders,
    decoder_options,
    option_name,
)
from dseld_cli.errors import UserError
from dseld_cli.runtime.home import expanded

PANEL = "The pipeline, in order (dvc repro runs what is out of date)"
IMAGES = "Which images"
NETWORK = "Which network"
GIVEN = "Features made elsewhere"
commands: Declared = {}


@command(
    commands,
    PANEL,
    {
        IMAGES: ("data.dataset", "data.root", "extract.limit_per_class", "extract.seed", "extract.broken"),
        NETWORK: ("extract.backbone", "extract.weights", "extract.image_size", "extract.precision"),
        "How": ("extract.batch_size", "extract.workers", "run.device", "run.engine", "run.scheduler"),
    },
    can_save=True,
)
def extract(
    given: Given,
    split: Annotated[
        Split | None, typer.Option(help="One split alone, instead of extract.splits.", rich_help_panel=IMAGES)
    ] = None,
    list_backbones: Annotated[
        bool,
        typer.Option("--list-backbones", help="Print a table of them, exit.", metavar="", rich_help_panel=NETWORK),
    ] = False,
    from_npz: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take in arrays features (n, N) and labels (n); maybe classes, source, extractor.",
            rich_help_panel=GIVEN,
        ),
    ] = None,
    from_npy: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="FEATURES LABELS", help="Take in two arrays.", rich_help_panel=GIVEN),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What made them: only features of one name go together.", rich_help_panel=GIVEN
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE", help="Where one split goes, instead of data/features/<split>.zarr.", rich_help_panel="How"
        ),
    ] = None,
) -> None:
    r"""Turn images into features.

    Reads a data set; writes data/features/<split>.zarr for every split in
    params.yaml, extract.splits. A killed run goes on where it stopped. Features
    that something else extracted can be taken in, one split at a time.

    [dim]Example:[/dim]  dseld extract --dataset folder:~/photos --backbone resnet152
    [dim]Example:[/dim]  dseld extract --dataset folder:june --split train \
                --output data/additions/june.zarr
    [dim]Example:[/dim]  dseld extract --split test --from-npz test.npz --extractor dinov2
    """
    if list_backbones:
        from dseld_cli.stages.extract import list_backbones as table

        return table()
    if output and not split:
        raise UserError("--output takes one split: add --split train or --split test")
    if from_npz or from_npy or extractor:
        return _bring(given, from_npz, from_npy, split, extractor, output and expanded(output))
    params = given.load()
    if split and given.settings["extract.seed"] is not None and "val" in params.extract.splits:
        raise UserError("--seed with one split: train and val are drawn together; set extract.seed in params.yaml")
    from dseld_cli.stages import extract as stage

    return stage.run(params, split, output and expanded(output))


def _bring(
    given: Given, from_npz: Path | None, from_npy: tuple[Path, Path] | None, split: str | None, extractor: str | None,
    output: Path | None,
) -> None:  # fmt: skip
    own = {key: value for key, value in given.settings.items() if value is not None}
    if unused := [key for key in own if not key.startswith("run.")]:
        raise UserError(f"{option_name(unused[0])}: features that are taken in are not extracted; leave it out")
    memory = replace(given, settings=own).load().run.memory
    if bool(from_npz) == bool(from_npy):
        raise UserError("--extractor names what made features: take them in by --from-npz or --from-npy, one of them")
    if not split:
        raise UserError("--from-npz and --from-npy take in one split: add --split train, val or test")
    from dseld_cli.images import external_features
    from dseld_cli.stages import extract as stage

    if from_npy:
        features, labels = map(expanded, from_npy)
        found = external_features.from_npy(features, labels, memory)
    else:
        found = external_features.from_npz(expanded(from_npz or Path()), memory)
    stage.bring(found, split, extractor, output)


@command(
    commands,
    PANEL,
    (
        "build_dict.size",
        "build_dict.sampling",
        "build_dict.seed",
        "build_dict.duplicates",
        "build_dict.transform",
        "build_dict.split",
        "run.memory",
    ),
    can_save=True,
)
def build_dict(
    given: Given,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="Leave the additions to add-exemplars, as dvc.yaml does.", metavar="")
    ] = False,
) -> None:
    """Draw images as atoms of the dictionary.

    Reads data/features/<split>.zarr; writes data/base.zarr, the unit-norm
    features of the images drawn, shuffled, and then data/dictionary.zarr, the
    base with the additions that params.yaml lists.

    [dim]Example:[/dim]  dseld build-dict --size 50000 --seed 1
    [dim]Example:[/dim]  dseld build-dict --size 1000 --sampling balanced
    """
    params = given.load()
    from dseld_cli.stages import build_dict as stage

    stage.run(params, base_only)


@command(commands, PANEL, ("run.memory", "run.device", "run.engine", "run.scheduler"))
def gramian(given: Given) -> None:
    """Compute the inner products of all atoms, which inhibit neurons that explain the same thing.

    Reads data/dictionary.zarr; writes data/gramian.zarr in tiles, within the
    memory budget. A killed run goes on at the tiles that are missing. Many
    images are coded sooner with it, or as encode.inhibition says.

    [dim]Example:[/dim]  dseld gramian --memory 2GiB
    """
    params = given.load()
    from dseld_cli.stages import gramian as stage

    stage.run(params)


@command(
    commands,
    PANEL,
    (
        "lca.lambda",
        "lca.tau",
        "lca.steps",
        "encode.method",
        "encode.inhibition",
        "encode.images",
        "encode.seed",
        "encode.energy",
        "run.memory",
        "run.device",
        "run.engine",
        "run.scheduler",
    ),
    can_save=True,
)
def encode(
    given: Given,
    split: CodedSplit = "test",
    for_training: Annotated[
        bool,
        typer.Option("--for-training", help="Nothing to do if params.yaml lists no trained decoders.", metavar=""),
    ] = False,
) -> None:
    """Code images sparsely over the dictionary: K steps of the Locally Competitive Algorithm.

    Reads data/features/<split>.zarr, data/dictionary.zarr and, as inhibition
    says, data/gramian.zarr; writes data/codes/<split>.zarr. A killed run goes
    on at the batch it was in.

    Codes of the train split are for training a decoder: an image's own atom,
    and exact copies of it, cannot fire, and --images and --seed stand for
    train_decoder.images and train_decoder.seed of params.yaml.

    [dim]Example:[/dim]  dseld encode --lambda 2 --images 500
    [dim]Example:[/dim]  dseld encode --split train && dseld train-decoder
    """
    params = given.load(sections={"encode": "train_decoder"} if split == "train" else {})
    from dseld_cli.stages import encode as stage

    if for_training and not params.trained_decoders:
        return stage.skip(split)
    return stage.run(params, split)


@command(commands, PANEL, ("run.memory", "run.engine", "run.scheduler"))
def decode(
    given: Given,
    decoder: Decoders = None,
    option: DecoderOptions = None,
    split: CodedSplit = "test",
    list_decoders: Annotated[
        bool, typer.Option("--list-decoders", help="Print a table of them and their options, exit.", metavar="")
    ] = False,
) -> None:
    """Read a class off each code.

    Reads data/codes/<split>.zarr and the atoms' classes; writes
    data/predictions/<split>/<decoder>.zarr, with scores that sum to one.

    max-activation takes the class of the strongest neuron (paper, Eq. 9),
    class-sum the class whose neurons sum highest (Eq. 10), balanced-class-sum
    allows for classes with unequal numbers of exemplars, minimum-residual takes
    the class that alone explains most of the image (SRC, Wright 2009), and
    ridge and shallow-nn are what dseld train-decoder learned before. Without
    --decoder, params.yaml's decoders run, and its trained ones where they fit.
    A package that is installed beside dseld can bring others.

    [dim]Example:[/dim]  dseld decode --decoder class-sum
    [dim]Example:[/dim]  dseld decode --list-decoders
    """
    if list_decoders:
        from dseld_cli.stages.decode import list_decoders as table

        return table()
    chosen, options, params = chosen_decoders(decoder), decoder_options(option, decoder), given.load()
    from dseld_cli.stages import decode as stage

    return stage.run(params, chosen, split, options)


@command(commands, PANEL, ("run.memory",))
def evaluate(
    given: Given,
    decoder: Decoders = None,
    split: CodedSplit = "test",
    novelty: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Instead, how well images of no known class are told: a split's of classes that the dictionary lacks, "
            "all of folder:PATH, or all of a feature store.",
        ),
    ] = None,
) -> None:
    """Compare predictions with labels: a table here, metrics.json, and plots for `dvc plots show`.

    Reads data/predictions/<split>/, data/baselines/<split>/ and what they were
    made from; writes metrics.json (of another split than test:
    metrics-<split>.json) and data/evaluation/<split>/: accuracy per class,
    confusion, what each decoder says of each image, plots. Trained decoders and
    baselines that params.yaml lists are evaluated where they were run.

    With --novelty, writes data/evaluation/<split>/novelty.json instead: images
    of no class that the dictionary has are held against those of the split, by
    how well the best class alone explains them.

    [dim]Example:[/dim]  dseld evaluate --decoder class-sum
    [dim]Example:[/dim]  dseld evaluate --novelty folder:~/other-things
    """
    if novelty and decoder:
        raise UserError("--novelty looks at the codes, before any decoder: leave --decoder out")
    chosen, params = chosen_decoders(decoder), given.load()
    if novelty:
        from dseld_cli.stages import novelty as of_novelty

        return of_novelty.run(params, novelty, split)
    from dseld_cli.stages import evaluate as stage

    return stage.run(params, chosen, split)
