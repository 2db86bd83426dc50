"""What classifying an image costs: operations as the paper counts them (Eq. 11), and as NeuroBench does.

Eq. 11, for M atoms of N features, K steps, and M^ neurons firing at each, counts additions and multiplications that
arithmetic needs, zeros that are known left out:

    driving input  b = Phi S             (2 N - 1) M            once per image
    inhibition     G a                   2 K M M^               silent neurons cost nothing
    leak and integration of u            K M
    dictionary     G = Phi Phi^T         (2 N - 1) M (M + 1)/2  once ("training": G is symmetric)

NeuroBench (Yik et al., 2025) counts what synapses carry, on the codes of this run: a multiply-accumulate for each
weight that an activation other than zero meets, the features' included. Activations are graded, so that every one is a
MAC, and Effective_ACs, which counts operations on binary spikes, is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import OutOfDate, StoreMissing
from dseld_cli.store import project as paths

FLOAT = 4
"""Bytes of a number, float32."""


@dataclass(frozen=True)
class Workload:
    """Eq. 11, in floating-point operations: M atoms, N features, K steps, a share of neurons firing in [0, 1]."""

    atoms: int
    features: int
    steps: int
    share: float

    @property
    def driving_input(self) -> float:
        """FLOPs of b = Phi S, per image."""
        return (2 * self.features - 1) * self.atoms

    @property
    def inhibition(self) -> float:
        """FLOPs of G a over all steps, per image, where only neurons that fire send."""
        return 2 * self.steps * self.atoms * self.share * self.atoms

    @property
    def integration(self) -> float:
        """FLOPs of the leak and the Euler step over all steps, per image."""
        return self.steps * self.atoms

    @property
    def image(self) -> float:
        """FLOPs per image, all in all."""
        return self.driving_input + self.inhibition + self.integration

    @property
    def dictionary(self) -> float:
        """FLOPs of the Gramian, once."""
        return (2 * self.features - 1) * self.atoms * (self.atoms + 1) / 2

    def figures(self) -> dict[str, float]:
        """All of it, in units that a person reads: GFLOP per image, TFLOP once, GB."""
        dense = Workload(self.atoms, self.features, self.steps, 1.0)
        return {
            "driving_input_gflop": self.driving_input / 1e9,
            "inhibition_gflop": self.inhibition / 1e9,
            "integration_gflop": self.integration / 1e9,
            "image_gflop": self.image / 1e9,
            "image_gflop_dense": dense.image / 1e9,
            "dictionary_tflop": self.dictionary / 1e12,
            "atoms_gb": FLOAT * self.atoms * self.features / 1e9,
            "gramian_gb": FLOAT * self.atoms**2 / 1e9,
        }


def synaptic_operations(
    nonzero_features: NDArray[np.int64], firing: NDArray[np.int32], atoms: int, features: int
) -> dict[str, float]:
    """NeuroBench's SynapticOperations per image, averaged: from features not zero (n,) and neurons firing (n, K).

    Step k is driven by a[k - 1], so that the neurons firing after the last step send nothing any more. Weights are
    counted as if none were exactly zero.
    """
    steps = firing.shape[1]
    sent = firing[:, :-1].sum(axis=1, dtype=np.int64)
    return {
        "Effective_MACs": float((nonzero_features * atoms + sent * (atoms - 1)).mean()),
        "Effective_ACs": 0.0,
        "Dense": float(features * atoms + steps * atoms * (atoms - 1)),
    }


def activation_sparsity(firing: NDArray[np.int32], atoms: int) -> float:
    """NeuroBench's ActivationSparsity: the share of zeros among all activations, over images and steps."""
    return 1 - float(firing.mean()) / atoms


def footprint(atoms: int, features: int) -> dict[str, int]:
    """NeuroBench's Footprint, bytes: what inference keeps, with inhibition through the atoms and through the Gramian.

    Either has the atoms (for b), a label of 8 bytes per atom, and u and a; the Gramian comes on top.
    """
    through_atoms = FLOAT * atoms * features + 8 * atoms + 2 * FLOAT * atoms
    return {"atoms": through_atoms, "gramian": through_atoms + FLOAT * atoms**2}


def measured() -> dict[str, Any] | None:
    """Measure the codes of the test split; None where there are none that belong to the current stores."""
    try:
        dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
        features = store.features_of("test")
        codes = store.codes_of("test")
        store.require_input(codes, "dictionary", dictionary)
        store.require_input(codes, "features", features)
    except (StoreMissing, OutOfDate):
        return None
    atoms, n_features = dictionary.shape("atoms")
    firing = codes.read("firing")
    nonzero = np.concatenate([np.count_nonzero(block, axis=1) for _, block in Seen.by(dictionary, features).stream()])
    sparsity = activation_sparsity(firing, atoms)
    found: dict[str, Any] = {
        "images": len(firing),
        "share": 1 - sparsity,
        "firing_at_peak_percent": 100 * float(firing.max(axis=1).mean()) / atoms,
        "ActivationSparsity": sparsity,
        "SynapticOperations": synaptic_operations(nonzero[codes.read("rows")], firing, atoms, n_features),
        "Footprint": footprint(atoms, n_features),
    }
    if "products" in codes.arrays:
        products = float(codes.read("products").mean())
        found |= {"products": products, "products_gflop": 2 * products * atoms * n_features / 1e9}
    return found
