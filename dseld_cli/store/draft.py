"""A store in the making, at `X.zarr.partial`: what is finished survives a kill, and what is damaged is made again.

Its first file is the plan, its second the journal: a line, with a checksum of its own, per chunk or part that was
written, with the digest of its content. Whoever goes on with a draft compares each of them before it counts.
Metadata, and last of all the mark, are written when every chunk is there; then all is synchronised, and the draft
changes places with the older store (docs/design/store.md).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Generic, Self, TextIO, TypeVar

import numpy as np

from dseld_cli.errors import StoreDamaged
from dseld_cli.runtime.console import warn
from dseld_cli.runtime.outputs import sync
from dseld_cli.store import aside, chunks, codec, disk, mirror, objects
from dseld_cli.store.chunks import Array, Key
from dseld_cli.store.provenance import INFOS, Info, as_json, parse
from dseld_cli.store.reader import Store, canonical, fingerprint_of
from dseld_cli.store.spec import FORMAT, MEANINGS, Spec

InfoT = TypeVar("InfoT", bound=Info)


@dataclass
class Draft(Generic[InfoT]):
    """A store in the making; as a context manager, it keeps every other writer away.

    Opening the draft of a killed run with the same plan goes on with it; with any other plan, it starts afresh, with
    the chunks `kept` of an `old` store.

    Attributes:
        path: of the store.
        info: where it comes from; what is only known at the end may be added before `commit`.
        specs: its arrays; more come by `put`.
        notes: what `note` noted, oldest first.

    """

    path: Path
    info: InfoT
    specs: dict[str, Spec] = field(default_factory=dict)
    old: Store[InfoT] | None = None
    kept: Mapping[str, Collection[Key]] = field(default_factory=dict)
    notes: list[Any] = field(default_factory=list)
    _digests: dict[tuple[str, Key], str] = field(default_factory=dict)
    _unproved: set[tuple[str, Key]] = field(default_factory=set)
    _writing: Lock = field(default_factory=Lock)
    _journal: TextIO = field(init=False)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Lock what is at the path, and go on with a draft or begin one.

        Raises:
            UserError: if another process is changing it, or there is something that is no store of this kind.

        """
        with ExitStack() as stack:
            stack.enter_context(disk.locked(self.path))
            disk.recover(self._place)
            disk.require_replaceable(self.path, self.info.kind)
            plan = canonical({"kind": self.info.kind, "provenance": as_json(self.info), "arrays": _shapes(self.specs)})
            resumed = objects.goes_on(self.partial) and self.resumes(plan)
            if not resumed:
                its = objects.begun(self.info.kind)
                disk.remove(self.partial)
                self.partial.mkdir()
                (self.partial / disk.PLAN).write_text(plan, encoding="utf-8")
                if its:
                    its.note(self.partial)
            aside.drop(self.partial / disk.PARTS)
            self._journal = stack.enter_context((self.partial / disk.JOURNAL).open("a", encoding="utf-8"))
            if not resumed:
                self._take_all_over()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def _place(self) -> Path:
        return disk.real(self.path)

    @property
    def partial(self) -> Path:
        """Where it grows."""
        return disk.beside(self._place, ".partial")

    @cached_property
    def _elsewhere(self) -> objects.Objects | None:
        """Where its chunks grow, if not here."""
        return objects.of_draft(self.partial)

    def _file(self, name: str, key: Key) -> Path:
        """Where a chunk is on this machine, or is to be."""
        return chunks.file_of(self._elsewhere.mirror if self._elsewhere else self.partial, name, key)

    def resumes(self, plan: str) -> bool:
        """Read the journal of a draft with the same plan; say if a draft is unreadable."""
        try:
            there = (self.partial / disk.PLAN).read_bytes()
            journal = (self.partial / disk.JOURNAL).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if there != plan.encode():
            if not _is_plan(there):
                warn(f"{self.partial} is damaged: started afresh")
            return False
        lines = journal.split(b"\n")
        torn = lines.pop()  # empty, but for a line in which a kill came
        entries = [entry for entry in map(_entry, lines) if entry]
        if lost := len(lines) - len(entries):
            warn(
                f"{self.partial}: {lost} of {len(lines)} lines of its journal are damaged: what they say is made again"
            )
        for entry in entries:
            self._take(*entry)
        if lost or torn:
            (self.partial / disk.JOURNAL).write_text("".join(map(_line, entries)), encoding="utf-8")
        return True

    @property
    def written(self) -> list[tuple[str, Key]]:
        """Chunks and parts that were written, as far as what they are is known."""
        return [key for key in self._digests if key[0] in self.specs or key[0] == disk.PARTS]

    def _take(self, what: str, *entry: Any) -> None:
        if what == "note":
            self.notes.append(entry[0])
        else:
            name, key, digest = entry
            self._digests[name, tuple(key)] = chunks.named(digest)
            self._unproved.add((name, tuple(key)))

    def _take_all_over(self) -> None:
        kept = [(name, key) for name, keys in self.kept.items() for key in keys]
        if self._elsewhere:
            objects.side_by_side(self._take_over, kept)
        else:
            for chunk in kept:
                self._take_over(chunk)

    def _take_over(self, chunk: tuple[str, Key]) -> None:
        assert self.old is not None
        name, key = chunk
        with suppress(FileNotFoundError):
            if self._elsewhere and self._elsewhere.beside(self.old.elsewhere):
                self._elsewhere.copy(self.old.elsewhere, chunks.name_of(name, key))
            else:
                target = self._file(name, key)
                target.parent.mkdir(parents=True, exist_ok=True)
                chunks.link(self.old.file(name, key), target)
                self._send(name, key)
            self._note("chunk", name, key, self.old.digest(name, key))

    def _note(self, what: str, *entry: Any) -> None:
        with self._writing:
            self._journal.write(_line([what, *entry]))
            self._journal.flush()
        self._take(what, *entry)
        if what != "note":
            self._unproved.discard((entry[0], entry[1]))

    def note(self, value: object) -> None:
        """Note something that a resumed run finds in `notes`; anything that JSON has."""
        self._note("note", value)

    def put(self, name: str, content: Array) -> None:
        """Add an array that is in memory, chunked by rows."""
        spec = self.specs[name] = Spec.rows(chunks.dtype_name(content), *content.shape)
        for key in spec.keys:
            self.write(name, key, content[chunks.region(key, spec.chunks, spec.shape)])

    def write(self, name: str, key: Key, content: Array) -> None:
        """Write one chunk, which is finished then.

        Raises:
            UserError: if it has numbers that no reader would take.

        """
        chunks.require_finite(content)
        self._save(self._file(name, key), codec.encode(content, self.specs[name].chunks))
        self._send(name, key)
        self._note("chunk", name, key, chunks.digest(content))

    def adopt_chunk(self, name: str, key: Key, chunk: aside.Aside) -> None:
        """Take over a chunk that was set aside, which is finished then."""
        file = self._file(name, key)
        if isinstance(chunk, aside.Here):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # a move between file systems would write through a hard link
            shutil.move(chunk.file, file)
            self._send(name, key)
        else:
            assert self._elsewhere
            self._elsewhere.take(chunk.url, chunks.name_of(name, key))
        self._note("chunk", name, key, chunk.digest)

    def _save(self, file: Path, data: Iterable[memoryview | bytes]) -> None:
        if self._elsewhere:
            mirror.make_room()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # never through a hard link that an older store has, too
        aside.save(file, data)

    def _send(self, name: str, key: Key) -> None:
        if self._elsewhere:
            self._elsewhere.put(chunks.name_of(name, key), self._file(name, key))

    def finished(self, name: str, key: Key) -> bool:
        """Whether a chunk need not be written any more; one of an earlier run is compared with its digest."""
        if (name, key) not in self._digests:
            return False
        if (name, key) in self._unproved:
            if self._digest(name, key, self._digests[name, key]) != self._digests[name, key]:
                del self._digests[name, key]
                return False
            self._unproved.discard((name, key))
        return True

    def _digest(self, name: str, key: Key, like: str) -> str | None:
        """Digest of what is there of a chunk or a part, as of one that it is `like`; None if it is missing or torn."""
        spec = self.specs.get(name)
        try:
            if spec is None:
                return chunks.digest_of(self._part(key[0]).read_bytes(), like=like)
            shape = tuple(map(len, chunks.ranges(key, spec.chunks, spec.shape)))
            file = self._elsewhere.file(chunks.name_of(name, key)) if self._elsewhere else self._file(name, key)
            data = file.read_bytes()
            return chunks.digest(codec.decode(data, spec.dtype, spec.chunks, shape), like)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def _part(self, number: int) -> Path:
        return self.partial / disk.PARTS / f"{number}.npz"

    @property
    def parts_url(self) -> str | None:
        """Where parts are set aside by others who do not see `parts_folder`, if it has chunks elsewhere."""
        return f"{self._elsewhere.url}/{disk.PARTS}" if self._elsewhere else None

    @property
    def parts_folder(self) -> Path:
        """Where parts are kept, and set aside by others; it is there from now on."""
        (self.partial / disk.PARTS).mkdir(exist_ok=True)
        return self.partial / disk.PARTS

    def keep(self, number: int, arrays: Mapping[str, Array]) -> None:
        """Keep arrays of any size until the store is put together from them."""
        self.adopt(number, aside.set_aside(self.parts_folder, arrays))

    def adopt(self, number: int, part: aside.Aside) -> None:
        """Keep arrays that were set aside."""
        part = self.brought(part)
        part.file.replace(self._part(number))
        self._note("part", disk.PARTS, (number,), part.digest)

    def brought(self, part: aside.Aside) -> aside.Here:
        """Have what was set aside lie on this machine."""
        return aside.brought(part, self.parts_folder)

    def has_kept(self, number: int) -> bool:
        """Whether a part is there, as it was kept."""
        return self.finished(disk.PARTS, (number,))

    def parts(self, *names: str) -> Iterator[dict[str, Array]]:
        """Read what was kept, in order; the arrays of some names alone, if they are given."""
        for _, (number,) in sorted(key for key in self._digests if key[0] == disk.PARTS):
            with np.load(self._part(number), allow_pickle=False) as saved:
                yield {name: saved[name] for name in names or saved}

    def join(self, name: str) -> None:
        """Add an array that the kept parts have pieces of, one behind the other, a piece in memory at a time."""
        pieces = [(part[name].dtype, part[name].shape) for part in self.parts(name)]
        dtype, shape = pieces[0]
        spec = Spec.rows(np.dtype(dtype).name, sum(shape[0] for _, shape in pieces), *shape[1:])
        self.specs[name] = spec
        side, i = spec.chunks[0], 0
        waiting = np.empty((0, *shape[1:]), dtype)
        for part in self.parts(name):
            waiting = np.concatenate([waiting, part[name]])
            while len(waiting) >= side:
                self.write(name, (i, *(0 for _ in shape[1:])), waiting[:side])
                waiting, i = waiting[side:], i + 1
        if len(waiting):
            self.write(name, (i, *(0 for _ in shape[1:])), waiting)

    def discard(self) -> None:
        """Forget what was done so far."""
        if self._elsewhere:
            self._elsewhere.delete()
        disk.remove(self.partial)

    def commit(self) -> None:
        """Write the mark and put the store in force in place of an older one.

        Raises:
            StoreDamaged: if a chunk is missing, or not what was written.
            UserError: if something that is no store of this kind has come to be at its place.

        """
        self._require_whole()
        disk.require_replaceable(self.path, self.info.kind)
        arrays: dict[str, Any] = _shapes(self.specs)
        words = {}
        for name, spec in self.specs.items():
            content = codec.metadata(spec, MEANINGS[self.info.kind].get(name))
            codec.write_json(self.partial / name / "zarr.json", content)
            words[name] = codec.words(content)
            arrays[name]["digests"] = {chunks.text(key): self._digests[name, key] for key in spec.keys}
        what = {"format": FORMAT, "kind": self.info.kind, "provenance": as_json(self.info)}
        mark = {**what, "arrays": arrays, "words": words}
        disk.sync_all(self.partial)
        attributes: dict[str, Any] = {"dseld": {**mark, "fingerprint": fingerprint_of(mark)}}
        if self._elsewhere:
            attributes |= self._publish(self._elsewhere, attributes)
        codec.write_json(self.partial / "zarr.json", codec.group(attributes))
        sync(self.partial / "zarr.json")
        sync(self.partial)
        disk.replace(self.partial, self._place)
        if self._elsewhere:
            with suppress(OSError):  # the store is in force: `dseld gc` deletes what is left
                self._elsewhere.delete()

    def _publish(self, draft: objects.Objects, attributes: dict[str, Any]) -> dict[str, Any]:
        """Make of the draft's objects those of a store; returns what its mark says about where they are."""
        store = draft.committed(self.info.kind, attributes["dseld"]["fingerprint"])
        metadata = {f"{name}/zarr.json": (self.partial / name / "zarr.json").read_bytes() for name in self.specs}
        metadata["zarr.json"] = codec.as_bytes(codec.group(attributes))
        sizes = {
            chunks.name_of(name, key): codec.size_of(spec) for name, spec in self.specs.items() for key in spec.keys
        }
        try:
            store.commit(draft, metadata, sizes)
        except FileNotFoundError as error:
            raise StoreDamaged(
                f"{error.filename} {error.strerror}: run the same command again, which makes it anew"
            ) from None
        return store.attribute()

    def _require_whole(self) -> None:
        for name, spec in self.specs.items():
            for key in spec.keys:
                file = self._file(name, key)
                if not self.finished(name, key) or not (self._elsewhere or file.exists()):
                    raise StoreDamaged(f"{file} is missing or damaged: run the same command again, which makes it anew")


def left_behind(path: Path) -> Draft[Info] | None:
    """Look at the draft that a killed run left beside a store; None if there is none that can be read."""
    try:
        text = (disk.beside(disk.real(path), ".partial") / disk.PLAN).read_text(encoding="utf-8")
        plan = json.loads(text)
        info = parse(next(info for info in INFOS if info.kind == plan["kind"]), plan["provenance"])
        arrays = {name: (array["dtype"], array["shape"]) for name, array in plan["arrays"].items()}
        specs = {name: Spec.of(info.kind, name, dtype, shape) for name, (dtype, shape) in arrays.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, StopIteration, IndexError):
        return None
    draft = Draft(path, info, specs)
    return draft if draft.resumes(text) else None


def write(path: Path, info: Info, arrays: Mapping[str, Array]) -> None:
    """Write and commit a store of arrays that are in memory, all chunked by rows."""
    with Draft(path, info) as draft:
        for name, content in arrays.items():
            draft.put(name, content)
        draft.commit()


def _line(entry: list[Any]) -> str:
    text = json.dumps(entry, separators=(",", ":"))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n"


def _is_plan(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _entry(line: bytes) -> list[Any] | None:
    """Read a line of a journal; None if it is torn or damaged."""
    digest, _, text = line.partition(b" ")
    if hashlib.sha256(text).hexdigest()[:16].encode() != digest:
        return None
    found = json.loads(text)
    return list(found)


def _shapes(specs: Mapping[str, Spec]) -> dict[str, dict[str, Any]]:
    return {name: {"shape": list(spec.shape), "dtype": spec.dtype} for name, spec in specs.items()}
