"""All stores and drafts of a project looked through, and what needs no recomputing put right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dseld_cli.errors import UserError
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.store import chunks, codec, disk
from dseld_cli.store.draft import Draft, left_behind
from dseld_cli.store.project import kind_at
from dseld_cli.store.provenance import INFOS, ArrayMark, parse
from dseld_cli.store.reader import Store, as_of_today, fingerprint_of, open_store, spec_of
from dseld_cli.store.spec import MADE_BY, MEANINGS, READABLE, Spec

ENDINGS = (disk.ENDING, f"{disk.ENDING}.partial", f"{disk.ENDING}.retired")


@dataclass(frozen=True)
class Found:
    """What was found at a path: whether it is damaged, what there is to say, whether there is nothing there."""

    path: Path
    damaged: bool
    said: str
    empty: bool = False


def folders(root: Path) -> list[Path]:
    """Everything below a folder that is named as a store or a draft, in order; nothing inside of one."""
    if not root.is_dir():
        return []
    found: list[Path] = []
    for entry in sorted(root.iterdir()):
        if entry.name.endswith(ENDINGS):
            found.append(entry)
        elif entry.is_dir() and not entry.is_symlink():
            found += folders(entry)
    return found


def check(path: Path, repair: bool = False, track: Track = quiet) -> Found:
    """Look through a store, or what lies beside one; with `repair`, put right what needs no recomputing.

    Raises:
        OSError: if the disk does not let us know.

    """
    if not path.name.endswith(ENDINGS):
        return Found(path, True, f"no store of dseld's: those end in {disk.ENDING}")
    if path.suffix != disk.ENDING:
        return _beside(path, repair, track)
    if repair:
        with disk.locked(path):
            disk.recover(disk.real(path))
            _mend_metadata(disk.real(path))
    if not path.is_dir() or not any(path.iterdir()):
        return Found(path, False, "nothing there", empty=True)
    kind = disk.kind_of(path)
    info = next((info for info in INFOS if info.kind == kind), None)
    if info is None:
        makes = MADE_BY.get(kind_at(path) or "")
        remedy = f": move it away, and run `{makes}`" if makes else ""
        why = "its zarr.json has no mark, or one of a kind that is unknown"
        return Found(path, True, f"no store of dseld's, as {why}{remedy}")
    try:
        return _store(open_store(path, info), track)
    except UserError as error:
        return Found(path, True, str(error).removeprefix(f"{path} is damaged: "))


def _store(opened: Store[Any], track: Track) -> Found:
    keys = opened.all_chunks()
    what = f"verifying {opened.path}"
    bad = [found for found in track((_damage(opened, *key) for key in keys), len(keys), what) if found]
    if bad:
        more = f" (and {len(bad) - 1} chunks more)" if len(bad) > 1 else ""
        return Found(opened.path, True, bad[0].removeprefix(f"{opened.path} is damaged: ") + more)
    if reworded := _reworded(opened.folder):
        said = f"the words that describe array {reworded[0]} are not what was committed: --repair writes them again"
        return Found(opened.path, True, said)
    leftover = [name for name in (disk.PLAN, disk.PLACE, disk.JOURNAL, disk.PARTS) if (opened.folder / name).exists()]
    also = ", with files of its draft left over" if leftover else ""
    return Found(opened.path, False, f"{opened.kind}, all {len(keys)} chunks as committed{also}")


def _damage(opened: Store[Any], name: str, key: tuple[int, ...]) -> str:
    try:
        opened.reread(name, key)
    except UserError as error:
        return str(error)
    return ""


def _beside(path: Path, repair: bool, track: Track) -> Found:
    """Judge a draft, or an older store that a kill left."""
    store = path.with_suffix("")
    if not path.exists():
        return Found(path, False, "left by a killed run: put in order")
    if not disk.ours(path):
        return Found(path, True, "not dseld's, but in the way of a draft: move it away")
    if path.suffix == ".partial" and (draft := left_behind(store)):
        return _draft(path, draft, track)
    if not repair:
        return Found(path, False, "left by a killed run: the next run of the command, or --repair, puts that in order")
    with disk.locked(store):
        was_there = store.exists()
        disk.recover(disk.real(store))
        disk.remove(path)
    return Found(path, False, "left by a killed run: put in order") if was_there else check(store, repair, track)


def _draft(path: Path, draft: Draft[Any], track: Track) -> Found:
    written = draft.written
    lost = [key for key in track(written, len(written), f"verifying {path}") if not draft.finished(*key)]
    if lost:
        said = f"{len(lost)} of {len(written)} finished pieces are damaged: the same command makes them again"
        return Found(path, True, f"draft of {draft.info.kind}, {said}")
    return Found(path, False, f"draft of {draft.info.kind}, {len(written)} pieces finished: the same command goes on")


def _mend_metadata(folder: Path) -> None:
    """Write the metadata of arrays anew that is not what the mark, which is whole, says.

    What is right is left alone, however the array is chunked; so is what the chunks there would not fit.
    """
    mark = (disk.attributes(folder) or {}).get("dseld")
    if not isinstance(mark, dict) or mark.get("kind") not in MEANINGS or mark.get("format") not in READABLE:
        return
    if fingerprint_of({key: value for key, value in mark.items() if key != "fingerprint"}) != mark.get("fingerprint"):
        return
    reworded = _reworded(folder)
    for name, found in as_of_today(mark)["arrays"].items():
        array = parse(ArrayMark, found)
        try:
            spec = spec_of(folder, mark["kind"], name, array)
            right = name not in reworded
        except ValueError:
            spec = Spec.of(mark["kind"], name, array.dtype, array.shape)
            right = not _fits(folder, name, spec)
        if not right:
            plain = codec.metadata(spec, MEANINGS[mark["kind"]].get(name))
            codec.write_json(folder / name / "zarr.json", plain | _words(mark).get(name, {}))


def _reworded(folder: Path) -> list[str]:
    """Arrays that are described in other words than were committed; of older stores, nobody knows those."""
    reworded = []
    for name, words in _words((disk.attributes(folder) or {}).get("dseld") or {}).items():
        with suppress(ValueError, OSError, RecursionError):  # what cannot be read is found elsewhere
            found = json.loads((folder / name / "zarr.json").read_bytes())
            reworded += [] if isinstance(found, dict) and codec.words(found) == words else [name]
    return reworded


def _words(mark: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """Words that describe each array, as they were committed."""
    words = mark.get("words")
    return {name: found for name, found in words.items() if isinstance(found, dict)} if isinstance(words, dict) else {}


def _fits(folder: Path, name: str, spec: Spec) -> bool:
    """Whether all chunks that lie here are of the size that a spec says; of text, any is."""
    sizes = {file.stat().st_size for key in spec.keys if (file := chunks.file_of(folder, name, key)).is_file()}
    return codec.size_of(spec) is None or sizes <= {codec.size_of(spec)}
