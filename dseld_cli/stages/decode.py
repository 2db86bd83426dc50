"""`dseld decode`: codes to a class an image, one store a decoder."""

from __future__ import annotations

from collections.abc import Sequence

from dseld_cli import paths, store
from dseld_cli.console import say
from dseld_cli.decoders import DECODERS, UNDECIDED, predict
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.params import Params


def run(params: Params, decoders: Sequence[str] | None = None, split: str = "test") -> None:
    """Decode the codes of a split with the given decoders, or with all of params.yaml's.

    Raises:
        UserError: if there are no codes, or they are not over the dictionary in force.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    stored = store.open_store(paths.codes(split), "codes")
    store.require_input(stored, "dictionary", dictionary)
    labels, classes = dictionary.read("labels"), dictionary.provenance["classes"]
    codes = read_codes(stored)
    for name in decoders or params.decoders:
        scores = DECODERS[name](codes, labels, len(classes))
        predicted = predict(scores)
        facts = store.provenance({"codes": stored}, decoder=name, split=split, classes=classes)
        store.write(paths.predictions(name), "predictions", facts, {"labels": predicted, "scores": scores})
        undecided = int((predicted == UNDECIDED).sum())
        say(f"{paths.predictions(name)}: {len(predicted)} images" + (f", {undecided} undecided" if undecided else ""))


def read_codes(stored: store.Store) -> SparseCodes:
    """Read a code store whole."""
    return SparseCodes(*(stored.read(name) for name in ("indptr", "indices", "values", "firing")))
