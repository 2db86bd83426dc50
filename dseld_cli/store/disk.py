"""What happens to folders of stores on the disk: locked, recognised, replaced, removed. Nothing else is ever deleted.

A folder is *ours* if it has a store's mark or a draft's plan, or if it is empty. Whatever else lies where a store
or its draft should be is somebody's data: it is left alone, and named.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from errno import EINVAL, ENOENT, ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path
from typing import Any

from dseld_cli.errors import DoesNotFit, UserError
from dseld_cli.runtime.outputs import make_folder, sync

ENDING = ".zarr"
PLAN = "dseld-draft.json"
"""First file of a draft: a killed start is recognisable by it."""
JOURNAL = "dseld-journal"
PARTS = "dseld-parts"
PLACE = "dseld-objects.json"
"""A draft's own files, which a store has no more."""
RENAME_EXCHANGE = 2
AT_FDCWD = -100
SYNCERS = 16
"""Files that are synchronised at once: the disk takes them together."""
_held = threading.local()


def beside(path: Path, ending: str) -> Path:
    """Name what belongs to a store and lies beside it."""
    return path.with_name(path.name + ending)


def real(path: Path) -> Path:
    """Follow links: a store that was moved elsewhere and linked back is changed where it is.

    Raises:
        UserError: if the path does not end in .zarr, or leads to a folder that is not there.

    """
    if path.suffix != ENDING:
        raise UserError(f"{path}: the name of a store ends in {ENDING}")
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # a loop
        raise UserError(f"{path} is a link that leads nowhere: delete it, or let it point to a folder") from None
    if path.is_symlink() and not target.parent.is_dir():
        raise UserError(f"{path} is a link to {target}, but there is no folder {target.parent}: is its disk there?")
    return target if path.is_symlink() else target.parent / path.name


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process and thread from changing the store at `path`; the end of this process frees it.

    Whoever holds the lock may take it again.

    Raises:
        UserError: if another one is changing it now, or the file system knows no locks.

    """
    place = real(path)
    mine: set[Path] = _held.__dict__.setdefault("paths", set())
    if place in mine:
        yield
        return
    make_folder(place.parent)
    handle = _lock(path, beside(place, ".lock"))
    mine.add(place)
    try:
        yield
    finally:
        mine.remove(place)
        os.close(handle)


def _lock(path: Path, file: Path) -> int:
    """Open the lock's file and lock it; a file that was deleted meanwhile is no lock any more."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), file.stat()):
                    return handle
        except OSError as error:
            os.close(handle)
            raise _refused(path, error) from None
        os.close(handle)


def _refused(path: Path, error: OSError) -> Exception:
    if isinstance(error, BlockingIOError):
        return UserError(f"another dseld is changing {path}: run this again when it is done")
    if error.errno in (ENOLCK, ENOSYS, EOPNOTSUPP):
        return UserError(f"{path}: this file system cannot lock ({error.strerror}): keep the project on a local disk")
    return error


def a_file(path: Path) -> Path:
    """Take a path for a file's.

    Raises:
        FileNotFoundError: if something else is there: a folder, or a pipe, which would be waited for.

    """
    if not path.is_file() and path.exists():
        raise FileNotFoundError(ENOENT, "no file", str(path))
    return path


def attributes(folder: Path) -> dict[str, Any] | None:
    """Attributes of a zarr group; None if there is no group, or its metadata is damaged.

    Raises:
        OSError: if the disk does not let us know.

    """
    return attributes_in(folder / "zarr.json")


def attributes_in(file: Path) -> dict[str, Any] | None:
    """Attributes in the metadata of a zarr group; None if it is none, or damaged.

    Raises:
        OSError: if the disk does not let us know.

    """
    try:
        found = json.loads(a_file(file).read_bytes())
        return dict(found["attributes"]) if (found["zarr_format"], found["node_type"]) == (3, "group") else None
    except (FileNotFoundError, NotADirectoryError, KeyError, ValueError, TypeError, RecursionError):
        return None


def kind_of(folder: Path) -> str | None:
    """Kind of store that a folder's mark names; None if it has none."""
    mark = (attributes(folder) or {}).get("dseld")
    return str(mark["kind"]) if isinstance(mark, dict) and "kind" in mark else None


def ours(folder: Path) -> bool:
    """Whether a folder is a draft or a store, or empty."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if not any(folder.iterdir()) or (folder / PLAN).is_file() or (folder / JOURNAL).is_file():
        return True
    return bool((attributes(folder) or {}).keys() & {"dseld", "plan"})  # "plan": a draft of versions up to 0.1


def require_replaceable(path: Path, kind: str) -> None:
    """Refuse to put a store where there is something else than an older store of its kind, or an empty folder.

    Raises:
        DoesNotFit: naming what is there.

    """
    place = real(path)
    if not os.path.lexists(place):
        return
    if not place.is_dir():
        raise DoesNotFit(f"{path} is there already, and is no store: move it away, or choose another name")
    if any(place.iterdir()) and (there := kind_of(place)) != kind:
        what = f"a {there} store" if there else "files that are no store of dseld's"
        raise DoesNotFit(f"{path} holds {what}, and would be replaced: move it away, or choose another name")


def cleared(path: Path) -> None:
    """Leave an empty folder where a store may be: nothing is there, and DVC has an output to keep.

    Raises:
        DoesNotFit: if there is something that is none of dseld's.
        UserError: if another process changes it.

    """
    with locked(path):
        recover(real(path))
        for folder in (beside(real(path), ".partial"), real(path)):
            remove(folder)
        real(path).mkdir(parents=True)


def remove(folder: Path) -> None:
    """Delete a folder of ours, if it is there; it is no store any more from the first moment on.

    Raises:
        DoesNotFit: if it is not ours.

    """
    if not os.path.lexists(folder):
        return
    if not ours(folder):
        raise DoesNotFit(f"{folder} is in the way, and is none of dseld's drafts: move it away")
    plan = folder / PLAN
    plan.touch()  # so that a killed removal is recognisable, too
    (folder / "zarr.json").unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != plan:
            entry.unlink()
    plan.unlink()
    folder.rmdir()


def sync_all(folder: Path) -> None:
    """Have a folder and all that is in it survive a power loss."""
    entries = [folder, *folder.rglob("*")]
    with ThreadPoolExecutor(SYNCERS) as pool:
        for _ in pool.map(sync, (entry for entry in entries if not entry.is_symlink())):
            pass


def replace(new: Path, path: Path) -> None:
    """Put a finished draft, which is on the disk for good, in the place of a store, and delete the older one.

    Raises:
        OSError: if it cannot be renamed; the older one is in its place then.

    """
    retired = beside(path, ".retired")
    if not path.exists():
        new.rename(path)
    elif not _exchange(new, path):
        _rename_both(new, path, retired)
    sync(path.parent)
    clear(path)
    remove(new)  # the older one, after an exchange
    remove(retired)


def _rename_both(new: Path, path: Path, retired: Path) -> None:
    """Where there is no exchange: between the two renames, readers find the older one as .retired."""
    path.rename(retired)
    try:
        new.rename(path)
    except OSError:
        retired.rename(path)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system or the file system knows no such thing."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other))
    if renameat2(*names, ctypes.c_uint(RENAME_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (ENOSYS, EINVAL, EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def clear(path: Path) -> None:
    """Delete a draft's own files from a store that came to be in force."""
    if (path / PARTS).is_dir():
        shutil.rmtree(path / PARTS)
    for name in (JOURNAL, PLACE, PLAN):
        (path / name).unlink(missing_ok=True)


def recover(path: Path) -> None:
    """Bring into order what a kill between the steps of `replace` left; for who holds the lock.

    Raises:
        DoesNotFit: if something that is not ours is in the way.

    """
    draft, retired = beside(path, ".partial"), beside(path, ".retired")
    if not path.exists() and kind_of(retired) and not (retired / PLAN).exists():
        retired.rename(path)
    remove(retired)
    if kind_of(path):
        clear(path)
    if kind_of(draft) and not (draft / PLAN).exists():  # an older store, after an exchange
        remove(draft)


def tidy(path: Path) -> None:
    """Delete what killed runs left beside a store that is as it should be.

    Raises:
        DoesNotFit: if something that is not ours is in the way.

    """
    path = real(path)
    recover(path)
    remove(beside(path, ".partial"))
