"""`dseld train-decoder`: codes of training images to a decoder that learned to read codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import Given, Trainable
from dseld_cli.decoders.registry import decoder
from dseld_cli.dictionary.codes import read_codes
from dseld_cli.dictionary.labels import training_labels
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, track
from dseld_cli.store import project as paths

FEWEST = 10


def run(params: Params, decoders: Sequence[str] | None = None, options: Mapping[str, object] | None = None) -> None:
    """Train decoders, by default all of params.yaml's, on data/codes/train.zarr, and keep what they learned.

    Raises:
        UserError: if there are no codes of training images, they are too few, or of another dictionary, or a decoder is
            not one to be trained.

    """
    if not (names := decoders or params.trained_decoders):
        raise UserError("nothing to train: name decoders in params.yaml, trained_decoders, or with --decoder")
    chosen = {name: {**params.decoder_options.get(name, {}), **(options or {})} for name in names}
    made = {name: _trainable(name, chosen[name]) for name in names}
    if not store.present(paths.codes("train")):
        raise StoreMissing(f"no codes to train on at {paths.codes('train')}: run `dseld encode --split train` first")
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of("train")
    stored = store.codes_of("train")
    store.require_input(stored, "dictionary", dictionary)
    store.require_input(stored, "features", features)
    _require_enough(stored, features)
    for name, one in made.items():
        _train(params, name, one, chosen[name], dictionary, features, stored)
    _say_what_is_not_learned_from(dictionary)


def _trainable(name: str, options: Mapping[str, object]) -> Trainable:
    made = decoder(name, options)
    if not isinstance(made, Trainable):
        raise UserError(f"decoder {name} is not trained: list it in params.yaml under decoders, and run `dseld decode`")
    return made


def _require_enough(stored: store.Codes, features: store.Features) -> None:
    coded, there = stored.shape("rows")[0], features.shape("labels")[0]
    if coded >= FEWEST:
        return
    remedy = f"add images to the training split, which has {there}, or set trained_decoders: []"
    if stored.info.images != "all" and there >= FEWEST:
        remedy = f"raise train_decoder.images, which is {stored.info.images}"
    elif stored.info.codes == "outside" and there >= FEWEST:
        remedy = "set train_decoder.codes: leave-one-out, which takes images that are in the dictionary as well"
    raise UserError(f"{stored.path} has {coded} images, at least {FEWEST} are needed to train on: {remedy}")


def _train(
    params: Params,
    name: str,
    one: Trainable,
    options: Mapping[str, Any],
    dictionary: store.Dictionary,
    features: store.Features,
    stored: store.Codes,
) -> None:
    classes, (m, _) = dictionary.info.classes, dictionary.shape("atoms")
    codes_bytes = sum(np.prod(stored.shape(array)) * 8 for array in ("values", "indices", "firing"))
    needed = int(3 * codes_bytes) + 6 * 4 * m * len(classes)
    arrays_within(params.run.memory, needed, f"the codes of {stored.shape('rows')[0]} images and {name} in training")
    rows, seed = stored.read("rows"), params.train_decoder.seed
    truth = training_labels(features, dictionary)[rows]
    given = Given(
        dictionary.read("labels"),
        len(classes),
        lambda atoms: dictionary.take("atoms", atoms),
        lambda: Seen.by(dictionary, features).take(rows),
    )
    trained = one.train(
        read_codes(stored), truth, given, seed, lambda steps: track(steps, len(steps), f"training {name}")
    )
    info = store.NetworkInfo(
        inputs=store.fingerprints(codes=stored, dictionary=dictionary),
        lambda_=stored.info.lambda_,
        tau=stored.info.tau,
        steps=stored.info.steps,
        seed=seed,
        classes=classes,
        decoder=name if options else None,
        options=dict(options) or None,
    )
    path = paths.network(name)
    store.write(path, info, trained.learned)
    say(f"{path}: {len(rows)} images, {trained.said}")


def _say_what_is_not_learned_from(dictionary: store.Dictionary) -> None:
    added = sum(segment.images for segment in dictionary.info.segments[1:])
    if added:
        say(f"learned from images of the train split alone, not from the {added} exemplars that were added")
