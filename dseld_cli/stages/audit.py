"""`dseld audit`: training images whose label their exemplars argue against, and exemplars that do harm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import shares
from dseld_cli.dictionary.codes import batches, read_codes
from dseld_cli.dictionary.labels import training_labels
from dseld_cli.dictionary.leave_one_out import own_atoms
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import DoesNotFit, StoreMissing, UserError
from dseld_cli.evaluation.audit import Argued, argued, influence, taken, twins
from dseld_cli.evaluation.decoding import Reader, reader
from dseld_cli.evaluation.explain import explain
from dseld_cli.evaluation.label_quality import FITTED_ON, label_quality, regressed
from dseld_cli.evaluation.tables import csv_table
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, say_json, table, track, warn
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import json_text
from dseld_cli.store import project as paths

SHOWN = 10
"""Rows of each table on the screen; the files have all."""
PROOF = 3
"""Exemplars that are named against a label."""

LABELS = paths.AUDIT / "labels.csv"
FIGURES = paths.AUDIT / "audit.json"
WRITTEN = "labels_sha256"
"""What audit.json says of labels.csv as it was written."""

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """An image whose label is argued against: how probable it is, its share, by how much less that is, and by whom.

    `exemplar` says whether it is one itself, which `dseld remove-exemplars` can take out.
    """

    image: str
    exemplar: bool
    label: str
    suggested: str
    quality: float
    share: float
    margin: float
    copies: list[str]
    against: list[str]


@dataclass(frozen=True)
class Harmful:
    """An exemplar that speaks more for images of other classes than for those of its own."""

    exemplar: str
    label: str
    helped: float
    harmed: float


@dataclass(frozen=True)
class Pair:
    """An image and an exemplar of another class that are equal, or nearly."""

    image: str
    label: str
    exemplar: str
    its_label: str
    cosine: float


def run(params: Params, as_json: bool) -> None:
    """Judge labels and exemplars by the codes of training images; print the worst, write all.

    Raises:
        UserError: if there are no codes of training images, or they are of another dictionary.

    """
    if not store.present(paths.codes("train")):
        raise StoreMissing(f"no codes of training images at {paths.codes('train')}: run `dseld encode --split train`")
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of("train")
    coded = store.codes_of("train")
    store.require_input(coded, "dictionary", dictionary)
    store.require_input(coded, "features", features)
    rows, classes = coded.read("rows"), dictionary.info.classes
    if len(classes) < 2:
        raise UserError(f"{dictionary.path} has one class only: no label can be argued against")
    n_features = features.shape("features")[1]
    held = 20 * len(rows) * len(classes) + 40 * n_features**2 + 24 * FITTED_ON * len(classes)
    arrays_within(params.run.memory, held, f"the scores of {len(rows)} training images")
    labels = training_labels(features, dictionary)[rows]
    if (labels < 0).any():
        raise DoesNotFit(f"{features.path} has images of classes that {dictionary.path} lacks: build it from them")
    in_memory = 4 * dictionary.shape("atoms")[0] * dictionary.shape("atoms")[1] <= params.run.memory // 3
    seen = Seen.by(dictionary, features)
    judge = Judge(coded, reader("class-sum", {}, dictionary, coded.info.dynamics, in_memory), labels, seen, rows)
    found = judge.argued()
    names, own = features.read("source")[rows], own_atoms(features, dictionary)
    suspects = judge.suspects(found, names, own)
    harmful = list(judge.harmful())
    equal = judge.pairs(names, own)
    stolen = taken(labels, found.other, found.margin, len(classes))
    pairs: list[dict[str, object]] = [
        {"class": classes[a], "by": classes[b], "images": int(stolen[a, b])} for a, b in _largest(stolen)
    ]
    report = {
        "dictionary": dictionary.fingerprint,
        "images": len(rows),
        "suspects": [asdict(one) for one in suspects],
        "harmful": [asdict(one) for one in harmful],
        "taken": pairs,
        "pairs": [asdict(one) for one in equal],
    }
    _write(report, suspects, harmful, equal)
    if as_json:
        say_json(report)
    else:
        left = int((~np.isin(features.read("source"), params.removals)).sum())
        _show(len(rows), left, suspects, harmful, pairs)
        _show_pairs(equal)


@dataclass(frozen=True)
class Judge:
    """Codes of n training images, read by class-sum, with the images' labels (n,), features, and rows there (n,)."""

    coded: store.Codes
    reader: Reader
    labels: Int64
    seen: Seen
    rows: Int64

    def argued(self) -> Argued:
        """Compare every label with what the exemplars say, and with what ridge regression does."""
        n, n_classes = len(self.labels), len(self.reader.dictionary.info.classes)
        said = np.zeros((n, n_classes), np.float32)
        for part in track(list(self._parts()), n, "auditing", length=lambda p: p.stop - p.start):
            features = self.seen.take(self.rows[part])
            scores = self.reader.scores(read_codes(self.coded, part), features.view)
            said[part] = scores / np.maximum(np.linalg.norm(features, axis=1), 1e-30)[:, None]
        witnesses = (said, regressed(self._features, self.labels, n_classes))
        return argued(shares(said), self.labels, label_quality(witnesses, self.labels))

    def _features(self) -> Iterator[tuple[slice, Float32]]:
        return ((part, self.seen.take(self.rows[part])) for part in store.blocks(len(self.rows)))

    def _parts(self) -> Iterator[slice]:
        return batches(self.coded.read("indptr"), 2**22)

    @cached_property
    def source(self) -> store.Array:
        """Where each exemplar came from."""
        return self.reader.dictionary.read("source")

    def suspects(self, found: Argued, names: store.Array, own: Sequence[Int64]) -> list[Suspect]:
        """Describe images whose label is argued against, the clearest first; `own` atoms are by row of the features."""
        classes, described, atoms = self.reader.dictionary.info.classes, {}, set(self.source)
        for part in self._parts():
            codes = read_codes(self.coded, part)
            for image in range(part.start, part.stop):
                if found.margin[image] < 0:
                    other, label = int(found.other[image]), int(self.labels[image])
                    loudest = explain(codes, image - part.start, self.reader.labels, other, PROOF)
                    copies = [atom for atom in own[self.rows[image]] if self.reader.labels[atom] != label]
                    described[image] = Suspect(
                        str(names[image]),
                        names[image] in atoms,
                        classes[label],
                        classes[other],
                        round(float(found.quality[image]), 4),
                        round(float(found.own[image]), 4),
                        round(float(found.margin[image]), 4),
                        [str(self.source[atom]) for atom in copies],
                        [str(self.source[one.atom]) for one in loudest],
                    )
        return [described[int(image)] for image in found.order]

    def pairs(self, names: store.Array, own: Sequence[Int64]) -> list[Pair]:
        """Find images and exemplars that are nearly equal and of different classes, the most alike first, each once."""
        classes, found = self.reader.dictionary.info.classes, dict[frozenset[str], Pair]()
        for image, atom, cosine in self._alike(own):
            one, other = str(names[image]), str(self.source[atom])
            label, its_label = classes[self.labels[image]], classes[self.reader.labels[atom]]
            found.setdefault(frozenset((one, other)), Pair(one, label, other, its_label, round(cosine, 4)))
        return sorted(found.values(), key=lambda pair: -pair.cosine)

    def _alike(self, own: Sequence[Int64]) -> Iterator[tuple[int, int, float]]:
        """Image, atom of another class, cosine: exact copies, which cannot fire, and those that nearly are."""
        for image, row in enumerate(self.rows):
            yield from ((image, int(a), 1.0) for a in own[row] if self.reader.labels[a] != self.labels[image])
        for part in self._parts():
            features, codes = self.seen.take(self.rows[part]), read_codes(self.coded, part)
            given = self.reader.given(lambda features=features: features)  # type: ignore[misc]
            for twin in twins(codes, self.labels[part], given):
                yield part.start + twin.image, twin.atom, twin.cosine

    def harmful(self) -> Iterator[Harmful]:
        """Exemplars that harm more than they help, the worst first."""
        m = len(self.reader.labels)
        helped, harmed = np.zeros(m), np.zeros(m)
        for part in self._parts():
            more = influence(read_codes(self.coded, part), self.labels[part], self.reader.labels)
            helped, harmed = helped + more[0], harmed + more[1]
        classes = self.reader.dictionary.info.classes
        worse = harmed - helped
        for atom in np.argsort(-worse, kind="stable")[: int((worse > 0).sum())]:
            label = classes[self.reader.labels[atom]]
            yield Harmful(str(self.source[atom]), label, round(float(helped[atom]), 4), round(float(harmed[atom]), 4))


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _largest(counts: Int64) -> list[tuple[int, int]]:
    """Pairs of classes that have any, the most first."""
    first, second = counts.nonzero()
    order = np.argsort(-counts[first, second], kind="stable")
    return [(int(first[i]), int(second[i])) for i in order]


def _write(
    report: dict[str, object], suspects: Sequence[Suspect], harmful: Sequence[Harmful], equal: Sequence[Pair]
) -> None:
    labels = (
        [
            one.image,
            _yes(one.exemplar),
            one.label,
            one.suggested,
            f"{one.quality:.4f}",
            f"{one.share:.4f}",
            one.margin,
            "; ".join(one.copies),
            "; ".join(one.against),
        ]
        for one in suspects
    )
    exemplars = ([one.exemplar, one.label, f"{one.helped:.4f}", f"{one.harmed:.4f}"] for one in harmful)
    table_of_labels = csv_table(
        ["image", "exemplar", "label", "suggested", "quality", "share", "margin", "copies", "against"], labels
    )
    content = {
        **_edited(table_of_labels),
        LABELS: table_of_labels,
        paths.AUDIT / "exemplars.csv": csv_table(["image", "label", "helped", "harmed"], exemplars),
        paths.AUDIT / "pairs.csv": csv_table(
            ["image", "label", "exemplar", "its label", "cosine"],
            ([one.image, one.label, one.exemplar, one.its_label, f"{one.cosine:.4f}"] for one in equal),
        ),
        FIGURES: f"{json_text({**report, WRITTEN: _sha256(table_of_labels)})}\n".encode(),
    }
    with together() as aside:
        for path, data in content.items():
            aside(path).write_bytes(data)


def _edited(new: bytes) -> dict[Path, bytes]:
    """Keep a table of labels under another name that somebody worked on since it was written, as the guide says to."""
    there = LABELS.read_bytes() if LABELS.exists() else new
    with suppress(OSError, ValueError, TypeError, KeyError):
        if json.loads(FIGURES.read_bytes())[WRITTEN] == _sha256(there):
            return {}
    if there == new:
        return {}
    names = (LABELS.with_name(f"labels.edited{n or ''}.csv") for n in count())
    place = next(name for name in names if not name.exists() or name.read_bytes() == there)
    warn(f"{LABELS} was edited since it was written: kept as {place}")
    return {place: there}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _show(
    coded: int, images: int, suspects: Sequence[Suspect], harmful: Sequence[Harmful], pairs: Sequence[dict[str, object]]
) -> None:
    say(f"{len(suspects)} of {coded} training images have a label that their exemplars argue against")
    if coded < images:
        say(f"{images - coded} more were not coded: `dseld encode --split train --images all` codes them")
    rows = [[one.image, one.label, one.suggested, f"{one.quality:.2f}", *one.against[:1]] for one in suspects[:SHOWN]]
    table("Labels", ["image", "label", "exemplars say", "label quality", "loudest exemplar"], rows)
    worst = [[one.exemplar, one.label, f"{one.helped:.2f}", f"{one.harmed:.2f}"] for one in harmful[:SHOWN]]
    table("Exemplars that speak for other classes", ["exemplar", "label", "own class", "others"], worst)
    stolen = [[str(one["class"]), str(one["by"]), str(one["images"])] for one in pairs[:SHOWN]]
    table("Classes that take from others", ["images of", "taken by", "images"], stolen)


def _show_pairs(equal: Sequence[Pair]) -> None:
    if equal:
        rows = [[one.image, one.label, one.exemplar, one.its_label, f"{one.cosine:.3f}"] for one in equal[:SHOWN]]
        title = f"{len(equal)} pairs are equal or nearly, and of different classes"
        table(title, ["image", "label", "exemplar", "its label", "cosine"], rows)
    say(f"{paths.AUDIT}/labels.csv, exemplars.csv, pairs.csv, audit.json")
    say(
        f"the first are the surest: leave in {LABELS} what is wrong, then `dseld relabel --from {LABELS}`, or "
        "`dseld remove-exemplars`"
    )
