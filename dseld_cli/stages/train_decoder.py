"""`dseld train-decoder`: codes of training images to a shallow network that reads codes."""

from __future__ import annotations

from dseld_cli import paths, store
from dseld_cli.config.schema import Params
from dseld_cli.decoders.shallow_nn import EPOCHS, train
from dseld_cli.dictionary.checks import relabel
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, track
from dseld_cli.stages.decode import read_codes

DYNAMICS = ("lambda", "tau", "steps")
FEWEST = 10


def run(params: Params) -> None:
    """Train the shallow network on data/codes/train.zarr, and keep it with what it was trained on.

    Raises:
        UserError: if there are no codes of training images, they are too few, or of another dictionary.

    """
    if not paths.codes("train").exists():
        raise UserError(f"no codes to train on at {paths.codes('train')}: run `dseld encode --split train` first")
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    features = store.open_store(paths.features("train"), "features")
    stored = store.open_store(paths.codes("train"), "codes")
    store.require_input(stored, "dictionary", dictionary)
    store.require_input(stored, "features", features)
    codes, classes = read_codes(stored), dictionary.provenance["classes"]
    if len(codes) < FEWEST:
        raise UserError(
            f"{stored.path} has {len(codes)} images, at least {FEWEST} are needed: raise train_decoder.images"
        )
    truth = relabel(features.read("labels"), features.provenance["classes"], classes)[stored.read("rows")]
    trained = train(
        codes,
        truth,
        dictionary.read("labels"),
        len(classes),
        params.train_decoder.seed,
        lambda epochs: track(epochs, EPOCHS, "training epochs"),
    )
    inputs = {"codes": stored, "dictionary": dictionary}
    facts = {key: stored.provenance[key] for key in DYNAMICS} | {"seed": params.train_decoder.seed, "classes": classes}
    arrays = {"weights": trained.network.weights, "bias": trained.network.bias}
    store.write(paths.network("shallow-nn"), "network", store.provenance(inputs, **facts), arrays)
    say(
        f"{paths.network('shallow-nn')}: {len(codes)} images, {trained.epochs} epochs; on the {trained.held_out} held "
        f"out {100 * trained.best:.2f} % right, {100 * trained.start:.2f} % before training (class-sum)"
    )
