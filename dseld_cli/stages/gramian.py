"""`dseld gramian`: inner products of all atoms, tile by tile, on and below the diagonal (paper, Eq. 5).

A tile is a function of two blocks of atoms. So a tile of an older Gramian whose two blocks are still the same stays as
it is, whatever happened to the dictionary: growth, removal, another base. Of the last, ragged block, which growth
extends, the products that are there already are copied and only those with the new atoms computed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dseld_cli import chunks, paths, store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.checks import require_unit_norm
from dseld_cli.dictionary.gramian import is_of
from dseld_cli.errors import UserError
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, track
from dseld_cli.runtime.engine import in_order, workers

TILE_COPIES = 4
"""A tile in memory: as the old one has it, as computed, as zarr lays it out with its checksum, and slack."""


def run(params: Params) -> None:
    """Bring the stored Gramian up to date with the dictionary in force, and replace tiles that are damaged.

    Raises:
        UserError: if there is no dictionary, the memory budget is too small, or another process does the same.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    with store.locked(paths.GRAMIAN):
        n_blocks = -(-dictionary.shape("atoms")[0] // store.ROWS)
        keys: list[store.Key] = [(i, j) for i in range(n_blocks) for j in range(i + 1)]
        reuse = _reuse(dictionary, params.gramian.dtype)
        kept = [key for key in keys if reuse and reuse.whole(key)]
        if reuse and is_of(reuse.old, dictionary):
            kept = [key for key in track(kept, len(kept), "verifying tiles") if reuse.old.intact("gramian", key)]
            if kept == keys:
                store.tidy(paths.GRAMIAN)
                say(f"{paths.GRAMIAN}: up to date, all {len(keys)} tiles intact")
                return
        _compute(params, dictionary, reuse, keys, kept)


@dataclass(frozen=True)
class Reuse:
    """What an older Gramian offers to a newer one.

    Attributes:
        same: blocks of atoms that are what they were.
        grown: the block that begins with all the atoms that it had, or -1.
        known: how many atoms it had.

    """

    old: store.Store
    same: frozenset[int]
    grown: int
    known: int

    @classmethod
    def of(cls, old: store.Store, dictionary: store.Store) -> Reuse:
        """Compare the atoms of the dictionary with those of which the old Gramian is."""
        now, then = dictionary.arrays["atoms"]["sha256"], old.provenance["atoms"]["sha256"]
        same = frozenset(int(key.split("/")[0]) for key in now if now[key] == then.get(key))
        m = old.provenance["atoms"]["shape"][0]
        last, known = divmod(m, store.ROWS)
        if known and m < dictionary.shape("atoms")[0]:
            begins = dictionary.rows("atoms", slice(m - known, m))
            if chunks.digest(begins) == then[f"{last}/0"]:
                return cls(old, same, last, known)
        return cls(old, same, -1, 0)

    def whole(self, key: store.Key) -> bool:
        """Whether a tile is what it was."""
        return key[0] in self.same and key[1] in self.same

    def corner(self, key: store.Key) -> Tensor | None:
        """Upper left corner of a tile as the old Gramian has it; None if it has none, or a damaged one."""
        i, j = key
        if i != self.grown or not (j == i or j in self.same):
            return None
        rows, columns = (slice(k * store.ROWS, (k + 1) * store.ROWS) for k in key)
        try:
            return torch.from_numpy(self.old.rows("gramian", rows, columns)).float()
        except UserError:
            return None


def _reuse(dictionary: store.Store, dtype: str) -> Reuse | None:
    """Look at what the Gramian that is there offers, if any."""
    old = store.previous(paths.GRAMIAN, "gramian")
    if old is None or old.arrays["gramian"]["dtype"] != dtype or old.chunks("gramian") != (store.ROWS, store.ROWS):
        return None
    return Reuse.of(old, dictionary)


def _compute(
    params: Params, dictionary: store.Store, reuse: Reuse | None, keys: list[store.Key], kept: list[store.Key]
) -> None:
    m, n_features = dictionary.shape("atoms")
    held = panel_blocks(params.run.memory, n_features)
    specs = {"gramian": store.Spec((m, m), params.gramian.dtype, (store.ROWS, store.ROWS))}
    provenance = store.provenance({}, atoms=dictionary.arrays["atoms"])
    old = reuse.old if reuse else None
    began = time.monotonic()
    with store.Draft(paths.GRAMIAN, "gramian", provenance, specs, old, {"gramian": kept}) as draft:
        missing = [key for key in keys if not draft.finished("gramian", key)]
        tasks = _tasks(dictionary, missing, held, torch.device(params.run.device))
        done = _write(draft, reuse, tasks)
        for _ in track(done, len(keys), "Gramian tiles", len(keys) - len(missing), unit="tiles"):
            pass
        draft.commit()
    seconds = time.monotonic() - began
    say(
        f"{paths.GRAMIAN}: {m} x {m} in {len(keys)} tiles of {store.ROWS} x {store.ROWS} on and below the diagonal, "
        f"{len(missing)} of them written in {seconds:.1f} s, the others as they were"
    )


def panel_blocks(memory: int, n_features: int) -> int:
    """How many blocks of atoms to hold at once: what the budget leaves beside one more block, and the tiles in work.

    Raises:
        UserError: if the budget does not hold two blocks and the tiles.

    """
    block = 4 * store.ROWS * n_features
    tiles = workers() * TILE_COPIES * 4 * store.ROWS**2
    spare = arrays_within(memory, needed=3 * block + tiles, what="two blocks of atoms and the tiles in work")
    return max(1, (spare - tiles) // block - 2)


Task = tuple[store.Key, Tensor, Tensor]
"""A tile to make, and the blocks of atoms whose products it holds."""


def _tasks(dictionary: store.Store, missing: list[store.Key], held: int, device: torch.device) -> Iterator[Task]:
    """Missing tiles: panels of rows stay in memory while the blocks of columns stream past."""

    def block(i: int) -> Tensor:
        atoms = dictionary.rows("atoms", slice(i * store.ROWS, (i + 1) * store.ROWS))
        require_unit_norm(atoms, dictionary)
        return torch.from_numpy(atoms).to(device)

    wanted, todo = sorted({i for i, _ in missing}), set(missing)
    for part in store.blocks(len(wanted), held):
        panel = {i: block(i) for i in wanted[part]}
        for j in sorted({j for i, j in missing if i in panel}):
            columns = panel[j] if j in panel else block(j)
            for i in (i for i in panel if (i, j) in todo):
                yield (i, j), panel[i], columns


def product(rows: Tensor, columns: Tensor, known: Tensor | None = None) -> Tensor:
    """Inner products (R, C) of atoms (R, N) and (C, N), but for an upper left corner (r, c) that is known."""
    if known is None:
        return rows @ columns.T
    r, c = known.shape
    tile = rows.new_empty((len(rows), len(columns)))
    tile[:r, :c] = known
    tile[r:] = rows[r:] @ columns.T
    tile[:r, c:] = rows[:r] @ columns[c:].T
    return tile


def _write(draft: store.Draft, reuse: Reuse | None, tasks: Iterator[Task]) -> Iterator[None]:
    """Make and write tiles, several at once; say when each is done."""
    dtype = draft.specs["gramian"].dtype

    def make(task: Task) -> None:
        key, rows, columns = task
        corner = reuse.corner(key) if reuse else None
        tile = product(rows, columns, None if corner is None else corner.to(rows.device))
        draft.write("gramian", key, tile.cpu().numpy().astype(dtype, copy=False))

    return in_order(make, tasks)
