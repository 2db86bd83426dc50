"""The same images through the same dictionary as hardware would compute it: what accuracy is lost, at what cost.

A `Way` turns features into codes: floating point, integers in one layer or two, binary spikes. Its free numbers are
chosen on images that are not those reported: the finest scale of integers at which states fit; of the heights at which
a residual is sent, and of what a spike may be worth, the cheapest within TOLERANCE of the best accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.decoders.base import Decoder, Given, predict
from dseld_cli.deploy.fixed_point import (
    STATE_BITS,
    Overflow,
    Weights,
    as_power_of_two,
    inhibition_weights,
    quantise,
    run_one_layer,
    run_two_layers,
)
from dseld_cli.deploy.spiking import Spikes, run_spiking
from dseld_cli.dictionary.checks import require_same_extractor, require_unit_norm
from dseld_cli.dictionary.manifest import Layout
from dseld_cli.dictionary.representative import representative
from dseld_cli.errors import DoesNotFit, StoreMissing, UserError
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.trial import Exemplars, Sample, drawn_sample
from dseld_cli.images.sampling import drawn
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder, memory_needed
from dseld_cli.lca.inhibition import through_atoms
from dseld_cli.lca.recurrence import Inhibition, LCAParams, Response, run_lca
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.store import project as paths

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

SCALES = range(20, 3, -1)
"""Bits after the point of all states, the finest first."""
HEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""What a residual adds up before it is sent, in units of the median image's largest feature; tried beside nothing."""
QUANTA = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""What a spike is worth, in units of the median image's largest activation."""
TOLERANCE = 0.5
"""Points of accuracy, averaged over decoders, that are given for a cheaper setting."""
HEADROOM = 1
"""Bits that images which settings are chosen on leave free: others may need more."""
LARGEST_ONE_LAYER = 8000
"""Atoms up to which M^2 weights are held here (0.5 GB)."""
SPIKING_STEPS = 2
"""Times the steps of the graded network that spikes are counted over."""
BATCH = 100
DOUBLES = 10
"""Arrays of float64 numbers, one per neuron and image, that a step keeps at a time."""


@dataclass(frozen=True)
class Coded:
    """Codes of n images, and what they took.

    Attributes:
        codes: as decoders read them.
        messages: sent between neurons, on average per image.
        operations: synaptic operations, on average per image.
        peak_bits: bits of the largest integer, its sign left out; None without integers.
        negative: neurons that would have fired with a negative sign and could not, in all images.

    """

    codes: SparseCodes
    messages: float
    operations: float
    peak_bits: float | None = None
    negative: int = 0


Way = Callable[[Float32], Coded]


@dataclass(frozen=True)
class Deployment:
    """A dictionary (M, N), the recurrence, and what reads its codes.

    Attributes:
        exemplars: the dictionary.
        params: lambda, tau, steps.
        decoders: by name.
        weight_bits: of integers.
        batch: images worked on together.
        track: shows progress.

    """

    exemplars: Exemplars
    params: LCAParams
    decoders: Mapping[str, Decoder]
    weight_bits: int = 8
    batch: int = 100
    track: Track = quiet

    @cached_property
    def two_layer_weights(self) -> Weights:
        """Integers of Phi, (M, N)."""
        return quantise(self.exemplars.atoms, self.weight_bits)

    @cached_property
    def one_layer_weights(self) -> Weights:
        """Integers of -(G - I) / tau, (M, M)."""
        return inhibition_weights(self.exemplars.atoms, self.shifted.tau, self.weight_bits)

    @property
    def shifted(self) -> LCAParams:
        """The recurrence with a tau that a shift divides by."""
        return as_power_of_two(self.params)

    def floating(self, params: LCAParams) -> Way:
        """Codes of the recurrence itself; a message is a neuron that fires at a step."""
        encoder = Encoder(self.exemplars.atoms, params)

        def way(features: Float32) -> Coded:
            result = encoder.encode(features)
            encoder.require_stable(result, features, [f"number {i + 1} of a batch" for i in range(len(features))])
            codes = result.codes
            sent = float(codes.firing.sum(axis=1).mean())
            return Coded(codes, sent, sent * (len(self.exemplars.labels) - 1))

        return way

    def late(self) -> Way:
        """Floating point with inhibition that comes one step late, as simulators without instant messages have it."""
        atoms = self.exemplars.atoms

        def way(features: Float32) -> Coded:
            inhibition = through_atoms(lambda: [(slice(0, len(atoms)), atoms)], atoms.shape[1])
            found = run_lca(features @ atoms.T, one_step_late(inhibition), self.params)
            sent = float(found.firing.sum(axis=1).mean())
            return Coded(SparseCodes.from_response(found), sent, sent * (len(atoms) - 1))

        return way

    def one_layer(self, scale: int) -> Way:
        """Integers, inhibition through G."""

        def way(features: Float32) -> Coded:
            b = features.astype(np.float64) @ self.exemplars.atoms.T
            found = run_one_layer(b, self.one_layer_weights, self.shifted, scale)
            return _coded(found.code, found.messages, found.operations, found.peak_bits)

        return way

    def two_layers(self, scale: int, height: float) -> Way:
        """Integers, inhibition through a residual."""

        def way(features: Float32) -> Coded:
            found = run_two_layers(features, self.two_layer_weights, self.shifted, scale, height)
            return _coded(found.code, found.messages, found.operations, found.peak_bits)

        return way

    def spikes(self, features: Floats, steps: int, quantum: float, floor: bool = True) -> Spikes:
        """Let images (n, N) evoke binary spikes."""
        atoms = self.exemplars.atoms
        inhibition = through_atoms(lambda: [(slice(0, len(atoms)), atoms)], atoms.shape[1])
        params = LCAParams(self.params.lambda_, self.params.tau, steps)
        return run_spiking(features @ atoms.T, inhibition, params, quantum, floor)

    def spiking(self, steps: int, quantum: float, floor: bool = True) -> Way:
        """Binary spikes, counted over so many steps."""

        def way(features: Float32) -> Coded:
            found = self.spikes(features, steps, quantum, floor)
            code = quantum * found.counts.astype(np.float64) / steps
            spikes = found.per_step.sum(axis=1).astype(np.float64)
            return _coded(code, spikes, found.operations(), negative=int(found.negative.sum()))

        return way

    def run(self, way: Way, features: Float32, what: str) -> Coded:
        """Code images (n, N) batch by batch."""
        cuts = list(store.blocks(len(features), self.batch))
        parts = [way(features[cut]) for cut in self.track(cuts, len(cuts), what)]
        share = np.array([len(part.codes) for part in parts]) / len(features)
        peaks = [part.peak_bits for part in parts if part.peak_bits is not None]
        return Coded(
            SparseCodes.concatenate([part.codes for part in parts]),
            float(share @ [part.messages for part in parts]),
            float(share @ [part.operations for part in parts]),
            max(peaks) if peaks else None,
            sum(part.negative for part in parts),
        )

    def top1(self, coded: Coded, sample: Sample) -> dict[str, float]:
        """Top-1 of every decoder in percent."""
        atoms = self.exemplars.atoms
        given = Given(self.exemplars.labels, self.exemplars.n_classes, atoms.__getitem__, lambda: sample.features)
        found = self.decoders.items()
        return {name: metrics.percent(predict(d.scores(coded.codes, given)) == sample.truth) for name, d in found}

    def finest(self, at: Callable[[int], Way], sample: Sample, what: str) -> tuple[int, Coded]:
        """Choose the finest scale whose states leave HEADROOM bits free on a sample; with its codes.

        Raises:
            DoesNotFit: if none does.

        """
        for scale in SCALES:
            if coded := self._fitting(at(scale), sample, f"{what}, scale 2^{scale}"):
                return scale, coded
        raise DoesNotFit(f"{what}: states leave {STATE_BITS} bits at every scale from 2^{SCALES[-1]} on")

    def fitted_one_layer(self, val: Sample) -> int:
        """Choose the scale of one layer."""
        return self.finest(self.one_layer, val, "one layer")[0]

    def fitted_two_layers(self, val: Sample) -> tuple[int, float]:
        """Choose the scale of two layers, and the height at which a residual is sent."""
        scale, at_once = self.finest(lambda scale: self.two_layers(scale, 0), val, "two layers")
        unit = largest(np.abs(val.features).max(axis=1))
        found: dict[float, Coded | None] = {0.0: at_once}
        for share in HEIGHTS:
            way = self.two_layers(scale, share * unit)
            found[share] = self._fitting(way, val, f"two layers, spike height {share:g}")
        return scale, unit * self.cheapest(found, val)

    def fitted_quantum(self, val: Sample, floor: bool = True) -> float:
        """Choose what a spike is worth."""
        steps = SPIKING_STEPS * self.params.steps
        active = self.run(self.floating(self.params), val.features, "val, float").codes
        unit = largest([np.abs(row).max(initial=0) for row in np.split(active.values, active.indptr[1:-1])])
        ways = {share: self.spiking(steps, share * unit, floor) for share in QUANTA}
        found = {share: self._fitting(way, val, f"spikes, worth {share:g}") for share, way in ways.items()}
        return unit * self.cheapest(found, val)

    def cheapest(self, found: Mapping[float, Coded | None], sample: Sample) -> float:
        """Choose the last of the values that fit within TOLERANCE of the best accuracy; they go from dear to cheap."""
        top1 = {value: float(np.mean([*self.top1(one, sample).values()])) for value, one in found.items() if one}
        return [value for value, mean in top1.items() if mean >= max(top1.values()) - TOLERANCE][-1]

    def _fitting(self, way: Way, sample: Sample, what: str) -> Coded | None:
        """Code a sample; None if its integers do not leave HEADROOM bits free."""
        try:
            coded = self.run(way, sample.features, what)
        except Overflow:
            return None
        return coded if (coded.peak_bits or 0) < STATE_BITS - 1 - HEADROOM else None


def one_step_late(inhibition: Inhibition) -> Inhibition:
    """Deliver at each step what the activations of the step before caused."""
    on_its_way: list[Any] = []

    def deliver(a: Any) -> Any:
        on_its_way.append(inhibition(a))
        return on_its_way.pop(0) if len(on_its_way) > 1 else 0 * a

    return deliver


def deployed(
    dictionary: store.Dictionary,
    params: LCAParams,
    decoders: Mapping[str, Decoder],
    memory: int,
    atoms: int | None,
    weight_bits: int,
    track: Track,
) -> Deployment:
    """Read a dictionary: so many atoms that represent their classes best, in their places; None: all.

    Raises:
        UserError: if there are not so many, or memory does not hold them.

    """
    m, n = dictionary.shape("atoms")
    if atoms is not None and atoms > m:
        raise UserError(f"--atoms {atoms}: the dictionary has {m}")
    m = atoms or m
    one_layer = 8 * 3 * m * m if m <= LARGEST_ONE_LAYER else 0
    floating = memory_needed("working-set", BATCH, m, n, params.steps)
    held, image = (4 + 3 * 8) * m * n + one_layer + floating, 8 * DOUBLES * (m + n)
    spare = arrays_within(memory, held + image, f"{m} atoms of {n} features as floats and integers")
    kept = _best(dictionary, atoms, memory, track)
    exemplars = Exemplars(dictionary.take("atoms", kept), dictionary.read("labels")[kept], len(dictionary.info.classes))
    require_unit_norm(exemplars.atoms, dictionary)
    return Deployment(exemplars, params, decoders, weight_bits, min(BATCH, (spare - held) // image), track)


def sample(dictionary: store.Dictionary, split: str, images: int | Literal["all"], seed: int) -> Sample:
    """Draw images of a split, as the dictionary sees them.

    Raises:
        UserError: if there are none.

    """
    if not store.present(paths.features(split)):
        raise StoreMissing(
            f"no features of the {split} split: scales and spikes are chosen on val, and reported on test; add val to "
            "extract.splits in params.yaml, run `dseld extract` and `dseld build-dict`"
        )
    features = store.open_store(paths.features(split), store.FeaturesInfo)
    require_same_extractor(features, dictionary)
    rows = drawn(features.shape("features")[0], images, seed)
    return drawn_sample(dictionary, features, rows)


def _coded(
    code: Float64, messages: Float64, operations: Float64, peak: float | None = None, negative: int = 0
) -> Coded:
    n = len(code)
    empty = Response(code.astype(np.float32), np.zeros((n, 0), np.int32), np.zeros(n, np.int64), np.zeros((n, 1)))
    return Coded(SparseCodes.from_response(empty), float(messages.mean()), float(operations.mean()), peak, negative)


def agreement(ours: SparseCodes, theirs: SparseCodes) -> float:
    """Share of the neurons active in either code that are active in both, over all images; 1 where all are silent."""
    most = int(max(ours.indices.max(initial=0), theirs.indices.max(initial=0))) + 1
    keys = [codes.image_of_value() * most + codes.indices for codes in (ours, theirs)]
    both = len(set(keys[0].tolist()) & set(keys[1].tolist()))
    either = len(keys[0]) + len(keys[1]) - both
    return both / either if either else 1.0


def largest(values: Sequence[float] | NDArray[Any]) -> float:
    """Median of what images have at most; 1 where that is nothing."""
    return float(np.median(values)) or 1.0


def _best(dictionary: store.Dictionary, wanted: int | None, memory: int, track: Track) -> Int64:
    """Find the atoms of which so many represent their classes best, rising; tombstones come last."""
    everything = np.arange(dictionary.shape("atoms")[0])
    if wanted is None:
        return everything
    gone = Layout.of(dictionary).tombstones
    there = everything[~gone]
    most = max(store.spec.ROWS, memory // 4 // (4 * dictionary.shape("atoms")[1]))
    labels = dictionary.read("labels")[there]
    order = representative(lambda rows: dictionary.take("atoms", there[rows]), labels, 0, most, track)
    return np.sort(np.concatenate([there[order], everything[gone]])[:wanted])
