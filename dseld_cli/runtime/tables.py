"""Tables of text and figures, drawn for a given width: text folds, headings fold, figures are never shortened.

Where even that does not fit, the table is drawn in parts below one another, each with the first column again.
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
    texts = [[shown(cell) for cell in row] for row in rows]
    cells = [[row[i] for row in texts] for i in range(len(columns))]
    figures = [i > 0 and _are_figures(column) for i, column in enumerate(cells)]
    natural = [max(map(cell_len, (head, *column))) for head, column in zip(columns, cells, strict=True)]
    if width is None:
        return _part(title, columns, cells, figures, natural, list(range(len(columns))), plain=True)
    least = [
        max(max(map(cell_len, column), default=0), *map(cell_len, head.split() or [""]))
        if is_figure
        else min(wide, NARROWEST)
        for head, column, is_figure, wide in zip(columns, cells, figures, natural, strict=True)
    ]
    parts = _parts(least, width)
    titles = [title, *[""] * (len(parts) - 1)]
    return "\n\n".join(
        _part(name, columns, cells, figures, _widths(natural, least, figures, part, width), part, plain=False)
        for name, part in zip(titles, parts, strict=True)
    )


def _are_figures(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers, ranges of them, or nothing, with units."""
    words = [cell.split() for cell in cells]
    return any(words) and all(
        all(NUMBER.fullmatch(word) or UNIT.fullmatch(word) for word in cell) and (not cell or NUMBER.fullmatch(cell[0]))
        for cell in words
    )


def _parts(least: Sequence[int], width: int) -> list[list[int]]:
    """Which columns are drawn beside one another."""
    parts = [[0]]
    for i in range(1, len(least)):
        if len(parts[-1]) > 1 and sum(least[j] + GAP for j in parts[-1]) + least[i] > width:
            parts.append([0])
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
    title: str,
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    figures: Sequence[bool],
    widths: Sequence[int],
    part: Sequence[int],
    plain: bool,
) -> str:
    grid = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=None if plain else box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for i in part:
        grid.add_column(Text(columns[i]), justify="right" if figures[i] else "left", width=widths[i], overflow="fold")
    for row in zip(*(cells[i] for i in part), strict=True):
        grid.add_row(*map(Text, row))
    room = sum(widths[i] for i in part) + (GAP + 1) * len(part) + cell_len(title)
    console = Console(file=StringIO(), width=room, color_system=None, legacy_windows=False)
    console.print(grid)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]
