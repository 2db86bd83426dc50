"""Rows that come block after block and become chunks of a draft, across kills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dseld_cli.store.chunks import Array, Key
from dseld_cli.store.draft import Draft


class Rows:
    """Rows of an array of a draft that come block after block, of any length; each chunk is written once.

    Attributes:
        came: rows that came so far; of a killed run, those that are in the draft for good.

    """

    def __init__(self, draft: Draft[Any], name: str) -> None:
        self._draft, self._name, self._next = draft, name, 0
        while draft.finished(name, self._key(self._next)):
            self._next += 1
        spec = draft.specs[name]
        self.came = min(self._next * spec.chunks[0], spec.shape[0])
        self._waiting: Array = self._held()
        self.came += len(self._waiting)

    def _key(self, i: int) -> Key:
        return (i, *(0 for _ in self._draft.specs[self._name].shape[1:]))

    def _held(self) -> Array:
        """Rows of the next chunk that a killed run held."""
        for part in self._draft.parts() if self._draft.has_kept(0) else ():
            if int(part["chunk"]) == self._next:
                return part["rows"]
        return np.empty((0, *self._draft.specs[self._name].shape[1:]), np.float32)

    def add(self, rows: Array) -> None:
        """Take the rows that follow."""
        side = self._draft.specs[self._name].chunks[0]
        self.came += len(rows)
        self._waiting = np.concatenate([self._waiting, rows]) if len(self._waiting) else rows
        while len(self._waiting) >= side:
            self._write(self._waiting[:side])
            self._waiting = self._waiting[side:]

    def hold(self) -> None:
        """Keep the rows that wait for their chunk to be full, so that a kill does not lose them."""
        if len(self._waiting):
            self._draft.keep(0, {"rows": self._waiting, "chunk": np.array(self._next)})

    def _write(self, rows: Array) -> None:
        self._draft.write(self._name, self._key(self._next), rows)
        self._next += 1

    def end(self) -> None:
        """Write what is left, and cut the array where the rows end."""
        if len(self._waiting):
            self._write(self._waiting)
        spec = self._draft.specs[self._name]
        self._draft.specs[self._name] = replace(spec, shape=(self.came, *spec.shape[1:]))
