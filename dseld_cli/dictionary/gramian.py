"""What stages that read a Gramian share: whose it is, its tiles, any part of it.

To be looked up in, its tiles are mapped into memory, as the files that they are. Each is compared with the mark, by its
digest, when it is first mapped. What was found right is noted beside the store, in X.zarr.verified, with the file's
inode, size and time of change: a file of which these stayed is not read again for that, by any process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.lca.inhibition import GramianTiles
from dseld_cli.runtime.engine import on_all_cores
from dseld_cli.store.chunks import key_of, text
from dseld_cli.store.disk import beside


def is_of(gramian: store.Gramian, dictionary: store.Dictionary) -> bool:
    """Whether a Gramian holds the inner products of just these atoms."""
    return bool(gramian.info.atoms == dictionary.arrays["atoms"])


def require_of(gramian: store.Gramian, dictionary: store.Dictionary) -> None:
    """Refuse a Gramian of other atoms.

    Raises:
        UserError: saying which stage to rerun.

    """
    if not is_of(gramian, dictionary):
        raise store.out_of_date(gramian, dictionary)


Note = tuple[str, int, int, int]
"""What is known of a tile's file: digest of its content, inode, size, time of change in nanoseconds."""


def mapped_tiles(gramian: store.Gramian) -> GramianTiles:
    """Every stored tile once, mapped into memory; compared with the mark when they are first asked for.

    Raises:
        StoreDamaged: when they are first asked for, naming a tile that is damaged.

    """
    cuts = list(store.blocks(gramian.shape("gramian")[0]))
    keys = [(i, j) for i in range(len(cuts)) for j in range(i + 1)]

    @cache
    def mapped() -> list[tuple[slice, slice, store.Array]]:
        known = _read_notes(gramian)
        for key, (digest, *stamp) in known.items():
            if digest == gramian.arrays["gramian"].digests.get(key):
                gramian.verified["gramian", key_of(key)] = (stamp[0], stamp[1], stamp[2])
        found = on_all_cores(lambda key: gramian.mapped("gramian", key), keys)
        notes = {text(key): (gramian.digest(name, key), *stamp) for (name, key), stamp in gramian.verified.items()}
        if notes != known:
            _write_notes(gramian, notes)
        return [(cuts[i], cuts[j], tile) for (i, j), tile in zip(keys, found, strict=True)]

    return mapped


def _read_notes(gramian: store.Gramian) -> dict[str, Note]:
    """Read which tiles were compared before; none where that cannot be read."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        notes = json.loads(beside(gramian.path, ".verified").read_text(encoding="utf-8"))
        return {
            key: (str(digest), int(inode), int(size), int(time)) for key, (digest, inode, size, time) in notes.items()
        }
    return {}


def _write_notes(gramian: store.Gramian, notes: dict[str, Note]) -> None:
    """Note which tiles are right, if that can be written: it only spares reading them."""
    draft = beside(gramian.path, ".verified.partial")
    with suppress(OSError):
        draft.write_text(json.dumps(notes), encoding="utf-8")
        draft.replace(beside(gramian.path, ".verified"))


def rectangle(gramian: store.Gramian, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Read any rectangle (R, C); what lies above the diagonal, from its mirror image."""
    lines = [[_part(gramian, r, c) for c in _cut(gramian, columns)] for r in _cut(gramian, rows)]
    return np.block(lines).astype(np.float32, copy=False)


def _part(gramian: store.Gramian, rows: slice, columns: slice) -> store.Array:
    """Read a part of one tile."""
    if rows.start // store.spec.ROWS >= columns.start // store.spec.ROWS:
        return gramian.rows("gramian", rows, columns)
    return gramian.rows("gramian", columns, rows).T


def _cut(gramian: store.Gramian, part: slice) -> Iterator[slice]:
    """Cut a range of rows or columns where tiles end."""
    wanted = range(gramian.shape("gramian")[0])[part]
    for tile in range(wanted.start // store.spec.ROWS, -(-wanted.stop // store.spec.ROWS)):
        yield slice(max(wanted.start, tile * store.spec.ROWS), min(wanted.stop, (tile + 1) * store.spec.ROWS))
