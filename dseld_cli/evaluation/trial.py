"""One setting tried: a sample coded over the first atoms of a dictionary in memory, and read by decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.decoders.base import Decoder, Given, Trainable, predict
from dseld_cli.dictionary.checks import relabel
from dseld_cli.dictionary.transform import Seen
from dseld_cli.evaluation import metrics
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.progress import Track, quiet

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

BATCH = 250
PROBED = 256
"""Images of a sample whose driving input tells what lambda means."""

SHARES = (0.06, 0.09, 0.12, 0.16, 0.2, 0.25)
"""Lambda as a share of the strongest driving input of the median image: what is tried if nothing is asked for.

Lambda is in units of the features' norm: a number that suits one backbone is far off for another. The paper's 0.3 is
2 % of the strongest input of CIFAR-10 features of EfficientNet-Lite0, where its 2 is 12 %; at 2 % neurons fire for what
the image has in common with all others.
"""


@dataclass(frozen=True)
class Setting:
    """The first `size` atoms of the dictionary, and the recurrence."""

    size: int
    params: LCAParams


@dataclass(frozen=True)
class Sample:
    """Images to code: features (n, N), true classes (n,), and atoms that each must not use, or None."""

    features: Float32
    truth: Int64
    excluded: Sequence[Int64] | None = None


@dataclass(frozen=True)
class Exemplars:
    """Unit-norm atoms (M, N) with their classes (M,)."""

    atoms: Float32
    labels: Int64
    n_classes: int


@dataclass(frozen=True)
class Trial:
    """What is tried on what.

    Attributes:
        exemplars: the dictionary.
        sample: images whose classes count.
        decoders: what reads their codes, by name.
        training: images that trained decoders learn from; None without such decoders.
        seed: of their training.
        track: shows progress.

    """

    exemplars: Exemplars
    sample: Sample
    decoders: Mapping[str, Decoder]
    training: Sample | None = None
    seed: int = 0
    track: Track = field(default=quiet)

    def top1(self, setting: Setting, what: str) -> dict[str, float | None]:
        """Top-1 of every decoder, and the share of neurons firing, in percent; None where the recurrence diverges."""
        nothing: dict[str, float | None] = dict.fromkeys([*self.decoders, "firing"])
        codes = self._coded(self.sample, setting, what)
        teaching = self._coded(self.training, setting, f"{what}, training images") if codes and self.training else None
        if codes is None or (self.training and teaching is None):
            return nothing
        atoms, labels = self.exemplars.atoms[: setting.size], self.exemplars.labels[: setting.size]
        given = Given(labels, self.exemplars.n_classes, atoms.__getitem__, lambda: self.sample.features)
        found: dict[str, float | None] = {}
        for name, decoder in self.decoders.items():
            learned = self._learned(decoder, teaching, given)
            scores = decoder.scores(codes, replace(given, learned=learned))
            found[name] = metrics.percent(predict(scores) == self.sample.truth)
        return found | {"firing": round(100 * float(codes.firing.mean()) / setting.size, 4)}

    def _learned(self, decoder: Decoder, teaching: SparseCodes | None, given: Given) -> Mapping[str, NDArray[Any]]:
        if teaching is None or self.training is None or not isinstance(decoder, Trainable):
            return {}
        images = self.training.features
        return decoder.train(teaching, self.training.truth, replace(given, features=lambda: images), self.seed).learned

    def _coded(self, sample: Sample, setting: Setting, what: str) -> SparseCodes | None:
        return coded(sample, self.exemplars.atoms[: setting.size], setting.params, lambda cuts: self._shown(cuts, what))

    def _shown(self, cuts: Sequence[slice], what: str) -> Iterable[slice]:
        return self.track(cuts, len(cuts), what)


def coded(
    sample: Sample,
    atoms: Float32,
    params: LCAParams,
    shown: Callable[[Sequence[slice]], Iterable[slice]] = lambda cuts: cuts,
) -> SparseCodes | None:
    """Codes of a sample over atoms (M, N); None if the recurrence diverges for an image."""
    encoder = Encoder(atoms, params, images=len(sample.features))
    excluded = sample.excluded and [own[own < len(atoms)] for own in sample.excluded]
    found = []
    for part in shown(list(store.blocks(len(sample.features), BATCH))):
        result = encoder.encode(sample.features[part], excluded[part] if excluded else None)
        if result.report.unstable.any():
            return None
        found.append(result.codes)
    return SparseCodes.concatenate(found)


def drawn_sample(
    dictionary: store.Dictionary, features: store.Features, rows: Int64, excluded: Sequence[Int64] | None = None
) -> Sample:
    """Read rows of a split's features as the dictionary sees them, with their classes in its list; -1: it lacks one."""
    truth = relabel(features.read("labels"), features.info.classes, dictionary.info.classes)[rows]
    return Sample(Seen.by(dictionary, features).take(rows), truth, excluded)


def strongest_input(features: Float32, atoms: Float32) -> float:
    """Median over images (n, N) of the strongest driving input max |Phi S|: what lambda is to be compared with."""
    return float(np.median(np.abs(features[:PROBED] @ atoms.T).max(axis=1)))


def rounded(value: float, digits: int = 2) -> float:
    """Round to so many significant digits: what a person would write into params.yaml."""
    return float(f"{value:.{digits}g}")


def top1_cell(value: float | None) -> str:
    """Write what a trial found as a table has it."""
    return "diverges" if value is None else f"{value:.2f} %"
