"""How far a long piece of work is: a callback, so that libraries stay silent and commands draw a bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items on, and shows how many of `total` are through, `done` of them before; `console.track` is one."""

    def __call__(self, items: Iterable[T], total: int, what: str, done: int = 0, *, unit: str = "") -> Iterator[T]:
        """Iterate."""


def quiet(items: Iterable[T], total: int, what: str, done: int = 0, *, unit: str = "") -> Iterator[T]:
    """Iterate, and show nothing."""
    return iter(items)
