"""What a disk may hold after a power loss: what was synchronised, and any part of what was not.

The model is as pessimistic as POSIX allows: a file has what it had at its last fsync, or any beginning of what was
written since, or zeros; of a folder's entries, those of its last fsync count, and any beginning of what changed since;
files and folders are independent of each other. A rename and an exchange within a folder are each one change; of a
rename from one to another, either half may be lost alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Operation = tuple[str, str, str, bytes]


def operations(log: str, root: str) -> list[Operation]:
    """Read the layer's log: (what, path, other path, data), paths below `root`."""
    found = []
    for line in log.splitlines():
        what, one, two, data = line.split("\t")
        paths = (path.removeprefix(root).strip("/") for path in (one, two))
        found.append((what, *paths, bytes.fromhex(data)))
    return found  # type: ignore[return-value]


@dataclass(eq=False)
class File:
    """A file: its content, and what of it is safe."""

    content: bytes = b""
    safe: bytes = b""

    def survivor(self, draw: random.Random) -> bytes:
        """Draw what is left of it."""
        if self.content == self.safe or draw.random() < 0.3:
            return self.safe
        if draw.random() < 0.3:
            return bytes(len(self.content))
        return self.content[: draw.randint(0, len(self.content))]


@dataclass(eq=False)
class Folder:
    """A folder: its entries, those that are safe, and what changed since, each change a set of entries."""

    entries: dict[str, File | Folder] = field(default_factory=dict)
    safe: dict[str, File | Folder] = field(default_factory=dict)
    changes: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, **changes: File | Folder | None) -> None:
        """Set entries, or delete them, as one change."""
        self.changes.append(changes)
        _apply(self.entries, changes)

    def survivors(self, draw: random.Random) -> dict[str, File | Folder]:
        """Draw which entries are left."""
        found = dict(self.safe)
        for change in self.changes[: draw.randint(0, len(self.changes))]:
            _apply(found, change)
        return found


def _apply(entries: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, what in changes.items():
        if what is None:
            entries.pop(name, None)
        else:
            entries[name] = what


@dataclass
class Disk:
    """A tree of files, and what of it is safe."""

    root: Folder

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """A tree that is safe, all of it."""

        def read(path: Path) -> File | Folder:
            if path.is_file():
                return File(path.read_bytes(), path.read_bytes())
            entries = {entry.name: read(entry) for entry in path.iterdir()}
            return Folder(entries, dict(entries))

        found = read(folder)
        assert isinstance(found, Folder)
        return cls(found)

    def _folder(self, path: str) -> tuple[Folder, str]:
        *way, name = path.split("/")
        at: File | Folder = self.root
        for step in way:
            assert isinstance(at, Folder)
            at = at.entries[step]
        assert isinstance(at, Folder)
        return at, name

    def _at(self, path: str) -> File | Folder:
        if not path:
            return self.root
        folder, name = self._folder(path)
        return folder.entries[name]

    def do(self, what: str, one: str, two: str, data: bytes) -> None:
        """Do one operation."""
        if what in ("truncate", "write", "fsync"):
            return self._change(what, self._at(one), data)
        folder, name = self._folder(one)
        if what == "unlink":
            return folder.change(**{name: None})
        if what in ("create", "mkdir"):
            return folder.change(**{name: File() if what == "create" else Folder()})
        other, second = self._folder(two)
        if what == "link":
            return other.change(**{second: folder.entries[name]})
        if folder is not other:
            assert what == "rename", "no folders change places but within one"
            other.change(**{second: folder.entries[name]})
            return folder.change(**{name: None})
        moved = {second: folder.entries[name], name: other.entries.get(second) if what == "exchange" else None}
        return folder.change(**moved)

    def _change(self, what: str, there: File | Folder, data: bytes) -> None:
        if isinstance(there, Folder):
            there.safe, there.changes = dict(there.entries), []
        elif what == "fsync":
            there.safe = there.content
        else:
            there.content = there.content + data if what == "write" else b""

    def after_power_loss(self, draw: random.Random, folder: Path) -> None:
        """Write what is left to a folder."""
        for path, content in _left(self.root, folder, draw, {}):
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.write_bytes(content)


def _left(
    folder: Folder, path: Path, draw: random.Random, files: dict[File, bytes]
) -> Iterator[tuple[Path, bytes | None]]:
    yield path, None
    for name, there in folder.survivors(draw).items():
        if isinstance(there, Folder):
            yield from _left(there, path / name, draw, files)
        else:
            if there not in files:  # a file with two names has one content
                files[there] = there.survivor(draw)
            yield path / name, files[there]
