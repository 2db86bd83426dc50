"""Images that a file lists: a table as `dseld audit` writes it, or one name a line."""

from __future__ import annotations

import csv
from pathlib import Path

from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say
from dseld_cli.runtime.text import uncell

SEPARATORS = ",;\t"


def names_in(file: Path) -> list[str]:
    """Names in a file: the column `image` of a CSV file, or one a line; none of them twice.

    Raises:
        UserError: if there is no such file, it is no text, or names nothing.

    """
    header, lines, separator = _read(file)
    table = "image" in header
    rows = csv.DictReader(lines, delimiter=separator) if table else ({"image": name} for name in lines)
    return list(dict.fromkeys(row["image"] for row in _exemplars(file, list(rows))))


def classes_in(file: Path) -> dict[str, str]:
    """Class of each image in a CSV file: its column `class`, or `suggested`, as `dseld audit` writes it.

    Raises:
        UserError: if there is no such file, it is no table with these columns, or names nothing.

    """
    header, lines, separator = _read(file)
    column = next((name for name in ("class", "suggested") if name in header), None)
    if "image" not in header or not column:
        raise UserError(f"--from {file}: it is no CSV table with the columns image and suggested, or image and class")
    rows = list(csv.DictReader(lines, delimiter=separator))
    found: dict[str, str] = {}
    for row in _exemplars(file, rows):
        name = uncell(row[column] or "")
        if found.setdefault(row["image"], name) != name:
            raise UserError(f"--from {file}: {row['image']} is named twice, as {found[row['image']]} and as {name}")
    if empty := next((image for image, name in found.items() if not name.strip()), None):
        raise UserError(f"--from {file}: {empty} has nothing in the column {column}")
    return found


def _read(file: Path) -> tuple[list[str], list[str], str]:
    """Columns, if it is a table, lines, and what separates cells: a spreadsheet's language decides that."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"--from {file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--from {file}: it cannot be read as text: {error}") from None
    lines = text.splitlines()
    separator = max(SEPARATORS, key=lines[0].count) if lines else SEPARATORS[0]
    return next(csv.reader(lines[:1], delimiter=separator), []), lines, separator


def _exemplars(file: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out rows whose column `exemplar` says no: such images are not in the dictionary."""
    found = [row for row in rows if row.get("exemplar") != "no"]
    if len(found) < len(rows):
        say(f"{len(rows) - len(found)} of the {len(rows)} images in {file} are no exemplars: nothing to change there")
    named = [{**row, "image": uncell(row["image"])} for row in found if (row["image"] or "").strip()]
    if not named:
        raise UserError(f"--from {file}: it names no exemplar")
    return named
