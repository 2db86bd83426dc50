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

Integers are kept in float64, which holds them exactly: 2^8 a weight, 2^24 a message and 2^17 of them are 2^49.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import DoesNotFit
from dseld_cli.lca.recurrence import LCAParams, soft_threshold

Float64 = NDArray[np.float64]

STATE_BITS = 24
SPARSE = 0.05
"""Share of neurons that send up to which those alone are multiplied."""
LEAK_BITS = 24
"""Bits after the point of the factor by which a membrane potential leaks."""


class Overflow(DoesNotFit):
    """A state or the threshold takes more bits than there are."""


@dataclass(frozen=True)
class Weights:
    """Integer weights (rows, columns) `mantissa`, in units of 2**exponent."""

    mantissa: Float64
    exponent: int

    def values(self) -> Float64:
        """Return the real weights that they stand for."""
        return np.ldexp(self.mantissa, self.exponent)

    def delivered(self, messages: Float64, divisor: float = 1.0) -> Float64:
        """Sum what messages (B, columns) cause in each row, (B, rows), of a weight divided by a power of two.

        The sum is rounded down, as a shift does.
        """
        return np.floor(np.ldexp(_product(messages, self._transposed), self.exponent) / divisor)

    def taken_back(self, messages: Float64) -> Float64:
        """Sum what messages (B, rows) cause in each column through the same weights, negated, (B, columns)."""
        return np.floor(np.ldexp(-_product(messages, self.mantissa), self.exponent))

    @cached_property
    def _transposed(self) -> Float64:
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


def _product(messages: Float64, weights: Float64) -> Float64:
    """Multiply messages (B, rows), of which few may be other than zero, by weights (rows, columns): both exact."""
    if np.count_nonzero(messages) > SPARSE * messages.size:
        return messages @ weights
    from scipy.sparse import csr_array

    return np.asarray(csr_array(messages) @ weights)


def quantise(weights: NDArray[np.floating], bits: int = 8) -> Weights:
    """Round weights to integers of `bits` bits with the smallest shared exponent that holds them all.

    Weights of one sign have all bits for their size; of both, the lowest goes to the sign: even integers remain.
    """
    mixed = bool((weights < 0).any() and (weights > 0).any())
    step, most = (2, 2**bits - 2) if mixed else (1, 2**bits - 1)
    largest = max(float(weights.max(initial=0)), -float(weights.min(initial=0)))
    exponent = int(np.ceil(np.log2(largest / most))) if largest else 0
    mantissa = np.ldexp(weights.astype(np.float64, copy=False), -exponent)
    mantissa /= step
    np.rint(mantissa, out=mantissa)
    mantissa *= step
    return Weights(mantissa, exponent)


def inhibition_weights(atoms: NDArray[np.floating], tau: float, bits: int = 8) -> Weights:
    """Weights of one layer, -(G - I) / tau (M, M), from unit-norm atoms (M, N)."""
    wide = atoms.astype(np.float64)
    gramian = wide @ wide.T
    np.fill_diagonal(gramian, 0)
    gramian /= -tau
    return quantise(gramian, bits)


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
    bias = np.rint(np.ldexp(b.astype(np.float64), scale) / params.tau)
    v, late = np.zeros_like(bias), np.zeros_like(bias)
    messages, peak = np.zeros(len(bias)), 0.0
    for _ in range(params.steps):
        a = soft_threshold(v, threshold)
        v = _leaked(v, leak) + late + bias
        late = weights.delivered(a)
        messages += np.count_nonzero(a, axis=1)
        peak = _fits(peak, v, scale)
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
    height = np.rint(np.ldexp(spike_height, scale))
    bias = np.rint(np.ldexp(features.astype(np.float64), scale))
    (m, n), n_images = atoms.mantissa.shape, len(bias)
    v, driven = np.zeros((n_images, m)), np.zeros((n_images, m))
    r, explained = np.zeros_like(bias), np.zeros_like(bias)
    messages, operations, peak = np.zeros(n_images), np.zeros(n_images), 0.0
    for _ in range(params.steps + 1):
        a = soft_threshold(v, threshold)
        v = _leaked(v, leak) + driven + np.floor(a / params.tau)
        r = r + explained + bias
        peak = _fits(_fits(peak, v, scale), r, scale)
        sent = np.where(np.abs(r) > height, r, 0)
        r -= sent
        explained, driven = atoms.taken_back(a), atoms.delivered(sent, params.tau)  # the Euler step is in the weights
        from_atoms, from_residual = np.count_nonzero(a, axis=1), np.count_nonzero(sent, axis=1)
        messages += from_atoms + from_residual
        operations += from_atoms * n + from_residual * m
    return Integers(np.ldexp(soft_threshold(v, threshold), -scale), peak, messages, operations)


def _leak(params: LCAParams) -> float:
    """Give the factor by which a potential leaks in a step, as an integer of LEAK_BITS bits after the point."""
    exponent = np.log2(params.tau)
    if exponent > LEAK_BITS:
        raise DoesNotFit(
            f"tau {params.tau:g}: the leak has {LEAK_BITS} bits, so that tau should be at most 2^{LEAK_BITS}"
        )
    if not exponent.is_integer():
        near = as_power_of_two(params).tau
        raise DoesNotFit(f"tau {params.tau:g}: a shift divides by powers of two alone; take {near:g}")
    return 2.0**LEAK_BITS - 2.0**LEAK_BITS / params.tau


def _threshold(params: LCAParams, scale: int) -> float:
    """Give lambda as an integer."""
    threshold = float(np.rint(np.ldexp(params.lambda_, scale)))
    if threshold >= 2 ** (STATE_BITS - 1):
        raise Overflow(f"lambda {params.lambda_:g} leaves {STATE_BITS} bits at scale 2^{scale}: take a smaller scale")
    return threshold


def _leaked(v: Float64, leak: float) -> Float64:
    return np.floor(np.ldexp(v * leak, -LEAK_BITS))


def _fits(peak: float, state: Float64, scale: int) -> float:
    """Give the largest size of a state until now.

    Raises:
        Overflow: if it takes more bits than there are.

    """
    peak = max(peak, float(np.abs(state).max(initial=0)))
    if peak >= 2 ** (STATE_BITS - 1):
        raise Overflow(
            f"a state reaches 2^{np.log2(peak):.1f} at scale 2^{scale}, and {STATE_BITS} bits end at "
            f"2^{STATE_BITS - 1}: take a smaller scale, or a larger tau if the recurrence diverges"
        )
    return peak
