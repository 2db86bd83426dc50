"""Which exemplars spoke for the class that a decoder named.

Whatever the decoder, these are the atoms of that class with a positive activation, and an exemplar's share is its part
of their sum: shares of one image sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.codes import SparseCodes


@dataclass(frozen=True)
class Speaker:
    """An exemplar that spoke for a class: its atom, its activation, and its share of the class's activations."""

    atom: int
    activation: float
    share: float


def explain(codes: SparseCodes, image: int, labels: NDArray[np.int64], label: int, most: int) -> list[Speaker]:
    """Exemplars that spoke for class `label` of one coded image, loudest first; `labels` (M,) are the atoms'.

    Raises:
        ValueError: if less than none are asked for.

    """
    if most < 0:
        raise ValueError(f"Expected exemplars >= 0. Got {most}")
    part = slice(codes.indptr[image], codes.indptr[image + 1])
    atoms, values = codes.indices[part], codes.values[part]
    mine = (labels[atoms] == label) & (values > 0)
    atoms, values = atoms[mine], values[mine]
    total = float(values.sum(dtype=np.float64))
    order = np.argsort(-values, kind="stable")[:most]
    return [Speaker(int(atoms[i]), float(values[i]), float(values[i]) / total) for i in order]
