"""Stores that are read wherever the work is done: by this process, or by a worker on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dseld_cli import store
from dseld_cli.errors import OutOfDate
from dseld_cli.runtime.cluster import Engine

InfoT = TypeVar("InfoT", bound=store.Info)


@dataclass(frozen=True)
class Input:
    """A store by its folder, seen alike by all, or its URL, and its fingerprint."""

    path: Path | str
    fingerprint: str

    @classmethod
    def of(cls, opened: store.Store[Any], does: Engine) -> Input:
        """Name a store so that whoever does a block finds it."""
        return cls(does.place(opened.path, opened.url), opened.fingerprint)

    def opened(self, kind: type[InfoT]) -> store.Store[InfoT]:
        """Open it.

        Raises:
            OutOfDate: if it is not the one that was meant.

        """
        found = opened_at(self.path, kind)
        if found.fingerprint != self.fingerprint:
            raise OutOfDate(f"{self.path} is not what it was when the run began: run the same command again")
        return found


def opened_at(place: Path | str, kind: type[InfoT]) -> store.Store[InfoT]:
    """Open a store by its folder or its URL.

    Raises:
        UserError: as `open_store` does.

    """
    return store.open_store(store.folder_of(place) if isinstance(place, str) else place, kind)
