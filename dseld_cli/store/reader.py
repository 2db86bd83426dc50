"""Stores that count only when committed: opened, verified, read.

A store is one zarr v3 group. Its attribute "dseld" is the *mark*: what kind of store it is, where it came from
(provenance), the shape and type of each array, the digest of each of its chunks, and the fingerprint of all that.
The mark is written last, in a folder beside the store (`X.zarr.partial`) that then takes its place: without it, or if
it does not fit, nobody reads on.

Every chunk is compared with the mark, and its values with what makes sense, before it counts; it is compared again
when its file is another one, or was changed, since. So what two readings of one `Store` give is the same to the last
bit, or an error, whatever happened to the folder in between.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import DoesNotFit, OutOfDate, StoreDamaged, StoreMissing, UserError
from dseld_cli.runtime.console import warn
from dseld_cli.store import chunks, codec, disk, objects
from dseld_cli.store.chunks import Array, Key
from dseld_cli.store.project import first_missing
from dseld_cli.store.provenance import (
    ArrayMark,
    BaseInfo,
    BaselineInfo,
    CalibrationInfo,
    CodesInfo,
    DictionaryInfo,
    FeaturesInfo,
    GramianInfo,
    Info,
    NetworkInfo,
    PredictionsInfo,
    parse,
)
from dseld_cli.store.spec import (
    BY_HAND,
    FORMAT,
    MADE_BY,
    MEANINGS,
    MENDED,
    READABLE,
    Spec,
    blocks,
    named_plainly,
    sizes_of,
)

InfoT = TypeVar("InfoT", bound=Info)
Stamp = tuple[int, int, int]
"""Inode, size and modification time of a file."""

UNREADABLE = (ValueError, KeyError, AttributeError, TypeError, RecursionError, OverflowError)
"""What comes of reading metadata that somebody, or a bit, has changed."""

_PROVED = set[tuple[str, Stamp]]()
"""Digests that this process has found files to have: a store that grows shares most of its files with the older one."""


@dataclass(frozen=True)
class Store(Generic[InfoT]):
    """A committed store, open for reading.

    Attributes:
        path: as it is called.
        folder: where it lies now.
        info: where it comes from.
        fingerprint: of everything in it.
        arrays: what was committed of each array.
        specs: shape, chunks and type of each.
        sizes: number of images, atoms, classes, ... (see `spec.sizes_of`).
        elsewhere: where its chunks lie, if that is not `folder`.

    """

    path: Path
    folder: Path
    info: InfoT
    fingerprint: str
    arrays: Mapping[str, ArrayMark]
    specs: Mapping[str, Spec]
    sizes: Mapping[str, int]
    elsewhere: objects.Objects | None = None
    verified: dict[tuple[str, Key], Stamp] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What kind of store it is."""
        return self.info.kind

    @property
    def url(self) -> str | None:
        """Where its chunks and its metadata are, if its chunks lie elsewhere."""
        return self.elsewhere.url if self.elsewhere else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array."""
        return self.arrays[name].shape

    def chunks(self, name: str) -> tuple[int, ...]:
        """Shape of a chunk of an array."""
        return self.specs[name].chunks

    def digest(self, name: str, key: Key) -> str:
        """Digest of a chunk as it was committed."""
        return self.arrays[name].digests[chunks.text(key)]

    def read(self, name: str) -> Array:
        """Read an array whole, verified.

        Raises:
            StoreDamaged: if a chunk is not what was committed, or makes no sense.

        """
        found = self.rows(name)
        if name == "indptr" and (found[0] != 0 or found[-1] != self.sizes["entry"] or np.any(np.diff(found) < 0)):
            raise self.damaged("array indptr does not rise from 0 to the number of entries")
        return found

    def stream(self, name: str) -> Iterator[tuple[slice, Array]]:
        """Read an array block by block of rows, verified.

        Raises:
            StoreDamaged: if a chunk is not what was committed, or makes no sense.

        """
        return ((part, self.rows(name, part)) for part in blocks(self.shape(name)[0], self.chunks(name)[0]))

    def rows(self, name: str, *index: slice) -> Array:
        """Read a part of an array, verified chunk by chunk; dimensions left out are read whole.

        Raises:
            StoreDamaged: if a chunk is not what was committed, or makes no sense.

        """
        shape, sides = self.shape(name), self.chunks(name)
        whole = (slice(None),) * (len(shape) - len(index))
        wanted = [range(n)[part] for n, part in zip(shape, (*index, *whole), strict=True)]
        keys = list(chunks.keys_of(wanted, sides))
        found = np.empty([len(part) for part in wanted], chunks.numpy_dtype(self.arrays[name].dtype))
        for key in keys:
            there = chunks.ranges(key, sides, shape)
            both = [range(max(w.start, t.start), min(w.stop, t.stop)) for w, t in zip(wanted, there, strict=True)]
            found[chunks.within(wanted, both)] = self.chunk(name, key)[chunks.within(there, both)]
        return found

    def take(self, name: str, rows: NDArray[np.int64]) -> Array:
        """Read any rows in any order, (len(rows), ...), verified; a chunk that has none of them is not read.

        Raises:
            StoreDamaged: if a chunk is not what was committed, or makes no sense.

        """
        found = np.empty((len(rows), *self.shape(name)[1:]), chunks.numpy_dtype(self.arrays[name].dtype))
        side = self.chunks(name)[0]
        for k in np.unique(rows // side):
            here = rows // side == k
            block = self.rows(name, slice(k * side, (k + 1) * side))
            found[here] = block[rows[here] - k * side]
        return found

    def file(self, name: str, key: Key) -> Path:
        """Find the file of a chunk; one that lies elsewhere is fetched first.

        Raises:
            FileNotFoundError: if it is missing there.
            OSError: if it cannot be fetched.

        """
        if self.elsewhere:
            return self.elsewhere.file(chunks.name_of(name, key))
        return chunks.file_of(self.folder, name, key)

    def chunk(self, name: str, key: Key) -> Array:
        """Read one chunk, for reading only; verify it, unless its file is what was verified before.

        Raises:
            StoreDamaged: naming the chunk, if it is not what was committed, or makes no sense.
            OSError: if the disk does not let us read it.

        """
        try:
            return self._chunk(name, key)
        except StoreDamaged:
            if not self.elsewhere:
                raise
        return self.reread(name, key)

    def reread(self, name: str, key: Key) -> Array:
        """Read one chunk from where it was committed, whatever this machine has of it.

        Raises:
            StoreDamaged: naming the chunk, if it is not what was committed, or makes no sense.
            OSError: if the disk, or the storage, does not let us read it.

        """
        if self.elsewhere:
            self.elsewhere.forget(chunks.name_of(name, key))
        return self._chunk(name, key)

    def _chunk(self, name: str, key: Key) -> Array:
        spec = self.specs[name]
        shape = tuple(map(len, chunks.ranges(key, spec.chunks, spec.shape)))
        try:
            with disk.a_file(self.file(name, key)).open("rb") as file:
                stamp, data = _stamp(os.fstat(file.fileno())), file.read()
            content = codec.decode(data, spec.dtype, spec.chunks, shape)
        except (FileNotFoundError, NotADirectoryError):
            raise self._damaged_chunk(name, key, "is missing") from None
        except ValueError as error:
            raise self._damaged_chunk(name, key, f"cannot be read ({error})") from None
        if self.verified.get((name, key)) != stamp:
            self._verify(name, key, content, stamp)
            self.verified[name, key] = stamp
        return content

    def _verify(self, name: str, key: Key, content: Array, stamp: Stamp) -> None:
        committed = self.digest(name, key)
        proof = committed, stamp
        if proof not in _PROVED and chunks.digest(content, like=committed) != committed:
            raise self._damaged_chunk(name, key, "is not what was committed")
        _PROVED.add(proof)
        meaning = MEANINGS[self.kind].get(name)
        if meaning and (senseless := meaning.sense(content, self.sizes)):
            raise self.damaged(f"array {name} {senseless}")

    def mapped(self, name: str, key: Key) -> Array:
        """Map one chunk of numbers into memory, for reading only: nothing is copied, and only pages used are read.

        Raises:
            StoreDamaged: naming the chunk, if it is not what was committed, or makes no sense.

        """
        spec, known = self.specs[name], self.verified.get((name, key))
        if known is None or known != self._stamp_of(name, key):
            self.chunk(name, key)
        file = self.file(name, key)
        shape = tuple(map(len, chunks.ranges(key, spec.chunks, spec.shape)))
        # copy on write: torch wants what it could write to, and nothing that is written would reach the file
        whole = np.memmap(file, chunks.numpy_dtype(spec.dtype), "c", shape=spec.chunks)
        return np.asarray(whole)[tuple(map(slice, shape))]

    def _stamp_of(self, name: str, key: Key) -> Stamp | None:
        """Stamp of a chunk's file; None if there is none, which reading it says better."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return _stamp(self.file(name, key).stat())
        return None

    def all_chunks(self) -> list[tuple[str, Key]]:
        """Name every chunk: (array, key)."""
        return [(name, key) for name, spec in self.specs.items() for key in spec.keys]

    def intact(self, name: str, key: Key) -> bool:
        """Whether a chunk is what was committed."""
        try:
            self.chunk(name, key)
        except StoreDamaged:
            return False
        return True

    def _damaged_chunk(self, name: str, key: Key, what: str) -> UserError:
        place = f"tile (row {key[0]}, column {key[1]})" if self.kind == "gramian" else f"chunk {chunks.text(key)}"
        with suppress(UserError):
            if open_store(self.path, type(self.info)).fingerprint != self.fingerprint:
                return OutOfDate(f"{self.path} was replaced while this command read it: run it again")
        return self.damaged(f"array {name}, {place} {what}")

    def damaged(self, what: str) -> StoreDamaged:
        """Say what is wrong with this store, and how to mend it."""
        return damaged(self.path, self.kind, what)


Features = Store[FeaturesInfo]
Base = Store[BaseInfo]
Dictionary = Store[DictionaryInfo]
Gramian = Store[GramianInfo]
Codes = Store[CodesInfo]
Predictions = Store[PredictionsInfo]
Network = Store[NetworkInfo]
Baseline = Store[BaselineInfo]
Calibration = Store[CalibrationInfo]


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


def damaged(path: Path, kind: str, what: str) -> StoreDamaged:
    """Say what is wrong with a store, and how to mend it."""
    if kind in MENDED:
        remedy = f"Run `{MADE_BY[kind]}` again: it makes what is damaged anew and leaves the rest"
    else:
        remedy = f"Run `{MADE_BY[kind]}` again, or fetch it with `dvc checkout`"
    return StoreDamaged(f"{path} is damaged: {what}. {remedy}")


def previous(path: Path, wanted: type[InfoT]) -> Store[InfoT] | None:
    """Open the store that is there; None if there is none.

    Raises:
        UserError: if there is one that cannot be trusted.

    """
    try:
        return open_store(path, wanted)
    except StoreMissing:
        return None


def reusable(path: Path, wanted: type[InfoT]) -> Store[InfoT] | None:
    """Open the store that is there, to take chunks over from; None, and a word, if it cannot be trusted."""
    try:
        return previous(path, wanted)
    except (StoreDamaged, OutOfDate) as error:
        warn(f"{str(error).partition('. Run')[0]}; all of it is made anew")
        return None


def present(path: Path) -> bool:
    """Whether there is a store, or something else, at `path`: an empty folder is nothing."""
    folder = _folder(path)
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _folder(path: Path) -> Path:
    """Where a store lies: a kill between the two renames of a commit leaves it beside, as X.zarr.retired."""
    if path.exists():
        return path
    retired = disk.beside(Path(os.path.realpath(path)), ".retired")
    return retired if disk.kind_of(retired) and not (retired / disk.PLAN).exists() else path


def open_store(path: Path, wanted: type[InfoT], made_by: str | None = None) -> Store[InfoT]:
    """Open a committed store for reading; `made_by` is the command that makes it, if its kind does not tell.

    Raises:
        StoreMissing: if there is none.
        StoreDamaged: if its metadata is not what was committed.
        OutOfDate: if it is of another format.
        DoesNotFit: if it is no store, or another kind of store.
        OSError: if the disk does not let us know.

    """
    kind, folder = wanted.kind, _folder(path)
    if not present(path):
        raise StoreMissing(f"no {kind} store at {path}: run `{made_by or MADE_BY[first_missing(kind, present)]}` first")
    attributes = disk.attributes(folder) or {}
    mark = _mark(path, attributes, kind)
    fingerprint = mark.pop("fingerprint", None)
    if fingerprint_of(mark) != fingerprint:
        raise damaged(path, kind, "its attributes were changed after it was committed")
    try:
        info, arrays, sizes = said_by(mark, wanted)
        specs = {name: spec_of(folder, kind, name, array) for name, array in arrays.items()}
        elsewhere = objects.of_store(attributes)
    except UNREADABLE as error:
        raise damaged(path, kind, str(error)) from None
    return Store(path, folder, info, str(fingerprint), arrays, specs, sizes, elsewhere)


def said_by(mark: Mapping[str, Any], wanted: type[InfoT]) -> tuple[InfoT, dict[str, ArrayMark], dict[str, int]]:
    """Read a mark whose fingerprint is right: provenance, arrays, and how many of each word there are.

    Raises:
        one of UNREADABLE: if it makes no sense.

    """
    mark = as_of_today(mark)
    info = parse(wanted, mark["provenance"])
    arrays = {name: parse(ArrayMark, mark["arrays"][name], name) for name in named_plainly(mark["arrays"])}
    return info, arrays, sizes_of(wanted.kind, {name: array.shape for name, array in arrays.items()}, info.sizes())


def _mark(path: Path, attributes: Mapping[str, Any], kind: str) -> dict[str, Any]:
    mark = attributes.get("dseld")
    if not isinstance(mark, dict):
        raise StoreDamaged(
            f"{path} is not a committed store (its zarr.json has no mark): move it away and run `{MADE_BY[kind]}` "
            "again, or fetch it with `dvc checkout`"
        )
    if mark.get("kind") != kind:
        raise DoesNotFit(
            f"{path} holds {_short(mark.get('kind'))}, but {kind} is needed here: `{MADE_BY[kind]}` makes it"
        )
    if mark.get("format") not in READABLE:
        raise OutOfDate(
            f"{path} has format {_short(mark.get('format'))}, this dseld reads {FORMAT}: run `{MADE_BY[kind]}` again"
        )
    return dict(mark)


def as_of_today(mark: Mapping[str, Any]) -> dict[str, Any]:
    """Write a mark of any format that is read, whose fingerprint is right, as one of this format says the same.

    Raises:
        KeyError, AttributeError, TypeError: if it makes no sense.

    """
    if mark["format"] == FORMAT:
        return dict(mark)
    found = copy.deepcopy(dict(mark))
    atoms = [found["provenance"]["atoms"]] if found["kind"] == "gramian" else []
    for array in [*found["arrays"].values(), *atoms]:
        array["digests"] = {key: chunks.named(digest) for key, digest in array.pop("sha256").items()}
    return found


def _short(value: object) -> str:
    return str(value)[:80]


def spec_of(folder: Path, kind: str, name: str, array: ArrayMark) -> Spec:
    """Read an array's chunks from its metadata, which has to describe what was committed.

    Raises:
        ValueError: if it does not.

    """
    try:
        found = json.loads(disk.a_file(folder / name / "zarr.json").read_bytes())
        sides = tuple(int(side) for side in found["chunk_grid"]["configuration"]["chunk_shape"])
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"array {name} is missing") from None
    except UNREADABLE:
        raise ValueError(f"the metadata of array {name} cannot be read") from None
    spec = Spec(array.shape, array.dtype, sides, lower=kind == "gramian")
    meaning = MEANINGS[kind].get(name)
    if array.dtype[:1] not in (meaning.kind if meaning else "fiu") or not array.dtype:
        raise ValueError(f"array {name} is of type {array.dtype[:80]}")
    if not codec.fits(found, spec) or min(sides, default=0) < 1:
        raise ValueError(f"the metadata of array {name}, or its shape, was changed after it was committed")
    if spec.n_keys != len(array.digests) or any(chunks.text(key) not in array.digests for key in spec.keys):
        raise ValueError(f"array {name} of shape {list(array.shape)} lacks chunks")
    return spec


def fingerprints(**stores: Store[Any]) -> dict[str, str]:
    """Fingerprint of every input, by name."""
    return {name: store.fingerprint for name, store in stores.items()}


def require_input(store: Store[Any], name: str, source: Store[Any]) -> None:
    """Refuse a store that was not made from `source` as it is now.

    Raises:
        OutOfDate: saying which stage to rerun.

    """
    if store.info.inputs.get(name) != source.fingerprint:
        raise out_of_date(store, source)


def out_of_date(store: Store[Any], source: Store[Any]) -> OutOfDate:
    """Say which stage to rerun for a store that was made from an older `source`."""
    or_dvc = "" if store.kind in BY_HAND else ", or `dvc repro`, which reruns just what is out of date"
    return OutOfDate(
        f"{store.path} was not made from {source.path} as it is now: run `{MADE_BY[store.kind]}` again{or_dvc}"
    )


def canonical(value: object) -> str:
    """Write JSON in the one way that is hashed and compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint_of(mark: object) -> str:
    """SHA-256 of a mark; of a damaged one, too, whose text may be none that there is."""
    return hashlib.sha256(canonical(mark).encode(errors="surrogatepass")).hexdigest()
