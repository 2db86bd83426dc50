"""How large the network is on Loihi 2, and roughly what an image costs there: estimates, each with its source.

Two limits are published, and they are far apart. Synapses per chip: 120 million, and 1 million neurons
(open-neuromorphic.org, Loihi 2). Memory: 128 cores of 192 KiB each, which a byte per weight fills five times sooner;
unverified. Both are given. Nothing here ran on a chip.

Energy per synaptic operation: 6.8 pJ is Hala Point's whole system (2,600 W at most, 380e12 operations of 8 bits per
second, Intel 2024); 23.6 pJ is what is attributed to Loihi 1 (Davies 2018). Times the operations, they give a range
within an order of magnitude, without input, output and what idle cores draw.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal

Form = Literal["one-layer", "two-layer"]

NEURONS_PER_CHIP = 1_000_000
SYNAPSES_PER_CHIP = 120_000_000
CORES_PER_CHIP = 128
BYTES_PER_CORE = 192 * 1024
PICOJOULES = (6.8, 23.6)


@dataclass(frozen=True)
class Size:
    """Neurons and synapses, and the chips and cores that they fill.

    Attributes:
        neurons: M, and N more for a residual.
        synapses: M (M - 1) through G; 2 M N through the atoms and back.
        chips_by_synapses: by the published numbers of synapses and neurons per chip.
        cores_by_memory: by the bytes of a core's memory.
        chips_by_memory: of those cores.

    """

    neurons: int
    synapses: int
    chips_by_synapses: int
    cores_by_memory: int
    chips_by_memory: int

    def figures(self) -> dict[str, Any]:
        """Give all of it by name."""
        return asdict(self)


def size(form: Form, atoms: int, features: int, weight_bits: int = 8) -> Size:
    """Size of the network over M atoms of N features."""
    neurons = atoms + (features if form == "two-layer" else 0)
    synapses = 2 * atoms * features if form == "two-layer" else atoms * (atoms - 1)
    chips = max(ceil(synapses / SYNAPSES_PER_CHIP), ceil(neurons / NEURONS_PER_CHIP))
    cores = ceil(synapses * weight_bits / 8 / BYTES_PER_CORE)
    return Size(neurons, synapses, chips, cores, ceil(cores / CORES_PER_CHIP))


def energy(operations: float) -> tuple[float, float]:
    """Estimate the energy of synaptic operations, in joules: from, to."""
    low, high = PICOJOULES
    return operations * low * 1e-12, operations * high * 1e-12
