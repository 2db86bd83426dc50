"""What a deployment leaves free, chosen on images that are not those reported.

The finest scale of integers at which states fit; of the heights at which a residual is sent, and of what a spike may
be worth, the cheapest that loses no more than TOLERANCE against floating point, whichever decoder reads its codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.deploy.fixed_point import STATE_BITS, Overflow
from dseld_cli.errors import DoesNotFit
from dseld_cli.evaluation.deployment import SPIKING_STEPS, Coded, Deployment, Way
from dseld_cli.evaluation.trial import Sample

CHOSEN_ON = 500
"""Images that settings are chosen on, at most: a setting tried on more takes minutes, and is chosen alike."""
CHOSEN_OVER = 25_000
"""Atoms over which it is so many; over more, fewer images for the same work."""
SCALES = range(20, 3, -1)
"""Bits after the point of all states, the finest first."""
HEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""What a residual adds up before it is sent, in units of the median image's largest feature; tried beside nothing."""
QUANTA = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""What a spike is worth, in units of the median image's largest activation."""
TOLERANCE = 0.5
"""Points of accuracy that any decoder may lose for a cheaper setting, the standard error of the loss included: of two
settings that lose nothing on few images, the one that decides otherwise more often may yet lose more on others."""
HOPELESS = 4
"""Times TOLERANCE above the least, from which on nothing cheaper is tried."""
HEADROOM = 1
"""Bits that images which settings are chosen on leave free: others may need more."""


def chosen_on(its: Deployment) -> int:
    """Count the images that settings are chosen on, at most."""
    return max(1, min(CHOSEN_ON, CHOSEN_ON * CHOSEN_OVER // len(its.exemplars.labels)))


def fitted_one_layer(its: Deployment, val: Sample) -> int:
    """Choose the scale of one layer."""
    return finest(its, its.one_layer, val, "one layer")[0]


def fitted_two_layers(its: Deployment, val: Sample) -> tuple[int, float]:
    """Choose the scale of two layers, and the height at which a residual is sent."""
    scale, at_once = finest(its, lambda scale: its.two_layers(scale, 0), val, "two layers")
    unit = largest(np.abs(val.features).max(axis=1))

    def tried() -> Iterator[tuple[float, Coded | None]]:
        yield 0.0, at_once
        for share in HEIGHTS:
            way = its.two_layers(scale, share * unit)
            yield share, _fitting(its, way, val, f"two layers, spike height {share:g}")

    return scale, unit * cheapest(its, tried(), val, its.run(its.floating(its.params), val.features, "val, float"))


def fitted_quantum(its: Deployment, val: Sample, floor: bool = True) -> float:
    """Choose what a spike is worth."""
    steps = SPIKING_STEPS * its.params.steps
    floating = its.run(its.floating(its.params), val.features, "val, float")
    active = floating.codes
    unit = largest([np.abs(row).max(initial=0) for row in np.split(active.values, active.indptr[1:-1])])
    ways = ((share, its.spiking(steps, share * unit, floor)) for share in QUANTA)
    tried = ((share, _fitting(its, way, val, f"spikes, worth {share:g}")) for share, way in ways)
    return unit * cheapest(its, tried, val, floating)


def finest(its: Deployment, at: Callable[[int], Way], sample: Sample, what: str) -> tuple[int, Coded]:
    """Choose the finest scale whose states leave HEADROOM bits free on a sample; with its codes.

    Raises:
        DoesNotFit: if none does.

    """
    for scale in SCALES:
        if coded := _fitting(its, at(scale), sample, f"{what}, scale 2^{scale}"):
            return scale, coded
    raise DoesNotFit(f"{what}: states leave {STATE_BITS} bits at every scale from 2^{SCALES[-1]} on")


def cheapest(its: Deployment, tried: Iterable[tuple[float, Coded | None]], sample: Sample, floating: Coded) -> float:
    """Choose the last of the values that fit and lose no more than TOLERANCE against floating point, or the least.

    Values go from dear to cheap.
    """
    wanted, loss = its.right(floating, sample), dict[float, float]()
    for value, coded in tried:
        if coded:
            found = its.right(coded, sample)
            loss[value] = max(lost(wanted[name], found[name]) for name in wanted)
            if loss[value] > min(loss.values()) + HOPELESS * TOLERANCE:
                break
    least = max(TOLERANCE, min(loss.values()))
    return [value for value, points in loss.items() if points <= least][-1]


def lost(wanted: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Points of accuracy lost on the same images, and one standard error more."""
    change = wanted.astype(np.float64) - found
    return float(100 * (change.mean() + change.std() / np.sqrt(len(change))))


def largest(values: list[Any] | NDArray[Any]) -> float:
    """Median of what images have at most; 1 where that is nothing."""
    return float(np.median(values)) or 1.0


def _fitting(its: Deployment, way: Way, sample: Sample, what: str) -> Coded | None:
    """Code a sample; None if its integers do not leave HEADROOM bits free."""
    try:
        coded = its.run(way, sample.features, what)
    except Overflow:
        return None
    return coded if (coded.peak_bits or 0) < STATE_BITS - 1 - HEADROOM else None
