"""Zarr stores that count only when committed: create, resume, grow, commit, open, verify, repair.

A store is one zarr v3 group. Its attribute "dseld" is the *mark*: what kind of store it is, where it came from
(provenance), the shape and type of each array, the SHA-256 of each of its chunks, and the fingerprint of all that.
The mark is written last, in a folder beside the store (`X.zarr.partial`) that is then renamed: without it, or if it
does not fit, nobody reads on. So an older store stays in force, whole, until the very moment that a newer one is.

Growing is nothing else. The new store takes over every chunk that it shares with the older one as a hard link, which
costs no reading, no writing and no disk, and keeps bytes and modification time; only the other chunks are made.
Repairing is the same with the damaged chunks left out.

Every chunk that is read is compared with the mark; its own CRC-32C protects it from whoever reads with plain zarr.
Fill values are never valid data, so that a missing chunk cannot pass for one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from dseld_cli import __version__, chunks, disk
from dseld_cli.disk import locked as locked
from dseld_cli.errors import UserError

zarr.config.set({"threading.max_workers": 2})  # each of its threads keeps the memory of a chunk that it freed
FORMAT = 2
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
MENDED = ("dictionary", "gramian")
"""Kinds whose command replaces damaged chunks alone."""

Provenance = Mapping[str, Any]
Array = NDArray[Any]
Key = chunks.Key


@dataclass(frozen=True)
class Spec:
    """What an array of a store is: its shape, its chunks, its type ("str" for text)."""

    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]

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
    """A store in the making, at `X.zarr.partial`: what is finished survives a kill.

    Opening the draft of a killed run with the same plan goes on with it; with any other plan, it starts afresh, with
    the chunks `kept` of an `old` store.

    Attributes:
        done: number of finished blocks, for whoever counts them with `checkpoint`.
        digests: SHA-256 of each finished chunk that `write` wrote or the old store had.

    """

    path: Path
    kind: str
    provenance: Provenance
    specs: dict[str, Spec] = field(default_factory=dict)
    old: Store | None = None
    kept: Mapping[str, Collection[Key]] = field(default_factory=dict)
    done: int = 0
    digests: dict[str, dict[Key, str]] = field(default_factory=dict)
    group: zarr.Group = field(init=False)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Lock what is at the path, and go on with a draft or begin one.

        Raises:
            UserError: if another process is changing it, or there is something that is no store of this kind.

        """
        with ExitStack() as stack:
            stack.enter_context(locked(self.path))
            self._begin()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _begin(self) -> None:
        disk.require_replaceable(self.path, self.kind)
        described = {"kind": self.kind, "provenance": self.provenance, "arrays": _described(self.specs)}
        plan = json.loads(_canonical(described))
        try:
            self.group = zarr.open_group(self.partial, mode="r+", zarr_format=3)
            resumable = self.group.attrs["plan"] == plan
        except (FileNotFoundError, NotADirectoryError, KeyError, ValueError):
            resumable = False
        if resumable:
            self.done = int(str(self.group.attrs["done"]))
            self._read_journal()
        else:
            self._start(plan)

    @property
    def _real(self) -> Path:
        return disk.real(self.path)

    @property
    def partial(self) -> Path:
        """Where it grows."""
        return disk.beside(self._real, ".partial")

    @property
    def _journal(self) -> Path:
        return self.partial / "journal"

    def _start(self, plan: dict[str, Any]) -> None:
        self.discard()
        self.partial.mkdir()
        (self.partial / disk.PLAN).write_text(json.dumps(plan), encoding="utf-8")
        self.group = zarr.open_group(self.partial, mode="a", zarr_format=3)
        for name, spec in self.specs.items():
            self._create(name, spec)
        for name, keys in self.kept.items():
            for key in keys:
                self._take_over(name, key)
        self.group.attrs.put({"plan": plan, "done": 0})  # at once: update() would write twice

    def _create(self, name: str, spec: Spec) -> zarr.Array[Any]:
        return self.group.create_array(
            name,
            shape=spec.shape,
            chunks=tuple(max(1, side) for side in spec.chunks),
            dtype=spec.dtype,
            compressors=Crc32cCodec(),
            fill_value=spec.fill_value,
            overwrite=True,
            config={"write_empty_chunks": True},  # no chunk is all fill value: spares a comparison
        )

    def _take_over(self, name: str, key: Key) -> None:
        assert self.old is not None
        target = chunks.file_of(self.partial, name, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            chunks.link(chunks.file_of(self.old.path, name, key), target)
            self._note(name, key, self.old.digest(name, key))

    def __getitem__(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def put(self, name: str, content: Array) -> None:
        """Add an array that is in memory, chunked by rows."""
        self.specs[name] = Spec.rows(chunks.dtype_name(content), *content.shape)
        self._create(name, self.specs[name])[...] = content

    def write(self, name: str, key: Key, content: Array) -> None:
        """Write one chunk, which is finished then."""
        self[name][chunks.region(key, self.specs[name].chunks, self.specs[name].shape)] = content
        self._note(name, key, chunks.digest(content))

    def finished(self, name: str, key: Key) -> bool:
        """Whether a chunk need not be written any more."""
        return key in self.digests.get(name, {})

    def _note(self, name: str, key: Key, sha256: str) -> None:
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, key, sha256]) + "\n")
        self.digests.setdefault(name, {})[key] = sha256

    def _read_journal(self) -> None:
        """Read which chunks are finished; a line that a kill tore is dropped, so that the next one is whole."""
        lines = self._journal.read_text(encoding="utf-8").splitlines(keepends=True) if self._journal.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        self._journal.write_text("".join(whole), encoding="utf-8")
        for name, key, sha256 in map(json.loads, whole):
            self.digests.setdefault(name, {})[tuple(key)] = sha256

    def checkpoint(self, done: int) -> None:
        """Note that the first `done` blocks are on disk, whole."""
        self.done = done
        self.group.attrs["done"] = done

    def discard(self) -> None:
        """Forget what was done so far."""
        disk.remove(self.partial)

    def commit(self) -> None:
        """Write the mark and put the store in force in place of an older one."""
        described = _described(self.specs)
        for name in self.specs:
            digests = sorted(self._digests(name).items())
            described[name]["sha256"] = {chunks.text(key): sha256 for key, sha256 in digests}
        mark: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.kind,
            "provenance": dict(self.provenance),
            "arrays": described,
        }
        disk.require_replaceable(self.path, self.kind)
        self.group.attrs.put({"dseld": {**mark, "fingerprint": _fingerprint(mark)}})
        zarrs = self.partial.rglob("*.partial")  # of a write that was killed
        for leftover in [self._journal, self.partial / disk.PLAN, *zarrs]:
            leftover.unlink(missing_ok=True)
        disk.replace(self.partial, self._real)

    def _digests(self, name: str) -> dict[Key, str]:
        """SHA-256 of each chunk: as noted or, of an array that was written past `write`, as it reads now."""
        spec = self.specs[name]
        return self.digests.get(name) or {
            key: chunks.digest(np.asarray(self[name][chunks.region(key, spec.chunks, spec.shape)]))
            for key in chunks.grid(spec.shape, spec.chunks)
        }


@dataclass(frozen=True)
class Store:
    """A committed store, open for reading."""

    path: Path
    kind: str
    provenance: Provenance
    fingerprint: str
    arrays: Mapping[str, Mapping[str, Any]]
    group: zarr.Group
    opened: dict[str, zarr.Array[Any]] = field(default_factory=dict)
    verified: set[tuple[str, Key]] = field(default_factory=set)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array."""
        return tuple(self.arrays[name]["shape"])

    def chunks(self, name: str) -> tuple[int, ...]:
        """Shape of a chunk of an array."""
        return self._array(name).chunks

    def digest(self, name: str, key: Key) -> str:
        """SHA-256 of a chunk as it was committed."""
        return str(self.arrays[name]["sha256"][chunks.text(key)])

    def read(self, name: str) -> Array:
        """Read an array whole, verified.

        Raises:
            UserError: if a chunk is not what was committed.

        """
        return self.rows(name)

    def stream(self, name: str) -> Iterator[tuple[slice, Array]]:
        """Read an array block by block of rows, verified.

        Raises:
            UserError: if a chunk is not what was committed.

        """
        return ((part, self.rows(name, part)) for part in blocks(self.shape(name)[0]))

    def rows(self, name: str, *index: slice) -> Array:
        """Read a part of an array, verified chunk by chunk; dimensions left out are read whole.

        Raises:
            UserError: if a chunk is not what was committed.

        """
        shape, sides = self.shape(name), self.chunks(name)
        whole = (slice(None),) * (len(shape) - len(index))
        wanted = [range(n)[part] for n, part in zip(shape, (*index, *whole), strict=True)]
        keys = list(chunks.keys_of(wanted, sides))
        if len(keys) == 1 and chunks.ranges(keys[0], sides, shape) == wanted:
            return self.chunk(name, keys[0])
        found = np.empty([len(part) for part in wanted], chunks.numpy_dtype(self.arrays[name]["dtype"]))
        for key in keys:
            there = chunks.ranges(key, sides, shape)
            both = [range(max(w.start, t.start), min(w.stop, t.stop)) for w, t in zip(wanted, there, strict=True)]
            found[chunks.within(wanted, both)] = self.chunk(name, key)[chunks.within(there, both)]
        return found

    def take(self, name: str, rows: NDArray[np.int64]) -> Array:
        """Read any rows in any order, (len(rows), ...), verified; a chunk that has none of them is not read.

        Raises:
            UserError: if a chunk is not what was committed.

        """
        found = np.empty((len(rows), *self.shape(name)[1:]), chunks.numpy_dtype(self.arrays[name]["dtype"]))
        side = self.chunks(name)[0]
        for k in np.unique(rows // side):
            here = rows // side == k
            block = self.rows(name, slice(k * side, (k + 1) * side))
            found[here] = block[rows[here] - k * side]
        return found

    def chunk(self, name: str, key: Key) -> Array:
        """Read one chunk; the first time, verify that it is what was committed.

        Raises:
            UserError: naming the chunk, if it is not.

        """
        try:
            content = np.asarray(self._array(name)[chunks.region(key, self.chunks(name), self.shape(name))])
        except (ValueError, OSError, RuntimeError) as error:
            raise self._damaged_chunk(name, key, f"cannot be read ({' '.join(str(error).split())})") from error
        if (name, key) not in self.verified:
            if chunks.digest(content) != self.digest(name, key):
                raise self._damaged_chunk(name, key, "is missing or not what was committed")
            self.verified.add((name, key))
        return content

    def all_chunks(self) -> list[tuple[str, Key]]:
        """Name every chunk: (array, key)."""
        return [(name, chunks.key_of(text)) for name, array in self.arrays.items() for text in array["sha256"]]

    def intact(self, name: str, key: Key) -> bool:
        """Whether a chunk is what was committed."""
        try:
            self.chunk(name, key)
        except UserError:
            return False
        return True

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self.opened:
            array = self.group[name]
            assert isinstance(array, zarr.Array)
            self.opened[name] = array
        return self.opened[name]

    def _damaged_chunk(self, name: str, key: Key, what: str) -> UserError:
        place = f"tile (row {key[0]}, column {key[1]})" if self.kind == "gramian" else f"chunk {chunks.text(key)}"
        with suppress(UserError):
            if open_store(self.path, self.kind).fingerprint != self.fingerprint:
                return UserError(f"{self.path} was replaced while this command read it: run it again")
        if self.kind not in MENDED:
            return self.damaged(f"array {name}, {place} {what}")
        return UserError(
            f"{self.path} is damaged: array {name}, {place} {what}. Run `{MADE_BY[self.kind]}` again: "
            "it makes what is damaged anew and leaves the rest"
        )

    def damaged(self, what: str) -> UserError:
        """Say what is wrong with this store, and how to mend it."""
        return UserError(f"{self.path} is damaged: {what}. Delete it and run `{MADE_BY[self.kind]}` again.")


def previous(path: Path, kind: str) -> Store | None:
    """Open the store that is in force, to grow from; None if there is none that can be trusted."""
    with suppress(UserError):
        return open_store(path, kind)
    return None


def present(path: Path) -> bool:
    """Whether there is something at `path`, even if a kill came between the two renames of a commit."""
    if not path.exists():
        _put_in_force(path)
    return path.exists()


def open_store(path: Path, kind: str) -> Store:
    """Open a committed store for reading.

    Raises:
        UserError: if there is none, it is no committed store of that kind, or its metadata was changed.

    """
    command = MADE_BY[kind]
    if not present(path):
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
    with Draft(path, kind, provenance) as draft:
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
        raise out_of_date(store, source)


def out_of_date(store: Store, source: Store) -> UserError:
    """Say which stage to rerun for a store that was made from an older `source`."""
    return UserError(
        f"{store.path} was not made from {source.path} as it is now: run `{MADE_BY[store.kind]}` again, "
        "or `dvc repro`, which reruns just what is out of date"
    )


def blocks(n: int, size: int | None = None) -> Iterator[slice]:
    """Cut range(n) into consecutive slices of `size` (a chunk's rows), the last one ragged."""
    size = size or ROWS
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def tidy(path: Path) -> None:
    """Delete what killed runs left beside a store that is as it should be."""
    for ending in (".partial", ".retired"):
        disk.remove(disk.beside(disk.real(path), ending))


def _put_in_force(path: Path) -> None:
    """Rename the draft of a store to the store, if it has its mark; another process may be quicker."""
    partial = disk.beside(path, ".partial")
    if disk.kind_of(partial):
        with suppress(FileNotFoundError):
            partial.rename(path)


def _described(specs: Mapping[str, Spec]) -> dict[str, dict[str, Any]]:
    return {name: {"shape": list(spec.shape), "dtype": spec.dtype} for name, spec in specs.items()}


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _fingerprint(mark: object) -> str:
    return hashlib.sha256(_canonical(mark).encode()).hexdigest()
