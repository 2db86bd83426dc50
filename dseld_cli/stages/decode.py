"""`dseld decode`: codes to a class per image, one store per decoder and split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.recurrence import other_settings
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.decoders.base import UNDECIDED, Trainable
from dseld_cli.dictionary.inputs import Input
from dseld_cli.errors import DoesNotFit, OutOfDate, StoreMissing, UserError
from dseld_cli.evaluation.decoding import Reader, reader
from dseld_cli.evaluation.score_blocks import Block, Decoding, Scored, atoms_bytes, forget, scored, values_at_once
from dseld_cli.runtime.cluster import Engine, engine
from dseld_cli.runtime.console import say, table, track
from dseld_cli.store import project as paths

Int64 = NDArray[np.int64]
Value = str | int | float | bool


def run(
    params: Params,
    decoders: Sequence[str] | None = None,
    split: str = "test",
    options: Mapping[str, Value] | None = None,
) -> None:
    """Decode the codes of a split with the given decoders; by default, with all of params.yaml's.

    Of those, trained decoders are left out, and named, if they were not trained for these codes. `options` are of the
    given decoders, and come before those of params.yaml.

    Raises:
        UserError: if there are no codes, they are not over the current dictionary, or a decoder was not trained on it.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    stored = store.codes_of(split)
    store.require_input(stored, "dictionary", dictionary)
    if said := other_settings(stored.info, params.lca):
        say(said)
    memory = params.run.memory
    with ExitStack() as stack:
        stack.callback(forget)
        does = stack.enter_context(engine(params.run.engine, params.run.scheduler, memory))
        features = _features_at(split, does)

        def decode(name: str) -> None:
            chosen = {**params.decoder_options.get(name, {}), **(options or {})}
            in_memory = atoms_bytes(dictionary) <= memory // 3
            of_name = reader(name, chosen, dictionary, stored.info.dynamics, in_memory)
            decoding = _decoding(of_name, name, chosen, features, stored, memory, does)
            _decode(decoding, of_name, split, stored, does)

        for name in decoders or params.decoders:
            decode(name)
        for name in () if decoders else params.trained_decoders:
            try:
                decode(name)
            except (StoreMissing, OutOfDate, DoesNotFit) as error:
                say(f"without {name}: {error}")


def list_decoders() -> None:
    """Print the decoders there are, and their options."""
    table("Decoders", ["decoder", "what it does"], (row for name in registry.names() for row in _described(name)))


def _described(name: str) -> Iterator[list[str]]:
    try:
        trained = " (trained first)" if isinstance(registry.decoder(name), Trainable) else ""
        yield [name, registry.help_of(name) + trained]
        for option in registry.options_of(name):
            yield ["", f"  --option {option.name}={option.default}: {option.help}"]
    except UserError as error:  # a package of somebody's that cannot be imported
        yield [name, str(error)]


def _decoding(
    of_name: Reader,
    name: str,
    options: Mapping[str, Value],
    features: Path | str,
    stored: store.Codes,
    memory: int,
    does: Engine,
) -> Decoding:
    network = of_name.inputs.get("network")
    return Decoding(
        Input.of(stored, does),
        Input.of(of_name.dictionary, does),
        Input.of(network, does) if network else None,
        features,
        name,
        tuple(sorted(options.items())),
        of_name.atoms_in_memory,
        values_at_once(of_name, stored, memory),
    )


def _features_at(split: str, does: Engine) -> Path | str:
    """Where the features of a split are, if anywhere: most decoders do without, and so they are not opened here."""
    path = paths.features(split)
    return does.place(path, store.url_of(path))


def _decode(decoding: Decoding, of_name: Reader, split: str, stored: store.Codes, does: Engine) -> None:
    name, classes, n = decoding.name, of_name.dictionary.info.classes, stored.shape("rows")[0]
    inputs = store.fingerprints(codes=stored, **of_name.inputs)
    options = dict(decoding.options) or None
    info = store.PredictionsInfo(inputs=inputs, decoder=name, split=split, classes=classes, options=options)
    path = paths.predictions(name, split)
    with store.Draft(path, info, {"scores": store.Spec.rows("float32", n, len(classes))}) as draft:
        labels = _score(draft, decoding, n, does)
        draft.put("labels", labels)
        draft.commit()
    undecided = int((labels == UNDECIDED).sum())
    say(f"{path}: {n} images" + (f", {undecided} undecided" if undecided else ""))


def _score(draft: store.Draft[store.PredictionsInfo], decoding: Decoding, n: int, does: Engine) -> Int64:
    """Take over the scores of every block that has none yet; the class of each image (n,)."""
    sides, folder = draft.specs["scores"].chunks, does.place(draft.parts_folder, draft.parts_url)
    parts = list(store.blocks(n, sides[0]))
    named = {number: labels for number, labels in draft.notes if draft.finished("scores", (number, 0))}
    blocks = (Block(decoding, i, part, sides, folder) for i, part in enumerate(parts) if i not in named)
    with closing(does.as_done(scored, blocks)) as done:
        for block, found in track(done, n, f"decoding, {decoding.name}", len(named) * sides[0], length=_images):
            draft.adopt_chunk("scores", (block.number, 0), found.scores)
            draft.note([block.number, found.labels])
            named[block.number] = found.labels
    return np.array([label for number in sorted(named) for label in named[number]], np.int64)


def _images(done: tuple[Block, Scored]) -> int:
    return len(done[1].labels)
