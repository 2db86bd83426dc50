"""Codes and predictions as tables that other programs read: .csv, .parquet, .npz, one row per image or activation.

Columns of predictions: image, true, then for each decoder its class and the share of that class. Columns of codes:
image, atom, activation, exemplar, class: one row per neuron that is active at the end.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import UserError
from dseld_cli.evaluation.project import Codes, Dictionary, Predictions
from dseld_cli.runtime.text import cell

Table = Mapping[str, Sequence[Any] | NDArray[Any]]
IMAGES = 1000
"""Images whose codes are written at a time."""


def predictions_table(found: Sequence[Predictions]) -> Table:
    """One row per image, of the predictions of some decoders for the same images."""
    first = found[0]
    columns: dict[str, Any] = {"image": first.source, "true": _named(first.truth, first.classes, "unknown")}
    for one in found:
        columns[one.decoder] = _named(one.labels, one.classes, "undecided")
        columns[f"{one.decoder} share"] = one.scores.max(axis=1)
    return columns


def codes_tables(codes: Codes, dictionary: Dictionary) -> Iterator[Table]:
    """One row per activation, of IMAGES images at a time."""
    for start in range(0, len(codes.codes), IMAGES):
        part = codes.codes[start : start + IMAGES]
        atoms = part.indices
        yield {
            "image": [codes.source[start + i] for i in part.image_of_value()],
            "atom": atoms,
            "activation": part.values,
            "exemplar": [dictionary.source[atom] for atom in atoms],
            "class": _named(dictionary.labels[atoms], dictionary.classes, ""),
        }


def _named(labels: NDArray[np.int64], classes: Sequence[str], none: str) -> list[str]:
    return [classes[label] if label >= 0 else none for label in labels]


def writer(path: Path) -> Callable[[Path, Iterator[Table]], None]:
    """Return what writes tables in the format of a file's ending.

    Raises:
        UserError: if there is no such format, or what writes it is not installed.

    """
    if path.suffix not in WRITERS:
        raise UserError(f"{path} ends in {path.suffix or 'nothing'}: tables are written as {', '.join(WRITERS)}")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UserError(f"{path}: writing Parquet needs pyarrow: pip install 'dseld[parquet]'") from None
    return WRITERS[path.suffix]


def _write_csv(path: Path, tables: Iterator[Table]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        for i, table in enumerate(tables):
            if i == 0:
                lines.writerow(table)
            lines.writerows(zip(*(_cells(column) for column in table.values()), strict=True))


def _cells(column: Sequence[Any] | NDArray[Any]) -> Iterator[Any]:
    return (cell(value) if isinstance(value, str) else value for value in column)


def _write_parquet(path: Path, tables: Iterator[Table]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    file: Any = None
    try:
        for table in tables:
            rows = pa.table(dict(table))
            file = file or parquet.ParquetWriter(path, rows.schema)
            file.write_table(rows)
    finally:
        if file:
            file.close()


def _write_npz(path: Path, tables: Iterator[Table]) -> None:
    whole = list(tables)
    arrays = {name: np.concatenate([np.asarray(table[name]) for table in whole]) for name in whole[0]}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


WRITERS: Mapping[str, Callable[[Path, Iterator[Table]], None]] = {
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
