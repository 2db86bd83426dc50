"""`dseld classify`: images through the whole chain with the current dictionary, and the exemplars that decided."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.backbones.base import Backbone, restored
from dseld_cli.config.recurrence import lca_params, means
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import UNDECIDED, predict
from dseld_cli.dictionary.agreement import disagreements, warning
from dseld_cli.dictionary.encoding import encoder_over
from dseld_cli.errors import UserError
from dseld_cli.evaluation.decoding import Reader, reader
from dseld_cli.evaluation.explain import explain
from dseld_cli.images import image_folder as folders
from dseld_cli.images.image import open_image, printable
from dseld_cli.lca.encoder import Encoder
from dseld_cli.runtime.console import say_json, table, track, warn
from dseld_cli.store import project as paths

BATCH = 32
POLL = 0.1
"""Seconds between two looks at a folder that is watched."""


@dataclass(frozen=True)
class Exemplar:
    """An atom that spoke for the class: where it came from, its activation, its share of the class's activations."""

    source: str
    activation: float
    share: float


@dataclass(frozen=True)
class Verdict:
    """What an image is, with what score, and because of which exemplars; no class if no neuron spoke."""

    image: str
    label: str | None
    score: float
    exemplars: list[Exemplar]

    def plain(self) -> dict[str, object]:
        """Name its parts as the JSON does."""
        return {"class" if key == "label" else key: value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Classifier:
    """The whole chain, loaded once: backbone, encoder, decoder, and what names classes and exemplars."""

    extractor: Backbone
    encoder: Encoder
    reader: Reader
    params: Params

    @property
    def dictionary(self) -> store.Dictionary:
        """Its dictionary."""
        return self.reader.dictionary

    @cached_property
    def source(self) -> store.Array:
        """Where each exemplar came from."""
        return self.dictionary.read("source")

    def verdicts(self, files: Sequence[Path], arrays: list[store.Array]) -> Iterator[Verdict]:
        """Classify images that are prepared for the backbone.

        Raises:
            UserError: if they have other features than the dictionary, or the recurrence diverges.

        """
        features = self.extractor.features(arrays)
        _require_fits(features, self.dictionary, files[0])
        if self.reader.transform:
            features = self.reader.transform(features)
        result = self.encoder.encode(features)
        self.encoder.require_stable(result, features, [str(file) for file in files])
        scores = self.reader.shares(result.codes, lambda: features)
        classes, most = self.dictionary.info.classes, self.params.classify.exemplars
        for i, label in enumerate(predict(scores)):
            speakers = explain(result.codes, i, self.reader.labels, int(label), most)
            decided = [Exemplar(str(self.source[s.atom]), s.activation, s.share) for s in speakers]
            name, score = (None, 0.0) if label == UNDECIDED else (classes[label], float(scores[i, label]))
            yield Verdict(printable(str(files[i])), name, score, decided)


def run(params: Params, images: Sequence[Path], as_json: bool = False) -> None:
    """Classify image files and folders of them, and print the verdicts.

    Raises:
        UserError: if there is no dictionary, its backbone is not to be had, or a broken image is not to be skipped.

    """
    files = [file for path in images for file in folders.files_of(path)]
    found = list(_all(loaded(params), files, params.extract.broken == "skip"))
    if not found:
        raise UserError(f"none of the {len(files)} images could be read")
    if as_json:
        say_json([verdict.plain() for verdict in found])
    else:
        show(found)


def watch(params: Params, folder: Path | None) -> None:
    """Classify images as their paths come on standard input, or as they appear in a folder: one line of JSON each.

    The dictionary stays loaded. What is no image becomes a line with the key "error"; it does not end the command.

    Raises:
        UserError: as `run` does, for anything but a single image.

    """
    if folder and not folder.is_dir():
        raise UserError(f"--watch {folder}: there is no such folder")
    classifier = loaded(params)
    for file in _appearing(folder) if folder else _named(sys.stdin):
        try:
            found = next(classifier.verdicts([file], [classifier.extractor.prepare(open_image(file))])).plain()
        except UserError as error:
            found = {"image": printable(str(file)), "error": printable(str(error))}
        say_json(found, indent=None)


def _named(lines: Iterable[str]) -> Iterator[Path]:
    return (Path(line.rstrip("\n")) for line in lines if line.strip())


def _sizes(folder: Path) -> Iterator[tuple[Path, int]]:
    for file in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):  # moved away just now
            if file.is_file() and not file.name.startswith("."):
                yield file, file.stat().st_size


def _appearing(folder: Path) -> Iterator[Path]:
    """Files of a folder, those that are there first, then new ones, each once it is written (its size stays).

    Hidden files are none of them: programs that copy write to such a name first, and rename.
    """
    done: set[Path] = set()
    sizes: dict[Path, int] = {}
    while True:
        there = {file: size for file, size in _sizes(folder) if file not in done}
        for file, size in there.items():
            if size and sizes.get(file) == size:
                done.add(file)
                yield file
        sizes = there
        time.sleep(POLL)


def loaded(params: Params) -> Classifier:
    """Load the whole chain.

    Raises:
        UserError: if there is no dictionary, its backbone is not to be had, a decoder was not trained on it, or the
            budget does not hold it.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    base = store.previous(paths.BASE, store.BaseInfo)
    if said := warning(dictionary, disagreements(dictionary, params, base)):
        warn(said)
    name, lca = params.classify.decoder, params.lca
    dynamics = {"lambda": lca.lambda_, "tau": lca.tau, "steps": lca.steps}
    of_name = reader(name, params.decoder_options.get(name, {}), dictionary, dynamics)
    extractor = restored(dictionary.info.extractor, params.extract.weights, params.run.device)
    encoder = encoder_over(dictionary, lca_params(lca), means(params), BATCH)
    return Classifier(extractor, encoder, replace(of_name, resident=encoder.atoms.resident), params)


def _all(classifier: Classifier, files: list[Path], skip: bool) -> Iterator[Verdict]:
    for part in track(list(store.blocks(len(files), BATCH)), -(-len(files) // BATCH), "classifying batches"):
        readable, arrays = _prepared(files[part], classifier.extractor, skip)
        if arrays:
            yield from classifier.verdicts(readable, arrays)


def _prepared(files: Sequence[Path], extractor: Backbone, skip: bool) -> tuple[list[Path], list[store.Array]]:
    readable, arrays = [], []
    for file in files:
        try:
            arrays.append(extractor.prepare(open_image(file)))
        except UserError as error:
            if not skip:
                raise UserError(f"{error}, or go on without such images: --broken skip") from None
            warn(f"skipped: {error}")
        else:
            readable.append(file)
    return readable, arrays


def _require_fits(features: NDArray[np.float32], dictionary: store.Dictionary, image: Path) -> None:
    n, m = features.shape[1], dictionary.shape("atoms")[1]
    if n != m:
        raise UserError(
            f"{image} has {n} features, {dictionary.path} has {m}: pixels need images of the size that it was made of"
        )


def show(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts as a table, with an exemplar per line."""
    rows = []
    for verdict in verdicts:
        head = [verdict.image, verdict.label or "undecided", f"{verdict.score:.3g}"]
        reasons = [[f"{exemplar.share:.0%}", exemplar.source] for exemplar in verdict.exemplars] or [["", ""]]
        rows += [[*(head if i == 0 else [""] * 3), *reason] for i, reason in enumerate(reasons)]
    return table("Classes", ["image", "class", "score", "share", "exemplar"], rows)
