"""What a person sees: plain lines and tables on standard output, progress bars on standard error on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
PIPED_WIDTH = 1000
"""Columns that no table exceeds, so that none is cut where there is no terminal to fit."""


def say(line: str) -> None:
    """Print a line, unbroken."""
    Console(highlight=False, markup=False).print(line, soft_wrap=True)


def warn(line: str) -> None:
    """Print a line that should not be missed, on standard error."""
    Console(stderr=True, highlight=False, markup=False).print(f"warning: {line}", style="bold yellow", soft_wrap=True)


def table(title: str, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table: first column left-aligned, figures right; without lines or colours when piped."""
    plain = not Console().is_terminal
    console = Console(width=PIPED_WIDTH) if plain else Console()
    grid = Table(title=title, title_justify="left", box=None if plain else box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        grid.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console.print(grid, soft_wrap=plain)


def track(
    items: Iterable[T], total: int, what: str, done: int = 0, length: Callable[[T], int] = lambda _: 1, unit: str = ""
) -> Iterator[T]:
    """Iterate with a progress bar and the time left, from `done` to `total`; an item counts as its `length`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        *([_Rate(unit)] if unit else []),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task, length(item))


class _Rate(ProgressColumn):
    """Units a second, of late."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Show it once it is known."""
        return Text(f"{task.speed:.0f} {self.unit}/s" if task.speed else "")
