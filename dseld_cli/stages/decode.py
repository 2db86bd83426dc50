"""`dseld decode`: codes to a class per image, one store per decoder and split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.recurrence import other_settings
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.decoders.base import UNDECIDED, Trainable, predict
from dseld_cli.dictionary.codes import batches, read_codes
from dseld_cli.dictionary.transform import Seen, Transform
from dseld_cli.errors import DoesNotFit, OutOfDate, StoreMissing, UserError
from dseld_cli.evaluation.decoding import Reader, reader
from dseld_cli.evaluation.scored import keep_scores
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, table, track, warn
from dseld_cli.store import project as paths

Float32 = NDArray[np.float32]


def run(
    params: Params,
    decoders: Sequence[str] | None = None,
    split: str = "test",
    options: Mapping[str, object] | None = None,
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
        warn(said)
    in_memory = atoms_bytes(dictionary) <= params.run.memory // 3

    def decode(name: str) -> None:
        chosen = {**params.decoder_options.get(name, {}), **(options or {})}
        of_name = reader(name, chosen, dictionary, stored.info.dynamics, in_memory)
        _decode(of_name, name, split, stored, params.run.memory)

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


def atoms_bytes(dictionary: store.Dictionary) -> int:
    """Bytes of all atoms."""
    m, n = dictionary.shape("atoms")
    return 4 * m * n


def _decode(of_name: Reader, name: str, split: str, stored: store.Codes, memory: int) -> None:
    classes, n = of_name.dictionary.info.classes, stored.shape("rows")[0]

    def blocks() -> Iterator[Float32]:
        for part in track(_blocks(of_name, stored, memory), n, f"decoding, {name}", length=_images):
            yield of_name.shares(read_codes(stored, part), _features(stored, split, part, of_name.transform))

    inputs = store.fingerprints(codes=stored, **of_name.inputs)
    info = store.PredictionsInfo(inputs=inputs, decoder=name, split=split, classes=classes)
    path = paths.predictions(name, split)
    predicted = keep_scores(path, info, (n, len(classes)), blocks(), predict)
    undecided = int((predicted == UNDECIDED).sum())
    say(f"{path}: {n} images" + (f", {undecided} undecided" if undecided else ""))


def _images(part: slice) -> int:
    return int(part.stop - part.start)


def _features(stored: store.Codes, split: str, part: slice, transform: Transform | None) -> Callable[[], Float32]:
    """Read the features of coded images as the dictionary sees them, when a decoder asks for them."""

    def read() -> Float32:
        features = store.features_of(split)
        store.require_input(stored, "features", features)
        return Seen(features, transform).take(stored.read("rows")[part])

    return read


def _blocks(of_name: Reader, stored: store.Codes, memory: int) -> Iterator[slice]:
    """Consecutive images of which the budget holds features, scores of two chunks, and as many atoms as fire.

    Raises:
        UserError: if it does not hold a block of the dictionary.

    """
    n_features = of_name.dictionary.shape("atoms")[1]
    row, n_classes = 4 * n_features, len(of_name.dictionary.info.classes)
    learned = sum(array.nbytes for array in of_name.learned.values())
    atoms = atoms_bytes(of_name.dictionary) if of_name.atoms_in_memory else store.spec.ROWS * row
    fixed = atoms + learned + store.spec.ROWS * (row + 24 * n_classes) + 24 * stored.shape("rows")[0]
    spare = arrays_within(memory, fixed + store.spec.ROWS * row, "the scores of a block and the atoms that fire")
    return batches(stored.read("indptr"), (spare - fixed) // 2 // row)
