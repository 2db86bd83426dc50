"""The same images through the same dictionary as hardware would compute it: what accuracy is lost, at what cost.

A `Way` turns features into codes: floating point, integers in one layer or two, binary spikes. Its free numbers are
chosen in `deploy_settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.decoders.base import Decoder, Given, predict
from dseld_cli.deploy.fixed_point import (
    Overflow,
    Weights,
    as_power_of_two,
    inhibition_weights,
    quantise,
    run_one_layer,
    run_two_layers,
)
from dseld_cli.deploy.kernels import of_few
from dseld_cli.deploy.spiking import Spikes, run_spiking
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.trial import Exemplars, Sample
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder
from dseld_cli.lca.recurrence import Inhibition, LCAParams, Response, run_lca
from dseld_cli.runtime.engine import on_all_cores, shares
from dseld_cli.runtime.progress import Track, quiet

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

SPIKING_STEPS = 2
"""Times the steps of the graded network that spikes are counted over."""
BATCH = 128
"""Images worked on together."""
TILE = 2048
"""Rows of G that are computed at a time."""


@dataclass(frozen=True)
class Coded:
    """Codes of n images, and what they took.

    Attributes:
        codes: as decoders read them.
        messages: sent between neurons, on average per image.
        operations: synaptic operations, on average per image.
        peak_bits: bits of the largest integer, its sign left out; None without integers.
        negative: neurons that would have fired with a negative sign and could not, in all images.
        refused: images of which a state left its bits: their code is silent.
        earlier: the same after fewer steps, by their number, where that was asked for.

    """

    codes: SparseCodes
    messages: float
    operations: float
    peak_bits: float | None = None
    negative: int = 0
    refused: int = 0
    earlier: Mapping[int, Coded] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Coded]) -> Coded:
        """Join parts of the images, in order."""
        share = np.array([len(part.codes) for part in parts]) / sum(len(part.codes) for part in parts)
        peaks = [part.peak_bits for part in parts if part.peak_bits is not None]
        return cls(
            SparseCodes.concatenate([part.codes for part in parts]),
            float(share @ [part.messages for part in parts]),
            float(share @ [part.operations for part in parts]),
            max(peaks) if peaks else None,
            sum(part.negative for part in parts),
            sum(part.refused for part in parts),
            {steps: cls.joined([part.earlier[steps] for part in parts]) for steps in parts[0].earlier},
        )


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
        holds_one_layer: whether memory holds M^2 weights of one layer.
        holds_gramian: whether memory holds G beside them, which spares spikes a product with all atoms at every step.
        track: shows progress.

    """

    exemplars: Exemplars
    params: LCAParams
    decoders: Mapping[str, Decoder]
    weight_bits: int = 8
    batch: int = BATCH
    holds_one_layer: bool = True
    holds_gramian: bool = False
    track: Track = quiet

    @cached_property
    def two_layer_weights(self) -> Weights:
        """Integers of Phi, (M, N)."""
        return quantise(self.exemplars.atoms, self.weight_bits)

    @cached_property
    def one_layer_weights(self) -> Weights:
        """Integers of -(G - I) / tau, (M, M)."""
        return inhibition_weights(self.exemplars.atoms, self.shifted.tau, self.weight_bits)

    @cached_property
    def gramian(self) -> Float32:
        """G, (M, M)."""
        atoms = self.exemplars.atoms
        gramian = np.empty((len(atoms), len(atoms)), np.float32)
        for rows in store.blocks(len(atoms), TILE):
            np.matmul(atoms[rows], atoms.T, out=gramian[rows])
        return gramian

    @property
    def shifted(self) -> LCAParams:
        """The recurrence with a tau that a shift divides by."""
        return as_power_of_two(self.params)

    def floating(self, params: LCAParams, settled: bool = True) -> Way:
        """Codes of the recurrence itself; a message is a neuron that fires at a step.

        Unless they need not have settled, one that diverges is refused.
        """
        encoder = Encoder(self.exemplars.atoms, params)

        def way(features: Float32) -> Coded:
            result = encoder.encode(features)
            if settled:
                encoder.require_stable(result, features, [f"number {i + 1} of a batch" for i in range(len(features))])
            codes = result.codes
            sent = float(codes.firing.sum(axis=1).mean())
            return Coded(codes, sent, sent * (len(self.exemplars.labels) - 1))

        return way

    def late(self) -> Way:
        """Floating point with inhibition that comes one step late, as simulators without instant messages have it."""

        def way(features: Float32) -> Coded:
            found = run_lca(self._driving(features), one_step_late(self._through_atoms), self.params)
            sent = float(found.firing.sum(axis=1).mean())
            return Coded(SparseCodes.from_response(found), sent, sent * (len(self.exemplars.labels) - 1))

        return _side_by_side(way)

    def one_layer(self, scale: int) -> Way:
        """Integers, inhibition through G."""
        weights = self.one_layer_weights

        def way(features: Float32) -> Coded:
            found = run_one_layer(self._driving(features.astype(np.float64)), weights, self.shifted, scale)
            return _coded(found.code, found.messages, found.operations, found.peak_bits)

        return _side_by_side(way)

    def two_layers(self, scale: int, height: float) -> Way:
        """Integers, inhibition through a residual."""
        weights = self.two_layer_weights

        def way(features: Float32) -> Coded:
            found = run_two_layers(features, weights, self.shifted, scale, height)
            return _coded(found.code, found.messages, found.operations, found.peak_bits)

        return _side_by_side(way)

    def spikes(
        self, features: Floats, steps: int, quantum: float, floor: bool = True, look: Collection[int] = ()
    ) -> Spikes:
        """Let images (n, N) evoke binary spikes; numbers have the precision of the features."""
        through = self._through_gramian if self.holds_gramian and features.dtype == np.float32 else self._through_atoms
        params = replace(self.params, steps=steps)
        return run_spiking(self._driving(features), through, params, quantum, floor, look)

    def spiking(self, steps: int, quantum: float, floor: bool = True, look: Collection[int] = ()) -> Way:
        """Binary spikes, counted over so many steps."""
        if self.holds_gramian:
            _ = self.gramian  # once, before threads ask for it

        def way(features: Float32) -> Coded:
            found = self.spikes(features, steps, quantum, floor, look)
            at = {k: _counted(counts, k, quantum, found) for k, counts in found.earlier.items()}
            whole = _counted(found.counts, steps, quantum, found)
            return replace(whole, negative=int(found.negative.sum()), earlier=at)

        return _side_by_side(way)

    def _driving(self, features: Floats) -> Floats:
        return np.asarray(features @ self.exemplars.atoms.T)

    def _through_atoms(self, a: Floats) -> Floats:
        return self._driving(of_few(a, self.exemplars.atoms)) - a

    def _through_gramian(self, a: Floats) -> Floats:
        return of_few(a, self.gramian) - a

    def run(self, way: Way, features: Float32, what: str) -> Coded:
        """Code images (n, N) batch by batch."""
        cuts = list(store.blocks(len(features), self.batch))
        return Coded.joined([way(features[cut]) for cut in self.track(cuts, len(cuts), what)])

    def right(self, coded: Coded, sample: Sample) -> dict[str, NDArray[np.bool_]]:
        """Whether every decoder names the class of each image, (n,)."""
        atoms = self.exemplars.atoms
        given = Given(self.exemplars.labels, self.exemplars.n_classes, atoms.__getitem__, lambda: sample.features)
        found = self.decoders.items()
        return {name: predict(d.scores(coded.codes, given)) == sample.truth for name, d in found}

    def top1(self, coded: Coded, sample: Sample) -> dict[str, float]:
        """Top-1 of every decoder in percent."""
        return {name: metrics.percent(right) for name, right in self.right(coded, sample).items()}


def _side_by_side(way: Way) -> Way:
    """Share images among the cores: what a step does to every neuron is not linear algebra alone."""
    return lambda features: Coded.joined(on_all_cores(lambda part: way(features[part]), shares(len(features))))


def _counted(counts: NDArray[np.int32], steps: int, quantum: float, found: Spikes) -> Coded:
    """Read spikes counted over so many steps as activations."""
    sent = found.per_step[:, :steps].sum(axis=1).astype(np.float64)
    return _coded(quantum * counts.astype(np.float64) / steps, sent, sent * (counts.shape[1] - 1))


def refusing(way: Way) -> Way:
    """Let an image of which a state leaves its bits have a silent code, and be counted, instead of stopping all."""

    def coded(features: Float32) -> Coded:
        try:
            return way(features)
        except Overflow:
            n = len(features)
            if n > 1:
                return Coded.joined([coded(features[: n // 2]), coded(features[n // 2 :])])
            return replace(_coded(np.zeros((1, 1)), np.zeros(1), np.zeros(1)), refused=1)

    return coded


def one_step_late(inhibition: Inhibition) -> Inhibition:
    """Deliver at each step what the activations of the step before caused."""
    on_its_way: list[Any] = []

    def deliver(a: Any) -> Any:
        on_its_way.append(inhibition(a))
        return on_its_way.pop(0) if len(on_its_way) > 1 else 0 * a

    return deliver


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
