"""Tables of text and figures, drawn for a given width: text folds, headings fold, figures are never shortened.

Where even that does not fit, the table is drawn in parts below one another, each with the columns that name its rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dseld_cli.runtime.text import shown

NARROWEST = 12
"""Columns that text folds into at least."""
GAP = 3
"""Columns between two, as rich draws them."""
NUMBER = re.compile(r"[<>~≈]?[-+\u2212±]?\d[\d.,]*(e[-+]?\d+)?%?|-|\u2013|nan|inf")
UNIT = re.compile(r"%|±|[a-zA-Zµ]{1,5}(/[a-z]+)?")


def drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Draw a table in at most `width` columns, if its figures fit there; without a width, as wide as it is."""
    above = f"{_folded(title, width)}\n" if title else ""
    texts = [[shown(cell) for cell in row] for row in rows]
    cells = [[row[i] for row in texts] for i in range(len(columns))]
    figures = [i > 0 and _are_figures(column) for i, column in enumerate(cells)]
    natural = [max(map(cell_len, (head, *column))) for head, column in zip(columns, cells, strict=True)]
    if width is None:
        return above + _part(columns, cells, figures, natural, list(range(len(columns))), plain=True)
    least = [
        max(max(map(cell_len, column), default=0), *map(cell_len, head.split() or [""]))
        if is_figure
        else min(wide, NARROWEST)
        for head, column, is_figure, wide in zip(columns, cells, figures, natural, strict=True)
    ]
    parts = _parts(least, width, _named_by(cells, figures, least, width))
    return above + "\n\n".join(
        _part(columns, cells, figures, _widths(natural, least, figures, part, width), part, plain=False)
        for part in parts
    )


def _folded(title: str, width: int | None) -> str:
    """Fold a title where the terminal ends, not where the table does."""
    if width is None:
        return title
    console = Console(width=width)
    return "\n".join(part.plain.rstrip() for part in Text(title).wrap(console, width))


def _are_figures(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers, ranges of them, or nothing, with units."""
    words = [cell.split() for cell in cells]
    return any(words) and all(
        all(NUMBER.fullmatch(word) or UNIT.fullmatch(word) for word in cell) and (not cell or NUMBER.fullmatch(cell[0]))
        for cell in words
    )


def _named_by(cells: Sequence[Sequence[str]], figures: Sequence[bool], least: Sequence[int], width: int) -> int:
    """How many of the first columns tell the rows apart, as far as they are text and leave room for each other one."""
    n = 1
    while (
        len(set(zip(*cells[:n], strict=True))) < len(cells[0])
        and n < len(cells)
        and not figures[n]
        and sum(least[: n + 1]) + GAP * (n + 1) + max(least[n + 1 :], default=0) <= width
    ):
        n += 1
    return n


def _parts(least: Sequence[int], width: int, repeated: int) -> list[list[int]]:
    """Which columns are drawn beside one another: the first so many, and those that fit beside them."""
    first = list(range(repeated))
    parts = [list(first)]
    for i in range(repeated, len(least)):
        if len(parts[-1]) > repeated and sum(least[j] + GAP for j in parts[-1]) + least[i] > width:
            parts.append(list(first))
        parts[-1].append(i)
    return parts


def _widths(
    natural: Sequence[int], least: Sequence[int], figures: Sequence[bool], part: Sequence[int], width: int
) -> list[int]:
    """Width of each column of a part: headings of figures give way first, then the widest text."""
    found = list(natural)
    excess = sum(found[i] for i in part) + GAP * (len(part) - 1) - width
    for i in (i for i in part if figures[i]):
        given = min(max(excess, 0), found[i] - least[i])
        found[i], excess = found[i] - given, excess - given
    while excess > 0 and (wide := [i for i in part if found[i] > least[i]]):
        widest = max(wide, key=lambda i: found[i])
        found[widest], excess = found[widest] - 1, excess - 1
    return found


def _part(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    figures: Sequence[bool],
    widths: Sequence[int],
    part: Sequence[int],
    plain: bool,
) -> str:
    grid = Table(box=None if plain else box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i in part:
        grid.add_column(Text(columns[i]), justify="right" if figures[i] else "left", width=widths[i], overflow="fold")
    for row in zip(*(cells[i] for i in part), strict=True):
        grid.add_row(*map(Text, row))
    room = sum(widths[i] for i in part) + (GAP + 1) * len(part)
    console = Console(file=StringIO(), width=room, color_system=None, legacy_windows=False)
    console.print(grid)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]
