"""`dseld gramian`: inner products of all atoms, tile by tile, on and below the diagonal (paper, Eq. 5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from dseld_cli import paths, store
from dseld_cli.budget import arrays_within
from dseld_cli.console import say, track
from dseld_cli.dictionary import require_unit_norm
from dseld_cli.params import Params

Panel = tuple[range, int]


def run(params: Params) -> None:
    """Compute and store the Gramian of the dictionary in force.

    Raises:
        UserError: if there is no dictionary, or the memory budget does not hold three tiles.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    m, n_features = dictionary.shape("atoms")
    specs = {"gramian": store.Spec((m, m), "float32", (store.ROWS, store.ROWS), hashed=False)}
    draft = store.Draft(paths.GRAMIAN, "gramian", store.provenance({"dictionary": dictionary}), specs)
    per_panel = panel_blocks(params.run.memory, n_features)
    device = torch.device(params.run.device)
    cuts = list(store.blocks(m))
    total = len(cuts) * (len(cuts) + 1) // 2
    steps = track(_tiles(dictionary, cuts, per_panel, device, draft), total, "Gramian tiles")
    for rows, columns, tile in steps:
        draft["gramian"][rows, columns] = tile.cpu().numpy()
    draft.commit()
    say(f"{paths.GRAMIAN}: {m} x {m}, {total} tiles of {store.ROWS} x {store.ROWS} on and below the diagonal")


def panel_blocks(memory: int, n_features: int) -> int:
    """How many blocks of atoms to hold at once: the budget less one more block, and a tile in three copies.

    Raises:
        UserError: if the budget does not hold two blocks and the tiles.

    """
    block = 4 * store.ROWS * n_features
    tiles = 3 * 4 * store.ROWS**2
    spare = arrays_within(memory, needed=3 * block + tiles, what="two blocks of atoms and a tile of the Gramian")
    return max(1, (spare - tiles) // block - 2)


def _tiles(
    dictionary: store.Store, cuts: list[slice], per_panel: int, device: torch.device, draft: store.Draft
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Tiles not on disk yet: panels of rows stay in memory while the blocks of columns stream past."""

    def block(i: int) -> torch.Tensor:
        rows = dictionary.rows("atoms", cuts[i])
        require_unit_norm(rows, dictionary)
        return torch.from_numpy(rows).to(device)

    for start in range(0, len(cuts), per_panel):
        panel = {i: block(i) for i in range(start, min(start + per_panel, len(cuts)))}
        for j in range(max(panel) + 1):
            missing = [i for i in panel if i >= j and not _on_disk(draft.partial, i, j)]
            columns = panel.get(j) if j in panel else block(j) if missing else None
            for i in missing:
                assert columns is not None
                yield cuts[i], cuts[j], panel[i] @ columns.T


def _on_disk(partial: Path, i: int, j: int) -> bool:
    """Whether a tile was written: zarr puts a chunk's file in place whole or not at all."""
    return (partial / "gramian" / "c" / str(i) / str(j)).exists()


def tiles(gramian: store.Store) -> Iterator[tuple[slice, slice, store.Array]]:
    """Read every stored tile once: (rows, columns, tile)."""
    cuts = list(store.blocks(gramian.shape("gramian")[0]))
    for i, rows in enumerate(cuts):
        for columns in cuts[: i + 1]:
            yield rows, columns, gramian.rows("gramian", rows, columns)
