"""Atoms of a dictionary for those who multiply with them: kept in memory, or streamed, as the budget allows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import require_unit_norm
from dseld_cli.lca.atoms import Atoms, on_lines


def resident_atoms(memory: int, n_atoms: int, n_features: int) -> int:
    """Bytes of the atoms if they may stay in memory (at most a third of the budget), of two blocks if streamed."""
    size = 4 * n_atoms * n_features
    return size if size <= memory // 3 else min(size, 2 * 4 * store.spec.ROWS * n_features)


def atoms_of(dictionary: store.Dictionary, memory: int) -> Atoms:
    """Atoms of a dictionary, kept in memory or streamed from disk, whichever the budget allows.

    Raises:
        UserError: when they are read, if one is not unit-norm or damaged.

    """
    n_atoms, n_features = dictionary.shape("atoms")

    unit_norm = set[int]()

    def streamed() -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for i, rows in enumerate(store.blocks(n_atoms, dictionary.chunks("atoms")[0])):
            block = dictionary.mapped("atoms", (i, 0))  # not read: of a pass that wants a few rows, few pages are
            if i not in unit_norm:
                require_unit_norm(block, dictionary)
                unit_norm.add(i)
            yield rows, block

    if resident_atoms(memory, n_atoms, n_features) < 4 * n_atoms * n_features:
        return Atoms((n_atoms, n_features), streamed)
    atoms = on_lines(n_atoms, n_features)
    for rows, block in streamed():
        atoms[rows] = block
    return Atoms.of(atoms)
