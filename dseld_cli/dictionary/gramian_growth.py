"""Inner products of all atoms on disk, tile by tile, on and below the diagonal (paper, Eq. 5), and how they grow.

A tile is a function of two blocks of atoms. So a tile of an older Gramian whose two blocks are still the same stays as
it is, whatever happened to the dictionary: growth, removal, another base. Of the last, ragged block, which growth
extends, the products that are there already are copied and only those with the new atoms computed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import require_unit_norm
from dseld_cli.dictionary.gramian import is_of
from dseld_cli.errors import StoreDamaged
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.engine import in_order, workers
from dseld_cli.runtime.place import LOCAL, written_to
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.store import chunks

Float32 = NDArray[np.float32]

TILE_COPIES = 4
"""A tile in memory: as the old one has it, as computed, as zarr lays it out with its checksum, and slack."""


MOST = 2**36
"""Bytes of a Gramian beyond which none is built by itself: no page cache holds it, and it grows with the square."""


@dataclass(frozen=True)
class Settings:
    """How a Gramian is computed and kept.

    Attributes:
        dtype: of the stored tiles: float32 or float16.
        memory: budget in bytes.

    """

    dtype: str
    memory: int


@dataclass(frozen=True)
class GramianGrowth:
    """What bringing a Gramian up to date came to.

    Attributes:
        path: of its store.
        atoms: rows and columns.
        tiles: tiles that it has.
        written: how many of them were made anew.
        seconds: time that took; negative if there was nothing to do.

    """

    path: Path
    atoms: int
    tiles: int
    written: int
    seconds: float

    def __str__(self) -> str:
        if self.seconds < 0:
            return f"{self.path}: up to date, all {self.tiles} tiles intact"
        return (
            f"{self.path}: {self.atoms} x {self.atoms}; of the tiles on and below the diagonal, "
            f"{self.written} of {self.tiles} written in {self.seconds:.1f} s"
        )


def bytes_of(n_atoms: int, dtype: str) -> int:
    """Size of a Gramian on disk: its tiles on and below the diagonal."""
    n_blocks = -(-n_atoms // store.spec.ROWS)
    return n_blocks * (n_blocks + 1) // 2 * store.spec.ROWS**2 * np.dtype(dtype).itemsize


def no_room(path: Path, n_atoms: int, dtype: str) -> str | None:
    """Say why a Gramian of so many atoms should not be built at `path`; None if nothing speaks against it."""
    size, there = bytes_of(n_atoms, dtype), path.resolve()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    has = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
    what = f"the Gramian of {n_atoms} atoms takes {size / 2**30:.1f} GiB"
    if size > MOST:
        return f"{what}, more than the {MOST / 2**30:.0f} GiB that looking up pays for"
    if written_to() == LOCAL and size - has > free:
        return f"{what}, the disk has {free / 2**30:.1f} GiB free"
    return None


def grow(path: Path, dictionary: store.Dictionary, settings: Settings, track: Track = quiet) -> GramianGrowth:
    """Bring the Gramian at `path` up to date with a dictionary, and replace tiles that are damaged.

    Raises:
        UserError: if the memory budget is too small, or another process does the same.

    """
    with store.locked(path):
        m = dictionary.shape("atoms")[0]
        n_blocks = -(-m // store.spec.ROWS)
        keys: list[store.Key] = [(i, j) for i in range(n_blocks) for j in range(i + 1)]
        reuse = _reuse(path, dictionary, settings.dtype)
        kept = [key for key in keys if reuse and reuse.whole(key)]
        if reuse and is_of(reuse.old, dictionary):
            kept = [key for key in track(kept, len(kept), "verifying tiles") if reuse.old.intact("gramian", key)]
            if kept == keys:
                store.tidy(path)
                return GramianGrowth(path, m, len(keys), 0, -1)
        began = time.monotonic()
        written = _compute(path, dictionary, settings, reuse, keys, kept, track)
        return GramianGrowth(path, m, len(keys), written, time.monotonic() - began)


@dataclass(frozen=True)
class Reuse:
    """What an older Gramian offers to a newer one.

    Attributes:
        same: blocks of atoms that are what they were.
        grown: the block that begins with all the atoms that it had, or -1.
        known: how many atoms it had.

    """

    old: store.Gramian
    same: frozenset[int]
    grown: int
    known: int

    @classmethod
    def of(cls, old: store.Gramian, dictionary: store.Dictionary) -> Reuse:
        """Compare the atoms of the dictionary with those of which the old Gramian is."""
        now, then = dictionary.arrays["atoms"].sha256, old.info.atoms.sha256
        same = frozenset(int(key.split("/")[0]) for key in now if now[key] == then.get(key))
        m = old.info.atoms.shape[0]
        last, known = divmod(m, store.spec.ROWS)
        if known and m < dictionary.shape("atoms")[0]:
            begins = dictionary.rows("atoms", slice(m - known, m))
            if chunks.digest(begins) == then[f"{last}/0"]:
                return cls(old, same, last, known)
        return cls(old, same, -1, 0)

    def whole(self, key: store.Key) -> bool:
        """Whether a tile is what it was."""
        return key[0] in self.same and key[1] in self.same

    def corner(self, key: store.Key) -> Float32 | None:
        """Upper left corner of a tile as the old Gramian has it; None if it has none, or a damaged one."""
        i, j = key
        if i != self.grown or not (j == i or j in self.same):
            return None
        rows, columns = (slice(k * store.spec.ROWS, (k + 1) * store.spec.ROWS) for k in key)
        try:
            return self.old.rows("gramian", rows, columns).astype(np.float32, copy=False)
        except StoreDamaged:
            return None


def _reuse(path: Path, dictionary: store.Dictionary, dtype: str) -> Reuse | None:
    """Look at what the Gramian that is there offers, if any."""
    old = store.reusable(path, store.GramianInfo)
    if (
        old is None
        or old.arrays["gramian"].dtype != dtype
        or old.chunks("gramian") != (store.spec.ROWS, store.spec.ROWS)
    ):
        return None
    return Reuse.of(old, dictionary)


def _compute(
    path: Path,
    dictionary: store.Dictionary,
    settings: Settings,
    reuse: Reuse | None,
    keys: list[store.Key],
    kept: list[store.Key],
    track: Track,
) -> int:
    """Write all tiles but those that are kept; how many those were."""
    m, n_features = dictionary.shape("atoms")
    held = panel_blocks(settings.memory, n_features)
    specs = {"gramian": store.Spec.tiles(settings.dtype, m)}
    info = store.GramianInfo(atoms=dictionary.arrays["atoms"])
    old = reuse.old if reuse else None
    with store.Draft(path, info, specs, old, {"gramian": kept}) as draft:
        missing = [key for key in keys if not draft.finished("gramian", key)]
        done = _write(draft, reuse, _tasks(dictionary, missing, held))
        for _ in track(done, len(keys), "Gramian tiles", len(keys) - len(missing), unit="tiles"):
            pass
        draft.commit()
    return len(missing)


def panel_blocks(memory: int, n_features: int) -> int:
    """How many blocks of atoms to hold at once: what the budget leaves beside one more block, and the tiles in work.

    Raises:
        UserError: if the budget does not hold two blocks and the tiles.

    """
    block = 4 * store.spec.ROWS * n_features
    tiles = workers() * TILE_COPIES * 4 * store.spec.ROWS**2
    spare = arrays_within(memory, needed=3 * block + tiles, what="two blocks of atoms and the tiles in work")
    return max(1, (spare - tiles) // block - 2)


Task = tuple[store.Key, Float32, Float32]
"""A tile to make, and the blocks of atoms whose products it holds."""


def _tasks(dictionary: store.Dictionary, missing: list[store.Key], held: int) -> Iterator[Task]:
    """Missing tiles: panels of rows stay in memory while the blocks of columns stream past."""

    def block(i: int) -> Float32:
        atoms = dictionary.rows("atoms", slice(i * store.spec.ROWS, (i + 1) * store.spec.ROWS))
        require_unit_norm(atoms, dictionary)
        return atoms

    wanted, todo = sorted({i for i, _ in missing}), set(missing)
    for part in store.blocks(len(wanted), held):
        panel = {i: block(i) for i in wanted[part]}
        for j in sorted({j for i, j in missing if i in panel}):
            columns = panel[j] if j in panel else block(j)
            for i in (i for i in panel if (i, j) in todo):
                yield (i, j), panel[i], columns


def product(rows: Float32, columns: Float32, known: Float32 | None = None) -> Float32:
    """Inner products (R, C) of atoms (R, N) and (C, N), but for an upper left corner (r, c) that is known."""
    if known is None:
        return rows @ columns.T
    r, c = known.shape
    tile = np.empty((len(rows), len(columns)), rows.dtype)
    tile[:r, :c] = known
    tile[r:] = rows[r:] @ columns.T
    tile[:r, c:] = rows[:r] @ columns[c:].T
    return tile


def _write(draft: store.Draft[store.GramianInfo], reuse: Reuse | None, tasks: Iterator[Task]) -> Iterator[None]:
    """Make and write tiles, several at once; say when each is done."""
    dtype = draft.specs["gramian"].dtype

    def make(task: Task) -> None:
        key, rows, columns = task
        corner = reuse.corner(key) if reuse else None
        tile = product(rows, columns, corner)
        draft.write("gramian", key, tile.astype(dtype, copy=False))

    return in_order(make, tasks)
