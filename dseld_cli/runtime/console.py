"""What a person sees: plain lines and tables on standard output, progress on standard error.

Text that others wrote passes runtime/text.py first. Without a terminal nothing is coloured, folded or redrawn.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TypeVar

from dseld_cli.runtime.text import json_text, line, shown

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds between lines of progress where there is no terminal."""
MOMENT = 1.5
"""Seconds after which a person in front of a terminal is told what takes so long."""
TIMES = len(" 12:34:56 left 12:34:56")
RATE = len(" 12345 /s")
"""Characters that the times, and the rate without its unit, take beside a bar."""
BAR = (5, 40)
"""Characters of a bar, at least and at most."""


def say(text: str) -> None:
    """Print a line, unbroken."""
    print(shown(text), flush=True)


def say_json(value: object, indent: int | None = 2) -> None:
    """Print JSON, for programs."""
    print(json_text(value, indent), flush=True)


def warn(text: str) -> None:
    """Print a line that should not be missed, on standard error."""
    said = f"warning: {shown(text)}"
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print(f"\x1b[1;33m{said}\x1b[0m" if coloured else said, file=sys.stderr, flush=True)


def table(title: str, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table, as wide as it is, or on a terminal as wide as that; no figure is ever shortened."""
    from dseld_cli.runtime.tables import drawn

    lines = [list(row) for row in rows]
    terminal = sys.stdout.isatty()
    width = os.get_terminal_size(sys.stdout.fileno()).columns if terminal else None
    print(drawn(title, columns, lines, width), flush=True)


def track(
    items: Iterable[T], total: int, what: str, done: int = 0, length: Callable[[T], int] = lambda _: 1, unit: str = ""
) -> Iterator[T]:
    """Iterate and show how far it is and the time left, from `done` to `total`; an item counts as its `length`."""
    if total <= done:
        return iter(items)
    if sys.stderr.isatty():
        return _bar(items, total, shown(what), done, length, unit)
    return _lines(items, total, shown(what), done, length)


def _lines(items: Iterable[T], total: int, what: str, done: int, length: Callable[[T], int]) -> Iterator[T]:
    begin = last = time.monotonic()
    first = done
    for item in items:
        yield item
        done += length(item)
        now = time.monotonic()
        if now - last >= PATIENCE and first < done < total:
            last = now
            left = duration((now - begin) / (done - first) * (total - done))
            print(f"{what}: {done} of {total}, {left} left", file=sys.stderr, flush=True)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say, on a terminal, what is being done that has no steps to count, if it is not done in a moment."""
    said = Timer(MOMENT, lambda: print(f"{shown(what)} ...", file=sys.stderr, flush=True))
    said.daemon = True
    if sys.stderr.isatty():
        said.start()
    try:
        yield
    finally:
        said.cancel()


def duration(seconds: float) -> str:
    """Write a time as a person would: 8 s, 3 min, 2 h 5 min."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _beside_figures(what: str, total: int, unit: str, width: int) -> tuple[str, int]:
    """Share out what figures leave of a line of progress: the label, cut if it must be, and the bar's width."""
    figures = len(f" {total}/{total}") + TIMES + (RATE + len(unit) if unit else 0)
    least, most = BAR
    label = line(what, max(16, width - figures - 1 - least))
    return label, max(least, min(most, width - figures - 1 - len(label)))


def _bar(items: Iterable[T], total: int, what: str, done: int, length: Callable[[T], int], unit: str) -> Iterator[T]:
    from rich import progress
    from rich.console import Console
    from rich.table import Column
    from rich.text import Text

    def whole() -> Column:
        return Column(no_wrap=True)  # what does not fit is cut: a second line would be left behind at each step

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            return Text(f"{task.speed:.0f} {unit}/s" if task.speed and unit else "")

    console = Console(stderr=True)
    what, wide = _beside_figures(what, total, unit, console.width)
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(wide),
        progress.MofNCompleteColumn(table_column=whole()),
        progress.TimeElapsedColumn(table_column=whole()),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(table_column=whole()),
        *([Rate(table_column=whole())] if unit else []),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task, length(item))
