"""`dseld gc`: objects that nothing of this project names any more, deleted from its object storage."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import added_stores
from dseld_cli.errors import StoreDamaged, UserError
from dseld_cli.runtime.console import say
from dseld_cli.runtime.place import LOCAL
from dseld_cli.store import bucket, disk, objects
from dseld_cli.store import project as paths
from dseld_cli.store.check import folders


def run(params: Params, older_than: float, delete: bool) -> None:
    """List what no store, draft, addition or DVC's cache names and was written so many days ago; delete it if asked.

    Raises:
        UserError: if the project keeps nothing on object storage, or a store does not tell what it has there.
        OSError: if the storage cannot be reached.

    """
    root = params.data.store.rstrip("/")
    if root == LOCAL:
        raise UserError("gc: data.store is local: there is no object storage to clear; `dvc gc` clears DVC's cache")
    used = {found.path for found in named(params.additions) if found.root == root}
    since = datetime.now(UTC) - timedelta(days=older_than)
    sizes: dict[str, int] = defaultdict(int)
    kept, young = 0, 0
    for path, group in _groups(root).items():
        if path in used:
            kept += 1
        elif max(time for _, time in group) > since:
            young += 1
        else:
            sizes[path] = sum(size for size, _ in group)
    for path, size in sorted(sizes.items()):
        if delete:
            objects.Objects(root, path).delete()
        say(f"{'deleted' if delete else 'unused':<8} {root}/{path}: {size / 2**20:.1f} MiB")
    total = sum(sizes.values()) / 2**20
    younger = f", {young} unused but younger than {older_than:g} days" if young else ""
    say(f"{kept} in use{younger}, {len(sizes)} {'deleted' if delete else 'unused'} ({total:.1f} MiB)")
    if sizes and not delete:
        say("nothing was deleted: --yes does that")


def _groups(root: str) -> dict[str, list[tuple[int, datetime]]]:
    """Group all objects below a root by the store or draft that they are of."""
    groups = defaultdict(list)
    for name, found in bucket.listed(root).items():
        groups["/".join(name.split("/")[:2])].append(found)
    return groups


def named(additions: Sequence[str]) -> Iterator[objects.Objects]:
    """Read where the chunks are of all stores and drafts of this folder, of additions, and of stores in DVC's cache.

    Raises:
        StoreDamaged: if the metadata of a store here cannot be read.

    """
    listed = [*folders(paths.DATA), *added_stores(additions)]
    marks = [disk.attributes(folder) for folder in listed]
    for folder, mark in zip(listed, marks, strict=True):
        if mark is None and (folder / objects.MARK).exists():
            raise StoreDamaged(f"gc: {folder} does not tell what it has there: mend it first, as `dseld verify` says")
    marks += [disk.attributes_in(file) for file in _cached()]
    for found in (*map(objects.of_draft, listed), *(objects.of_store(mark or {}) for mark in marks)):
        if found:
            yield found


def _cached() -> Iterator[Path]:
    """List the files of DVC's cache that may be marks, as these begin; none where DVC is not in use.

    Raises:
        UserError: if DVC does not tell where its cache is.

    """
    if not Path(".dvc").is_dir():
        return
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise UserError(f"gc: `dvc cache dir` fails, so that older stores are not known: {told.stderr.strip()[:200]}")
    for file in Path(told.stdout.strip()).rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                if opened.read(1) == b"{":
                    yield file
