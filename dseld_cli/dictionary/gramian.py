"""What stages that read a Gramian share: whose it is, its tiles, any part of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store


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


def tiles(gramian: store.Gramian) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    """Read every stored tile once: (rows, columns, tile), on and below the diagonal."""
    cuts = list(store.blocks(gramian.shape("gramian")[0]))
    for i, rows in enumerate(cuts):
        for columns in cuts[: i + 1]:
            yield rows, columns, gramian.rows("gramian", rows, columns).astype(np.float32, copy=False)


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
