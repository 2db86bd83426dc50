"""`dseld classify`: images through the whole chain with the current dictionary, and the exemplars that decided."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.backbones.base import Backbone, restored
from dseld_cli.config.recurrence import lca_params, means
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import UNDECIDED, predict
from dseld_cli.dictionary.agreement import other_dictionary
from dseld_cli.dictionary.encoding import encoder_over
from dseld_cli.errors import DoesNotFit, OutOfDate, UserError
from dseld_cli.evaluation.answers import Answers, answered
from dseld_cli.evaluation.calibration import Calibration
from dseld_cli.evaluation.decoding import Reader, calibration, reader
from dseld_cli.evaluation.explain import explain
from dseld_cli.images import image_folder as folders
from dseld_cli.images.image import open_image, printable
from dseld_cli.images.inbox import Inbox
from dseld_cli.lca.encoder import Encoder
from dseld_cli.runtime.console import doing, say, say_json, table, track, warn
from dseld_cli.store import project as paths

BATCH = 32
LOADING = "loading the dictionary and the network"
NAMED = 4
"""Classes of a set that are named on the screen; the JSON has all."""


@dataclass(frozen=True)
class Exemplar:
    """An atom that spoke for the class: where it came from, its activation, its share of the class's activations."""

    source: str
    activation: float
    share: float


@dataclass(frozen=True)
class Verdict:
    """What an image is, with what score, and because of which exemplars; no class if no neuron spoke.

    Attributes:
        probability: of the class, where that was learned.
        classes: set that holds the true one as often as was asked for, the likeliest first.
        unknown: whether the image is taken to be of no known class.

    """

    image: str
    label: str | None
    score: float
    exemplars: list[Exemplar]
    probability: float | None = None
    classes: list[str] | None = None
    unknown: bool | None = None

    def plain(self) -> dict[str, object]:
        """Name its parts as the JSON does, without what was not asked for."""
        found = {"class" if key == "label" else key: value for key, value in asdict(self).items()}
        return {key: value for key, value in found.items() if value is not None or key == "class"}


@dataclass(frozen=True)
class Asked:
    """What is to be said beside the class.

    Attributes:
        learned: what shares are worth.
        coverage: how often a set of classes is to hold the true one.
        false_alarms: share of images of known classes that may be taken for unknown.

    """

    learned: Calibration | None = None
    coverage: float | None = None
    false_alarms: float | None = None


@dataclass(frozen=True)
class Classifier:
    """The whole chain, loaded once: backbone, encoder, decoder, and what names classes and exemplars."""

    extractor: Backbone
    encoder: Encoder
    reader: Reader
    params: Params
    asked: Asked = Asked()

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
        answers = answered(self.reader, result.codes, features)
        scores, more = answers.shares, self._more(answers)
        classes, most = self.dictionary.info.classes, self.params.classify.exemplars
        for i, label in enumerate(predict(scores)):
            speakers = explain(result.codes, i, self.reader.labels, int(label), most)
            decided = [Exemplar(str(self.source[s.atom]), s.activation, s.share) for s in speakers]
            name, score = (None, 0.0) if label == UNDECIDED else (classes[label], float(scores[i, label]))
            yield Verdict(printable(str(files[i])), name, score, decided, **more[i])

    def _more(self, answers: Answers) -> list[dict[str, Any]]:
        """Find what was asked for beside the class, of each image."""
        asked, shares = self.asked, answers.shares
        found: list[dict[str, Any]] = [{} for _ in shares]
        if asked.learned is None:
            return found
        for one, chances in zip(found, asked.learned.probabilities(shares), strict=True):
            one["probability"] = round(float(chances.max()), 4)
        if asked.coverage:
            names = np.array(self.dictionary.info.classes, dtype=object)
            for one, its, share in zip(found, asked.learned.sets(shares, asked.coverage), shares, strict=True):
                order = np.argsort(-share, kind="stable")
                one["classes"] = names[order[its[order]]].tolist()
        if asked.false_alarms:
            for one, new in zip(found, asked.learned.unknown(answers.likeness, asked.false_alarms), strict=True):
                one["unknown"] = bool(new)
        return found


def run(
    params: Params,
    images: Sequence[Path],
    coverage: float | None = None,
    false_alarms: float | None = None,
    as_json: bool = False,
) -> None:
    """Classify image files and folders of them, and print the verdicts.

    Raises:
        UserError: if there is no dictionary, its backbone is not to be had, or a broken image is not to be skipped.

    """
    files = [file for path in images for file in folders.files_of(path)]
    with doing(LOADING):
        classifier = loaded(params, coverage, false_alarms)
    found = list(_all(classifier, files, params.extract.broken == "skip"))
    if not found:
        raise UserError(f"none of the {len(files)} images could be read")
    if as_json:
        say_json([verdict.plain() for verdict in found])
    else:
        show(found)


def watch(
    params: Params, folder: Path | None, coverage: float | None = None, false_alarms: float | None = None
) -> None:
    """Classify images as their paths come on standard input, or as they appear in a folder: one line of JSON each.

    The dictionary stays loaded. What is no image becomes a line with the key "error"; it does not end the command.
    Files that `run` ignores in a folder are ignored here, and those that are still being written wait.

    Raises:
        UserError: as `run` does, for anything but a single image.

    """
    if folder and not folder.is_dir():
        raise UserError(f"--watch {folder}: there is no such folder")
    with doing(LOADING):
        classifier = loaded(params, coverage, false_alarms)

    def answer(file: Path) -> dict[str, object]:
        return next(classifier.verdicts([file], [classifier.extractor.prepare(open_image(file))])).plain()

    for file, found in Inbox(folder, answer).answers() if folder else _answered(sys.stdin, answer):
        broken = {"image": printable(str(file)), "error": printable(str(found))}
        say_json(broken if isinstance(found, UserError) else found, indent=None)


def _answered(
    lines: Iterable[str], answer: Callable[[Path], dict[str, object]]
) -> Iterator[tuple[Path, dict[str, object] | UserError]]:
    for file in (Path(line.rstrip("\r\n")) for line in lines if line.strip()):
        try:
            yield file, answer(file)
        except UserError as error:
            yield file, error


def loaded(params: Params, coverage: float | None = None, false_alarms: float | None = None) -> Classifier:
    """Load the whole chain.

    Raises:
        UserError: if there is no dictionary, its backbone is not to be had, a decoder was not trained on it, or the
            budget does not hold it.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    if said := other_dictionary(dictionary, params, paths.BASE):
        warn(said)
    name, lca = params.classify.decoder, params.lca
    dynamics = {"lambda": lca.lambda_, "tau": lca.tau, "steps": lca.steps}
    options = params.decoder_options.get(name, {})
    of_name = reader(name, options, dictionary, dynamics)
    learned = _learned(name, options, dictionary, dynamics, coverage is not None or false_alarms is not None)
    extractor = restored(dictionary.info.extractor, params.extract.weights, params.run.device)
    encoder = encoder_over(dictionary, lca_params(lca), means(params), BATCH)
    asked = Asked(learned, coverage, false_alarms)
    return Classifier(extractor, encoder, replace(of_name, resident=encoder.atoms.resident), params, asked)


def _learned(
    name: str, options: Mapping[str, object], dictionary: store.Dictionary, dynamics: Mapping[str, Any], needed: bool
) -> Calibration | None:
    """Open what was learned about the decoder's shares; None if it is not needed, and there is nothing that fits.

    Raises:
        UserError: if it is needed.

    """
    if not (needed or store.present(paths.calibration(name))):
        return None
    try:
        found = calibration(name, options, dictionary, dynamics)
    except (OutOfDate, DoesNotFit) as error:
        if needed:
            raise
        warn(f"without probabilities: {error}")
        return None
    return Calibration(found.info.beta, found.read("nonconformity"), found.read("likeness"))


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
    """Print verdicts as a table, with an exemplar per line; what was not asked for has no column."""
    calibrated = verdicts[0].probability is not None
    rows = []
    for verdict in verdicts:
        score = f"{verdict.probability:.0%}" if verdict.probability is not None else f"{verdict.score:.3g}"
        head = [verdict.image, named_in_words(verdict), "" if verdict.unknown else score]  # it is of known classes
        reasons = [[f"{exemplar.share:.0%}", exemplar.source] for exemplar in verdict.exemplars] or [["", ""]]
        rows += [[*(head if i == 0 else [""] * 3), *reason] for i, reason in enumerate(reasons)]
    table("Classes", ["image", "class", "probability" if calibrated else "score", "share", "exemplar"], rows)
    if new := sum(bool(verdict.unknown) for verdict in verdicts):
        say(
            f"{new} of {len(verdicts)} images are of no known class: to make a class of some, put them into a folder, "
            "new/<name of the class>/, and run `dseld add-exemplars folder:new`"
        )


def named_in_words(verdict: Verdict) -> str:
    """Name what a verdict says: its set of classes, its class, or that it is of none."""
    if verdict.unknown:
        return "none of these"
    named = verdict.classes or [verdict.label or "undecided"]
    more = [f"{len(named) - NAMED} others"] if len(named) > NAMED + 1 else named[NAMED:]
    return " or ".join([*named[:NAMED], *more])
