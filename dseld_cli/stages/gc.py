"""`dseld gc`: objects that nothing of this project names any more, deleted from its object storage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say
from dseld_cli.runtime.place import LOCAL
from dseld_cli.store import bucket, disk, objects
from dseld_cli.store import project as paths
from dseld_cli.store.check import folders

MOST = 2**16
"""Bytes of a file of DVC's cache that may be a store's mark, as far as it is looked at."""


def run(params: Params, older_than: float, delete: bool) -> None:
    """List what neither a store, a draft nor DVC's cache names and was written so many days ago; delete it if asked.

    Raises:
        UserError: if the project keeps nothing on object storage.
        OSError: if the storage cannot be reached.

    """
    root = params.data.store.rstrip("/")
    if root == LOCAL:
        raise UserError("gc: data.store is local: there is no object storage to clear; `dvc gc` clears DVC's cache")
    used = {found.path for found in named() if found.root == root}
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


def named() -> Iterator[objects.Objects]:
    """Read where the chunks are of all stores and drafts of this folder, and of the stores in DVC's cache."""
    for folder in folders(paths.DATA):
        yield from _of(disk.attributes(folder) or {})
        if draft := objects.of_draft(folder):
            yield draft
    for file in _cached():
        with file.open("rb") as opened:
            start = opened.read(MOST)
        if objects.ATTRIBUTE.encode() in start:
            yield from _of(json.loads(file.read_bytes()).get("attributes", {}))


def _of(attributes: dict[str, object]) -> Iterator[objects.Objects]:
    if found := objects.of_store(attributes):
        yield found


def _cached() -> Iterator[Path]:
    """List the files of DVC's cache that may be marks; none where DVC is not in use.

    Raises:
        UserError: if DVC does not tell where its cache is.

    """
    if not Path(".dvc").is_dir():
        return
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise UserError(f"gc: `dvc cache dir` fails, so that older stores are not known: {told.stderr.strip()[:200]}")
    yield from (file for file in Path(told.stdout.strip()).rglob("*") if file.is_file())
