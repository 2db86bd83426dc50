"""Inner products of all atoms on disk, tile by tile, on and below the diagonal (paper, Eq. 5), and how they grow.

A tile is a function of two blocks of atoms. So a tile of an older Gramian whose two blocks are still the same stays as
it is, whatever happened to the dictionary: growth, removal, another base. Of the last, ragged block, which growth
extends, the products that are there already are copied and only those with the new atoms computed.
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseld_cli import store
from dseld_cli.dictionary.gramian import is_of
from dseld_cli.dictionary.inputs import Input
from dseld_cli.dictionary.tiles import Tile, Tiling, made, prepared
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.cluster import HERE, Engine
from dseld_cli.runtime.place import LOCAL, written_to
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.store import chunks

TILE_COPIES = 4
"""A tile in memory: as the old one has it, as computed, as zarr lays it out with its checksum, and slack."""

BLOCK_COPIES = 3
"""Blocks of atoms for a tile: of its rows and its columns, mapped, and one as it is read to be verified."""

PANEL = 16
"""Rows of tiles that are made together, column by column: so many blocks of atoms are read again and again."""


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


def grow(
    path: Path, dictionary: store.Dictionary, settings: Settings, track: Track = quiet, does: Engine = HERE
) -> GramianGrowth:
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
        written = _compute(path, dictionary, settings, reuse, kept, track, does)
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
        now, then = dictionary.arrays["atoms"].digests, old.info.atoms.digests
        same = frozenset(int(key.split("/")[0]) for key in now if now[key] == then.get(key))
        m = old.info.atoms.shape[0]
        last, known = divmod(m, store.spec.ROWS)
        if known and m < dictionary.shape("atoms")[0]:
            begins = dictionary.rows("atoms", slice(m - known, m))
            committed = then[f"{last}/0"]
            if chunks.digest(begins, like=committed) == committed:
                return cls(old, same, last, known)
        return cls(old, same, -1, 0)

    def whole(self, key: store.Key) -> bool:
        """Whether a tile is what it was."""
        return key[0] in self.same and key[1] in self.same

    def has_corner(self, key: store.Key) -> bool:
        """Whether the old Gramian has the upper left corner of a tile that grows."""
        i, j = key
        return i == self.grown and (j == i or j in self.same)


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
    kept: list[store.Key],
    track: Track,
    does: Engine,
) -> int:
    """Write all tiles but those that are kept; how many those were."""
    m, n_features = dictionary.shape("atoms")
    most = tiles_at_once(settings.memory, n_features)
    spec = store.Spec.tiles(settings.dtype, m)
    info, old = store.GramianInfo(atoms=dictionary.arrays["atoms"]), reuse.old if reuse else None
    with store.Draft(path, info, {"gramian": spec}, old, {"gramian": kept}) as draft:
        missing = [key for key in spec.keys if not draft.finished("gramian", key)]
        tiles = _tiles(draft, dictionary, reuse, missing, does)
        try:
            with closing(does.one_core_each(made, tiles, most)) as done:
                for tile, aside in track(done, spec.n_keys, "Gramian tiles", spec.n_keys - len(missing), unit="tiles"):
                    draft.adopt_chunk("gramian", tile.key, aside)
        finally:
            prepared.cache_clear()
        draft.commit()
    return len(missing)


def tiles_at_once(memory: int, n_features: int) -> int:
    """How many tiles the budget holds in work, each with the two blocks of atoms whose products it has.

    Raises:
        UserError: if not one.

    """
    needed = BLOCK_COPIES * 4 * store.spec.ROWS * n_features + TILE_COPIES * 4 * store.spec.ROWS**2
    return arrays_within(memory, needed, what="two blocks of atoms and a tile in work") // needed


def _tiles(
    draft: store.Draft[store.GramianInfo],
    dictionary: store.Dictionary,
    reuse: Reuse | None,
    missing: list[store.Key],
    does: Engine,
) -> list[Tile]:
    """Put missing tiles in an order in which few blocks of atoms are read again where memory does not hold all."""
    grow = {key for key in missing if reuse and reuse.has_corner(key)}
    spec, older = draft.specs["gramian"], Input.of(reuse.old, does) if reuse and grow else None
    tiling = Tiling(Input.of(dictionary, does), older, spec.chunks[0], spec.dtype)
    folder = does.place(draft.parts_folder, draft.parts_url)
    keys = sorted(missing, key=lambda key: (key[0] // PANEL, key[1], key[0]))
    return [Tile(tiling, number, key, key in grow, folder) for number, key in enumerate(keys)]
