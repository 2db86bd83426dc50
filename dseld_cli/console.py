"""What a person sees: plain lines and tables on standard output, progress bars on standard error on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

T = TypeVar("T")
WIDE = 500
"""Columns of a page that nobody looks at: a table that is piped is never cut."""


def say(line: str) -> None:
    """Print a line, unbroken."""
    Console(highlight=False, markup=False).print(line, soft_wrap=True)


def warn(line: str) -> None:
    """Print a line that should not be missed, on standard error."""
    Console(stderr=True, highlight=False, markup=False).print(f"warning: {line}", style="bold yellow", soft_wrap=True)


def table(title: str, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table: first column left-aligned, figures right; without lines or colours when piped."""
    plain = not Console().is_terminal
    console = Console(width=WIDE if plain else None)
    grid = Table(title=title, title_justify="left", box=None if plain else box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        grid.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console.print(grid, soft_wrap=plain)


def track(items: Iterable[T], total: int, what: str, done: int = 0) -> Iterator[T]:
    """Iterate with a progress bar and the time left, counting from `done` to `total`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task)
