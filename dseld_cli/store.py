"""Zarr stores that count only when committed: create, resume, commit, open, verify.

A store is one zarr v3 group. Its attribute "dseld" is the *mark*: what kind of store it is, where it came from
(provenance), the shape, type and SHA-256 of each array, and the fingerprint of all that. The mark is written last, in
a folder beside the store (`X.zarr.partial`) that is then renamed: without it, or if it does not fit, nobody reads on.

Every chunk carries a CRC-32C, so that a damaged one is noticed wherever it is read; reading an array whole also
compares its SHA-256. Fill values are never valid data, so that a missing chunk cannot pass for one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from dseld_cli import __version__
from dseld_cli.errors import UserError

FORMAT = 1
ROWS = 2048
"""Rows in a chunk of anything that has a row an image or an atom, and the side of the Gramian's tiles."""
MADE_BY = {
    "features": "dseld extract",
    "base": "dseld build-dict",
    "dictionary": "dseld add-exemplars",
    "gramian": "dseld gramian",
    "codes": "dseld encode",
    "predictions": "dseld decode",
    "network": "dseld train-decoder",
    "baseline": "dseld baselines",
}

Provenance = Mapping[str, Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class Spec:
    """What an array of a store is: its shape, its chunks, its type ("str" for text)."""

    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    hashed: bool = True

    @classmethod
    def rows(cls, dtype: str, *shape: int) -> Spec:
        """Chunked by rows: (n,) or (n, N)."""
        return cls(shape, dtype, (ROWS, *shape[1:]))

    @property
    def fill_value(self) -> object:
        """A value that is never valid data."""
        return {"f": np.nan, "i": -1, "s": ""}[self.dtype[0]]


@dataclass
class Draft:
    """A store in the making, at `X.zarr.partial`; `done` counts its finished blocks, and survives a kill.

    Opening the draft of a killed run with the same plan goes on with it; with any other plan, it starts afresh.
    """

    path: Path
    kind: str
    provenance: Provenance
    specs: dict[str, Spec] = field(default_factory=dict)
    done: int = 0
    group: zarr.Group = field(init=False)

    def __post_init__(self) -> None:
        described = {"kind": self.kind, "provenance": self.provenance, "arrays": _described(self.specs)}
        plan = json.loads(_canonical(described))
        try:
            self.group = zarr.open_group(self.partial, mode="r+", zarr_format=3)
            resumable = self.group.attrs["plan"] == plan
        except (OSError, KeyError, ValueError):
            resumable = False
        if resumable:
            self.done = int(str(self.group.attrs["done"]))
        else:
            self._start(plan)

    @property
    def partial(self) -> Path:
        """Where it grows."""
        return self.path.with_name(self.path.name + ".partial")

    def _start(self, plan: dict[str, Any]) -> None:
        self.discard()
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        self.group = zarr.open_group(self.partial, mode="w", zarr_format=3)
        for name, spec in self.specs.items():
            self._create(name, spec)
        self.group.attrs.update({"plan": plan, "done": 0})

    def _create(self, name: str, spec: Spec) -> zarr.Array[Any]:
        return self.group.create_array(
            name,
            shape=spec.shape,
            chunks=tuple(max(1, side) for side in spec.chunks),
            dtype=spec.dtype,
            compressors=Crc32cCodec(),
            fill_value=spec.fill_value,
            overwrite=True,
        )

    def __getitem__(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def put(self, name: str, content: Array) -> None:
        """Add an array that is in memory, chunked by rows."""
        self.specs[name] = Spec.rows(_dtype(content), *content.shape)
        self._create(name, self.specs[name])[...] = content

    def checkpoint(self, done: int) -> None:
        """Note that the first `done` blocks are on disk, whole."""
        self.done = done
        self.group.attrs["done"] = done

    def discard(self) -> None:
        """Forget what was done so far."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def commit(self) -> None:
        """Write the mark and put the store in force in place of an older one."""
        arrays = {
            name: described | {"sha256": _digest(self[name]) if self.specs[name].hashed else None}
            for name, described in _described(self.specs).items()
        }
        mark: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.kind,
            "provenance": dict(self.provenance),
            "arrays": arrays,
        }
        self.group.attrs.put({"dseld": {**mark, "fingerprint": _fingerprint(mark)}})
        retired = self.path.with_name(self.path.name + ".retired")
        shutil.rmtree(retired, ignore_errors=True)
        if self.path.exists():
            self.path.rename(retired)
        self.partial.rename(self.path)
        shutil.rmtree(retired, ignore_errors=True)


@dataclass(frozen=True)
class Store:
    """A committed store, open for reading."""

    path: Path
    kind: str
    provenance: Provenance
    fingerprint: str
    arrays: Mapping[str, Mapping[str, Any]]
    group: zarr.Group

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array."""
        return tuple(self.arrays[name]["shape"])

    def read(self, name: str) -> Array:
        """Read an array whole, and verify that it is what was committed.

        Raises:
            UserError: if it is not.

        """
        content = self.rows(name)
        if _digest(content) != self.arrays[name]["sha256"]:
            raise self.damaged(f"array {name} is not what was committed")
        return content

    def stream(self, name: str) -> Iterator[tuple[slice, Array]]:
        """Read an array block by block of rows, and verify at the end that it was what was committed.

        Raises:
            UserError: if it was not.

        """
        digest = hashlib.sha256(_header(self.arrays[name]["dtype"], self.shape(name)))
        for part in blocks(self.shape(name)[0]):
            content = self.rows(name, part)
            digest.update(_bytes(content))
            yield part, content
        if digest.hexdigest() != self.arrays[name]["sha256"]:
            raise self.damaged(f"array {name} is not what was committed")

    def rows(self, name: str, *index: slice) -> Array:
        """Read a part of an array, verified chunk by chunk.

        Raises:
            UserError: if a chunk is damaged or missing.

        """
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        try:
            content = np.asarray(array[index or ...])
        except (ValueError, OSError, RuntimeError) as error:
            raise self.damaged(f"array {name} cannot be read ({' '.join(str(error).split())})") from error
        if content.dtype.kind == "f" and np.isnan(content).any():
            raise self.damaged(f"array {name} has a chunk missing")
        return content

    def damaged(self, what: str) -> UserError:
        """Say what is wrong with this store, and how to mend it."""
        return UserError(f"{self.path} is damaged: {what}. Delete it and run `{MADE_BY[self.kind]}` again.")


def open_store(path: Path, kind: str) -> Store:
    """Open a committed store for reading.

    Raises:
        UserError: if there is none, it is no committed store of that kind, or its metadata was changed.

    """
    command = MADE_BY[kind]
    if not path.exists():
        raise UserError(f"no {kind} store at {path}: run `{command}` first")
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
        mark: dict[str, Any] = dict(group.attrs["dseld"])  # type: ignore[arg-type]
        fingerprint = mark.pop("fingerprint")
    except (OSError, KeyError, ValueError, TypeError):
        raise UserError(f"{path} is not a committed store: delete it and run `{command}` again") from None
    if mark.get("kind") != kind:
        raise UserError(f"{path} holds {mark.get('kind')}, but {kind} is needed here: `{command}` makes it")
    if mark.get("format") != FORMAT:
        raise UserError(f"{path} has format {mark.get('format')}, this dseld reads {FORMAT}: run `{command}` again")
    store = Store(path, kind, mark["provenance"], fingerprint, mark["arrays"], group)
    if _fingerprint(mark) != fingerprint:
        raise store.damaged("its attributes were changed after it was committed")
    for name in store.arrays:
        array = group.get(name)
        if not isinstance(array, zarr.Array) or array.shape != store.shape(name):
            raise store.damaged(f"array {name} is missing, or its shape was changed after it was committed")
    return store


def write(path: Path, kind: str, provenance: Provenance, arrays: Mapping[str, Array]) -> None:
    """Write and commit a store of arrays that are in memory, all chunked by rows."""
    draft = Draft(path, kind, provenance)
    for name, content in arrays.items():
        draft.put(name, content)
    draft.commit()


def provenance(inputs: Mapping[str, Store], **facts: Any) -> dict[str, Any]:
    """Where a store comes from: facts about how it was made, and the fingerprint of every input."""
    return {"dseld": __version__, **facts, "inputs": {name: store.fingerprint for name, store in inputs.items()}}


def require_input(store: Store, name: str, source: Store) -> None:
    """Refuse a store that was not made from `source` as it is now.

    Raises:
        UserError: saying which stage to rerun.

    """
    if store.provenance["inputs"].get(name) != source.fingerprint:
        raise UserError(
            f"{store.path} was not made from {source.path} as it is now: run `{MADE_BY[store.kind]}` again, "
            "or `dvc repro`, which reruns just what is out of date"
        )


def blocks(n: int, size: int | None = None) -> Iterator[slice]:
    """Cut range(n) into consecutive slices of `size` (a chunk's rows), the last one ragged."""
    size = size or ROWS
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _digest(array: Any) -> str:
    """SHA-256 of an array's content, whatever its chunks: type, shape, then rows in order."""
    digest = hashlib.sha256(_header(_dtype(array), array.shape))
    for part in blocks(array.shape[0]):
        digest.update(_bytes(np.asarray(array[part])))
    return digest.hexdigest()


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    return f"{dtype}{tuple(shape)}".encode()


def _bytes(rows: Array) -> bytes | memoryview:
    if _dtype(rows) == "str":
        return "".join(f"{text}\0" for text in rows).encode()
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


def _dtype(array: Any) -> str:
    return "str" if array.dtype.kind in "TUO" else str(np.dtype(array.dtype))


def _described(specs: Mapping[str, Spec]) -> dict[str, dict[str, Any]]:
    return {name: {"shape": list(spec.shape), "dtype": spec.dtype} for name, spec in specs.items()}


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _fingerprint(mark: object) -> str:
    return hashlib.sha256(_canonical(mark).encode()).hexdigest()
