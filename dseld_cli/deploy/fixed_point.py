"""The recurrence in integers, step for step as Loihi 2 computes it (lava-optimization 0.5, LCA1Layer and LCA2Layer).

Weights are 8-bit integers that share an exponent, membrane potentials and messages signed 24-bit integers, in units of
2^-scale; the leak is a multiplication and a shift, so that tau has to be a power of two. What differs from
`lca.recurrence`:

- Synapses deliver one step after they were sent: inhibition comes one step late in one layer, two steps in two.
- One layer inhibits through G, M^2 weights. Two layers need 2 M N: neurons of the residual r = S - Phi^T a add up what
  is not explained yet, and send it on as soon as it exceeds `spike_height` in size ("2-Layer LCA", arXiv 2205.15386).
- Two layers answer one step later: they run K + 1 steps for a code of K.
- Rounding: a synapse's sum is rounded down after its exponent, as the leak is.

A state that leaves its 24 bits is refused: the chip would wrap it, and lava's models do not notice.

Integers are kept in float64, which holds them exactly: 2^8 a weight, 2^24 a message and 2^17 of them are 2^49. Only the
M^2 weights of one layer are integers of 16 or 32 bits: 40,000 atoms take 3.2 GB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.deploy import kernels
from dseld_cli.errors import DoesNotFit
from dseld_cli.lca.recurrence import LCAParams, soft_threshold

Float64 = NDArray[np.float64]

STATE_BITS = 24
SPARSE = 0.05
"""Share of neurons that send up to which those alone are multiplied."""
LEAK_BITS = 24
"""Bits after the point of the factor by which a membrane potential leaks."""
TILE = 2048
"""Atoms whose inner products with as many others are computed at a time."""


class Overflow(DoesNotFit):
    """A state or the threshold takes more bits than there are."""


@dataclass(frozen=True)
class Weights:
    """Integer weights (rows, columns) `mantissa`, in units of 2**exponent."""

    mantissa: NDArray[Any]
    exponent: int

    def values(self) -> Float64:
        """Return the real weights that they stand for."""
        return np.asarray(np.ldexp(self.mantissa, self.exponent), np.float64)

    def into_rows(self, messages: Float64) -> Float64:
        """Sum what messages (B, columns) cause in each row, (B, rows), in units of 2**exponent."""
        return _product(messages, self._transposed)

    def into_columns(self, messages: Float64) -> Float64:
        """Sum what messages (B, rows) cause in each column, (B, columns), in units of 2**exponent."""
        return _product(messages, self.mantissa)

    @cached_property
    def _transposed(self) -> NDArray[Any]:
        return np.ascontiguousarray(self.mantissa.T)


@dataclass(frozen=True)
class Integers:
    """What B images evoke.

    Attributes:
        code: a[K] in the units of the features, (B, M).
        peak: largest size of any state, in integers.
        messages: sent between neurons, over all steps, (B,).
        operations: synaptic operations, one per weight that a message meets, (B,).

    """

    code: Float64
    peak: float
    messages: Float64
    operations: Float64

    @property
    def peak_bits(self) -> float:
        """Bits that the largest state takes, its sign left out: at most 23 on the chip."""
        return float(np.log2(max(self.peak, 1)))


def _product(messages: Float64, weights: NDArray[Any]) -> Float64:
    """Multiply messages (B, rows), of which few may be other than zero, by weights (rows, columns): both exact."""
    if weights.dtype.kind == "i" or np.count_nonzero(messages) <= SPARSE * messages.size:
        return np.asarray(kernels.of_few(messages, weights), np.float64)
    return np.asarray(messages @ weights)


def quantise(weights: NDArray[np.floating[Any]], bits: int = 8) -> Weights:
    """Round weights to integers of `bits` bits with the smallest shared exponent that holds them all.

    Weights of one sign have all bits for their size; of both, the lowest goes to the sign: even integers remain.
    """
    mixed, exponent = _range(float(weights.min(initial=0)), float(weights.max(initial=0)), bits)
    return Weights(_rounded(weights, exponent, mixed), exponent)


def inhibition_weights(atoms: NDArray[np.floating[Any]], tau: float, bits: int = 8) -> Weights:
    """Weights of one layer, -(G - I) / tau (M, M), from unit-norm atoms (M, N): integers of 16 bits, if they fit."""
    m = len(atoms)
    ends = np.array([(tile.min(), tile.max()) for _, _, tile in _lateral(atoms, tau)])
    mixed, exponent = _range(ends.min(initial=0), ends.max(initial=0), bits)
    mantissa = np.empty((m, m), np.int16 if bits < 16 else np.int32)
    for rows, columns, tile in _lateral(atoms, tau):
        found = _rounded(tile, exponent, mixed)
        mantissa[rows, columns] = found
        mantissa[columns, rows] = found.T  # symmetric to the last bit, as products of blocks need not be
    return Weights(mantissa, exponent)


def _lateral(atoms: NDArray[np.floating[Any]], tau: float) -> Iterator[tuple[slice, slice, Float64]]:
    """Tiles of -(G - I) / tau on and below the diagonal."""
    cuts = [slice(start, start + TILE) for start in range(0, len(atoms), TILE)]
    for i, rows in enumerate(cuts):
        wide = atoms[rows].astype(np.float64)
        for columns in cuts[: i + 1]:
            tile = wide @ atoms[columns].astype(np.float64).T
            if rows == columns:
                np.fill_diagonal(tile, 0)
            tile /= -tau
            yield rows, columns, tile


def _range(lowest: float, highest: float, bits: int) -> tuple[bool, int]:
    """Tell whether weights have both signs, and the smallest exponent at which `bits` bits hold them."""
    mixed = lowest < 0 < highest
    largest = max(highest, -lowest)
    return mixed, int(np.ceil(np.log2(largest / (2**bits - (2 if mixed else 1))))) if largest else 0


def _rounded(weights: NDArray[np.floating[Any]], exponent: int, mixed: bool) -> Float64:
    step = 2 if mixed else 1
    mantissa = np.ldexp(weights.astype(np.float64, copy=False), -exponent)
    mantissa /= step
    np.rint(mantissa, out=mantissa)
    mantissa *= step
    return mantissa


def as_power_of_two(params: LCAParams) -> LCAParams:
    """Change tau to the nearest power of two, and the steps in proportion."""
    tau = 2.0 ** round(np.log2(params.tau))
    return LCAParams(params.lambda_, tau, max(1, round(params.steps * tau / params.tau)))


def run_one_layer(b: NDArray[np.floating], weights: Weights, params: LCAParams, scale: int) -> Integers:
    """Run K steps for driving inputs b (B, M), inhibition through weights (M, M), states in units of 2^-scale.

    Raises:
        Overflow: if a state or the threshold leaves 24 bits.
        DoesNotFit: if tau is no power of two.

    """
    leak, threshold = _leak(params), _threshold(params, scale)
    unit = 2.0**weights.exponent
    bias = np.rint(np.ldexp(b.astype(np.float64), scale) / params.tau) / unit
    v, late, a, fires = np.zeros_like(bias), np.zeros_like(bias), np.zeros_like(bias), np.zeros(len(bias), np.int64)
    messages, peak = np.zeros(len(bias)), 0.0
    for _ in range(params.steps):
        late += bias
        peak = _fits(max(peak, kernels.leak_and_integrate(v, late, a, fires, threshold, leak, unit, 0.0)), scale)
        late = weights.into_columns(a)  # what it sends into its rows as well: symmetric, and no transposed copy of M^2
        messages += fires
    code = np.ldexp(soft_threshold(v, threshold), -scale)
    return Integers(code, peak, messages, messages * (b.shape[1] - 1))


def run_two_layers(
    features: NDArray[np.floating], atoms: Weights, params: LCAParams, scale: int, spike_height: float = 0.0
) -> Integers:
    """Run K + 1 steps for features S (B, N), through atoms (M, N) and back, states in units of 2^-scale.

    Args:
        features: S.
        atoms: Phi.
        params: lambda, tau (a power of two), steps.
        scale: of all states.
        spike_height: what a residual neuron adds up before it sends, in the units of the features.

    Raises:
        Overflow: if a state or the threshold leaves 24 bits.
        DoesNotFit: if tau is no power of two.

    """
    leak, threshold = _leak(params), _threshold(params, scale)
    height, unit = np.rint(np.ldexp(spike_height, scale)), 2.0**atoms.exponent
    bias = np.rint(np.ldexp(features.astype(np.float64), scale))
    (m, n), n_images = atoms.mantissa.shape, len(bias)
    v, a, driven, r, explained = (np.zeros((n_images, size)) for size in (m, m, m, n, n))
    from_atoms, messages, operations, peak = np.zeros(n_images, np.int64), np.zeros(n_images), np.zeros(n_images), 0.0
    euler = unit / params.tau, 1 / params.tau  # the Euler step is in the weights
    for _ in range(params.steps + 1):
        peak = max(peak, kernels.leak_and_integrate(v, driven, a, from_atoms, threshold, leak, *euler))
        r += explained + bias
        peak = _fits(max(peak, float(np.abs(r).max(initial=0))), scale)
        sent = np.where(np.abs(r) > height, r, 0)
        r -= sent
        explained, driven = np.floor(-unit * atoms.into_columns(a)), atoms.into_rows(sent)
        from_residual = np.count_nonzero(sent, axis=1)
        messages += from_atoms + from_residual
        operations += from_atoms * n + from_residual * m
    return Integers(np.ldexp(soft_threshold(v, threshold), -scale), peak, messages, operations)


def _leak(params: LCAParams) -> float:
    """Give the factor by which a potential leaks in a step: LEAK_BITS bits after the point hold it."""
    exponent = np.log2(params.tau)
    if exponent > LEAK_BITS:
        raise DoesNotFit(
            f"tau {params.tau:g}: the leak has {LEAK_BITS} bits, so that tau should be at most 2^{LEAK_BITS}"
        )
    if not exponent.is_integer():
        near = as_power_of_two(params).tau
        raise DoesNotFit(f"tau {params.tau:g}: a shift divides by powers of two alone; take {near:g}")
    return 1 - 1 / params.tau


def _threshold(params: LCAParams, scale: int) -> float:
    """Give lambda as an integer."""
    threshold = float(np.rint(np.ldexp(params.lambda_, scale)))
    if threshold >= 2 ** (STATE_BITS - 1):
        raise Overflow(f"lambda {params.lambda_:g} leaves {STATE_BITS} bits at scale 2^{scale}: take a smaller scale")
    return threshold


def _fits(peak: float, scale: int) -> float:
    """Give the largest size of a state until now.

    Raises:
        Overflow: if it takes more bits than there are.

    """
    if peak >= 2 ** (STATE_BITS - 1):
        raise Overflow(
            f"a state reaches 2^{np.log2(peak):.1f} at scale 2^{scale}, and {STATE_BITS} bits end at "
            f"2^{STATE_BITS - 1}: take a smaller scale, or a larger tau if the recurrence diverges"
        )
    return peak
