"""Atoms of a dictionary for those who multiply with them: kept in memory, or streamed, as the budget allows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dseld_cli import store
from dseld_cli.dictionary.checks import require_unit_norm
from dseld_cli.lca.inhibition import AtomBlocks


def resident_atoms(memory: int, n_atoms: int, n_features: int) -> int:
    """Bytes of the atoms if they may stay in memory (at most a third of the budget), of two blocks if streamed."""
    size = 4 * n_atoms * n_features
    return size if size <= memory // 3 else min(size, 2 * 4 * store.spec.ROWS * n_features)


def atom_blocks(dictionary: store.Dictionary, device: str, memory: int) -> AtomBlocks:
    """Atoms of a dictionary, kept in memory or streamed from disk, whichever the budget allows.

    Raises:
        UserError: when they are read, if one is not unit-norm or damaged.

    """
    n_atoms, n_features = dictionary.shape("atoms")

    def streamed() -> Iterator[tuple[slice, Tensor]]:
        for rows, block in dictionary.stream("atoms"):
            require_unit_norm(block, dictionary)
            yield rows, torch.from_numpy(block).to(device)

    if resident_atoms(memory, n_atoms, n_features) < 4 * n_atoms * n_features:
        return streamed
    atoms = torch.empty((n_atoms, n_features), device=device)
    for rows, block in streamed():
        atoms[rows] = block
    return lambda: [(slice(0, n_atoms), atoms)]
