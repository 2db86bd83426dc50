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
from dseld_cli.store.provenance import INFOS, ArrayMark
from dseld_cli.store.reader import UNREADABLE, Store, fingerprint_of, open_store, said_by, spec_of
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
    if reworded := _reworded(opened.folder, (disk.attributes(opened.folder) or {})["dseld"]):
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
    """Write the metadata of arrays anew that is not what the mark says, if that is whole and makes sense.

    What is right is left alone, however the array is chunked; so is what the chunks there would not fit.
    """
    mark = (disk.attributes(folder) or {}).get("dseld")
    if not isinstance(mark, dict) or mark.get("format") not in READABLE:
        return
    wanted = next((info for info in INFOS if info.kind == mark.get("kind")), None)
    whole = fingerprint_of({key: value for key, value in mark.items() if key != "fingerprint"})
    if wanted is None or whole != mark.get("fingerprint"):
        return
    try:
        _, arrays, _ = said_by(mark, wanted)
    except UNREADABLE:
        return
    reworded, committed = _reworded(folder, mark), _words(mark)
    for name, array in arrays.items():
        spec = _spec(folder, wanted.kind, name, array, name in reworded)
        if spec:
            content = codec.metadata(spec, MEANINGS[wanted.kind].get(name))
            words = committed.get(name, codec.words(content))
            kept = {key: value for key, value in content.items() if key not in codec.DESCRIPTIVE or key in words}
            codec.write_json(folder / name / "zarr.json", kept | words)


def _spec(folder: Path, kind: str, name: str, array: ArrayMark, reworded: bool) -> Spec | None:
    """Say as what an array's metadata is to be written anew; None if it need not, or cannot, be."""
    try:
        spec = spec_of(folder, kind, name, array)
    except ValueError:
        with suppress(IndexError, *UNREADABLE):
            spec = Spec.of(kind, name, array.dtype, array.shape)
            return spec if _fits(folder, name, spec) else None
        return None
    return spec if reworded else None


def _reworded(folder: Path, mark: Mapping[str, Any]) -> list[str]:
    """Arrays that are described in other words than were committed; of older stores, nobody knows those."""
    reworded = []
    for name, words in _words(mark).items():
        with suppress(OSError, *UNREADABLE):  # what cannot be read is found elsewhere
            found = json.loads(disk.a_file(folder / name / "zarr.json").read_bytes())
            reworded += [] if codec.words(found) == words else [name]
    return reworded


def _words(mark: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """Words that describe each array, as they were committed."""
    words = mark.get("words")
    return {
        name: found
        for name, found in (words if isinstance(words, dict) else {}).items()
        if isinstance(found, dict) and found == codec.words(found) and isinstance(found.get("attributes"), dict)
    }


def _fits(folder: Path, name: str, spec: Spec) -> bool:
    """Whether all chunks that lie here are of the size that a spec says; of text, any is."""
    sizes = {file.stat().st_size for key in spec.keys if (file := chunks.file_of(folder, name, key)).is_file()}
    return codec.size_of(spec) is None or sizes <= {codec.size_of(spec)}
