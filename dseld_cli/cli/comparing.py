"""Trained decoders, and classifiers without coding."""

from __future__ import annotations

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.cli.options import CodedSplit, DecoderOptions, Decoders, chosen_decoders, decoder_options

PANEL = "Trained decoders and baselines"
commands: Declared = {}


@command(commands, PANEL, ("train_decoder.seed", "run.memory"))
def train_decoder(given: Given, decoder: Decoders = None, option: DecoderOptions = None) -> None:
    """Train decoders on codes of training images.

    Reads data/codes/train.zarr, where no image is coded with its own atom;
    writes data/decoders/<decoder>.zarr. ridge is ridge regression on codes,
    shrunk towards class-sum, in closed form; shallow-nn is one linear layer that
    starts as class-sum, and stops when images held out gain no more. Then run
    dseld decode. Which images it learns from is in params.yaml, train_decoder;
    exemplars that were added later are not among them.

    [dim]Example:[/dim]  dseld encode --split train && dseld train-decoder
    """
    chosen, options, params = chosen_decoders(decoder), decoder_options(option, decoder), given.load()
    from dseld_cli.stages import train_decoder as stage

    stage.run(params, chosen, options)


@command(commands, PANEL, ("baselines.names", "baselines.neighbours", "run.memory"))
def baselines(given: Given, split: CodedSplit = "test") -> None:
    """Classify the test images from the same features and exemplars without coding, for comparison.

    Reads data/features/<split>.zarr and data/dictionary.zarr; writes
    data/baselines/<split>/<name>.zarr, which dseld evaluate shows below the
    decoders.

    [dim]Example:[/dim]  dseld baselines --baseline cosine-knn --neighbours 5
    """
    params = given.load()
    from dseld_cli.stages import baselines as stage

    stage.run(params, split=split)
