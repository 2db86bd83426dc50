"""Chunks on object storage: a store's folder then has its metadata alone, which says where the rest lies.

The objects of a committed store are a zarr group of their own, below a prefix that is named by its fingerprint, where
nothing else is ever written: what is there is what the name says, whoever put it there, however often. A draft's are
below a prefix of its own, and are copied, by the server, when they are complete. So a reader sees a whole store or
none, runs that race for a commit make either the same objects or others, and a writer that comes late touches nothing
that counts. A store is in force by its folder, as on the disk: DVC and git keep that, and go back to any older one.

What was read or written is mirrored on this machine, in a cache that may be deleted at any time.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard, TypeVar
from uuid import uuid4

from dseld_cli.errors import StoreDamaged
from dseld_cli.runtime.place import LOCAL, written_to
from dseld_cli.store import bucket, mirror
from dseld_cli.store.chunks import link
from dseld_cli.store.disk import PLACE, attributes
from dseld_cli.store.spec import named_plainly

ATTRIBUTE = "dseld_objects"
"""Attribute of a store's folder, beside its mark, that says where its chunks are; a draft has a file that does."""
MARK = "zarr.json"
AT_ONCE = 16
"""Requests at once: a server takes them side by side."""
T = TypeVar("T")


@dataclass(frozen=True)
class Objects:
    """What lies below one prefix: the chunks and the metadata of one store or draft.

    Attributes:
        root: URL of all stores of a project.
        path: of this one, below the root.

    """

    root: str
    path: str

    @property
    def url(self) -> str:
        """Address, which zarr opens."""
        return f"{self.root}/{self.path}"

    @property
    def mirror(self) -> Path:
        """Folder of this machine that has what was read or written here, under the same names."""
        return mirror.folder() / sha256(self.root.encode()).hexdigest()[:16] / self.path

    def attribute(self) -> dict[str, dict[str, str]]:
        """Write where this is, as an attribute of a store's folder."""
        return {ATTRIBUTE: {"root": self.root, "path": self.path}}

    def note(self, draft: Path) -> None:
        """Have a draft's folder say that its chunks are here."""
        (draft / PLACE).write_text(json.dumps(self.attribute()), encoding="utf-8")

    def beside(self, other: Objects | None) -> TypeGuard[Objects]:
        """Whether a server can copy from there to here."""
        return other is not None and other.root == self.root

    def committed(self, kind: str, fingerprint: str) -> Objects:
        """Name where the objects of the store go that this is a draft of."""
        return Objects(self.root, f"{kind}/{fingerprint}")

    def file(self, name: str) -> Path:
        """Find an object's mirror; fetch it, if there is none.

        Raises:
            FileNotFoundError: if there is no such object.
            OSError: if the storage cannot be reached.

        """
        file = self.mirror / name
        if not file.exists():
            mirror.save(file, self.read(name))
        return file

    def read(self, name: str) -> bytes:
        """Fetch an object.

        Raises:
            FileNotFoundError: if there is none.
            OSError: if the storage cannot be reached.

        """
        return bucket.read(self.root, f"{self.path}/{name}")

    def put(self, name: str, data: bytes | Path) -> None:
        """Write an object, over an older one if there is one.

        Raises:
            OSError: if the storage cannot be reached.

        """
        bucket.put(self.root, f"{self.path}/{name}", data)

    def copy(self, other: Objects, name: str) -> None:
        """Have the server copy an object of another prefix of the same root; its mirror, too, if there is one.

        Raises:
            FileNotFoundError: if there is no such object.
            OSError: if the storage cannot be reached.

        """
        bucket.copy(self.root, f"{other.path}/{name}", f"{self.path}/{name}")
        target = self.mirror / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            link(other.mirror / name, target)

    def take(self, url: str, name: str) -> None:
        """Have the server move an object of the same root here.

        Raises:
            FileNotFoundError: if there is no such object.
            OSError: if the storage cannot be reached.

        """
        source = url.removeprefix(f"{self.root}/")
        bucket.copy(self.root, source, f"{self.path}/{name}")
        bucket.delete(self.root, [source])
        self.forget(name)

    def sizes(self) -> dict[str, int]:
        """List what is here: bytes of each object."""
        return {name: size for name, (size, _) in bucket.listed(self.root, self.path).items()}

    def commit(self, draft: Objects, metadata: Mapping[str, bytes], chunks: Mapping[str, int | None]) -> None:
        """Make here what a draft has: its chunks, each of so many bytes; then the metadata, last the mark.

        Raises:
            FileNotFoundError: if a chunk of the draft is missing or cut.
            OSError: if the storage cannot be reached.

        """
        there = draft.sizes()
        for name, size in chunks.items():
            if name not in there or size not in (None, there[name]):
                raise FileNotFoundError(errno.ENOENT, "is cut or missing", f"{draft.url}/{name}")
        side_by_side(partial(self.copy, draft), chunks)
        for name in sorted(metadata, key=lambda name: name == MARK):
            self.put(name, metadata[name])

    def forget(self, name: str) -> None:
        """Delete an object's mirror, so that it is fetched again."""
        (self.mirror / name).unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects, and their mirrors.

        Raises:
            OSError: if the storage cannot be reached.

        """
        gone = list(names)
        bucket.delete(self.root, [f"{self.path}/{name}" for name in gone])
        for name in gone:
            self.forget(name)

    def delete(self) -> None:
        """Delete all that is here, and its mirror.

        Raises:
            OSError: if the storage cannot be reached.

        """
        self.remove(self.sizes())
        shutil.rmtree(self.mirror, ignore_errors=True)


def begun(kind: str) -> Objects | None:
    """Choose where a new draft's chunks go; None: into its folder.

    Raises:
        UserError: if the storage that params.yaml names cannot be used.
        OSError: if it cannot be reached.

    """
    root = written_to()
    if root == LOCAL:
        return None
    bucket.require(root)
    return Objects(root, f"drafts/{kind}-{uuid4().hex}")


def goes_on(draft: Path) -> bool:
    """Whether a draft's chunks are where they would be if it began now."""
    try:
        found = of_draft(draft)
    except ValueError:
        return False
    return written_to() == (found.root if found else LOCAL)


def of_draft(folder: Path) -> Objects | None:
    """Read where a draft's chunks are; None: in its folder.

    Raises:
        ValueError: if that cannot be read.

    """
    try:
        return of_store(json.loads((folder / PLACE).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def of_store(attributes: Mapping[str, Any]) -> Objects | None:
    """Read where a store's chunks are from its folder's attributes; None: in its folder.

    Raises:
        ValueError: if that cannot be read.

    """
    try:
        found = attributes.get(ATTRIBUTE)
        return Objects(str(found["root"]), str(found["path"])) if found else None
    except (AttributeError, KeyError, TypeError):
        raise ValueError("where its chunks are cannot be read") from None


def url_of(path: Path) -> str | None:
    """Address of the store in a folder, if its chunks lie elsewhere; the store itself is not looked at.

    Raises:
        OSError: if the disk does not let us know.

    """
    its = of_store(attributes(path) or {})
    return its.url if its else None


def at(url: str) -> Objects:
    """Name the objects of a store or a draft by its address."""
    root, kind, path = url.rsplit("/", 2)
    return Objects(root, f"{kind}/{path}")


def folder_of(url: str) -> Path:
    """Make a folder of this machine that has the metadata of a store at a URL, to open it by.

    Raises:
        FileNotFoundError: if there is no such store.
        StoreDamaged: if its mark makes no sense, or has an array that would not lie in that folder.
        OSError: if the storage cannot be reached.

    """
    its = at(url)
    folder = its.mirror.with_name(f"{its.mirror.name}.zarr")
    text = its.read(MARK)
    try:
        group = json.loads(text)
        group["attributes"] |= its.attribute()
        names = named_plainly(group["attributes"]["dseld"]["arrays"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreDamaged(f"the mark of {url} makes no sense ({str(error)[:80]}): make the store again") from None
    for name in names:
        mirror.save(folder / name / MARK, its.read(f"{name}/{MARK}"))
    mirror.save(folder / MARK, json.dumps(group).encode())
    return folder


def side_by_side(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do what waits for a server, many at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(work, items):
            pass
