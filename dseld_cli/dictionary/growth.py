"""The current dictionary on disk, brought up to what it is to consist of: only what is new or damaged is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseld_cli import store
from dseld_cli.dictionary.atom_blocks import Block, Origins, made, prepared
from dseld_cli.dictionary.duplicates import first_equal, keys_in, keys_of
from dseld_cli.dictionary.gramian_growth import GramianGrowth, Settings, tiles_at_once
from dseld_cli.dictionary.gramian_growth import grow as grow_gramian
from dseld_cli.dictionary.manifest import Composition, Segment, other_labels, unchanged_blocks
from dseld_cli.runtime.cluster import HERE, Engine
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.runtime.text import counted

ARRAYS = ("atoms", "labels", "source")


@dataclass(frozen=True)
class Growth:
    """What bringing a dictionary up to date came to.

    Attributes:
        dictionary: as it is now.
        composition: what it consists of.
        blocks: blocks of rows that it has.
        kept: how many of them stayed as they were; -1 if there was nothing to do.

    """

    dictionary: store.Dictionary
    composition: Composition
    blocks: int
    kept: int

    def __str__(self) -> str:
        base, *added = map(len, self.composition.segments)
        removed = len(self.composition.layout.removed)
        classes = counted(len(self.composition.classes), "class")
        relabelled = f", {n} relabelled" if (n := len(self.composition.relabelled)) else ""
        holds = f"{base} base atoms, {sum(added)} added, {removed} removed{relabelled}, {classes}"
        if self.kept < 0:
            return f"{self.dictionary.path}: up to date, {holds}"
        return f"{self.dictionary.path}: {holds}; {self.blocks - self.kept} of {self.blocks} blocks of atoms written"


def grow(path: Path, wanted: Composition, track: Track = quiet, does: Engine = HERE) -> Growth:
    """Write what the dictionary at `path` lacks of the wanted one, and replace what is damaged; the rest stays.

    Raises:
        UserError: if features of an addition cannot be atoms, or another process changes the dictionary.

    """
    with store.locked(path):
        old = store.reusable(path, store.DictionaryInfo)
        n_blocks = -(-len(wanted.layout.images) // store.spec.ROWS)
        same = unchanged_blocks(old, wanted) if old else []
        stale = set(other_labels(old, wanted)) if old else set()
        kept = [(name, _key(name, i)) for name in ARRAYS for i in same if name != "labels" or i not in stale]
        if old and wanted.is_of(old):
            kept = [(name, key) for name, key in track(kept, len(kept), "verifying") if old.intact(name, key)]
            if len(kept) == len(ARRAYS) * n_blocks and _map_intact(old):
                store.tidy(path)
                return Growth(old, wanted, n_blocks, -1)
        _write(path, wanted, old, kept, track, does)
        return Growth(store.open_store(path, store.DictionaryInfo), wanted, n_blocks, len(same))


def grow_both(
    path: Path, gramian: Path, wanted: Composition, settings: Settings, track: Track = quiet, does: Engine = HERE
) -> Iterator[Growth | GramianGrowth]:
    """Bring up to date a dictionary and, if there is one, its Gramian; yields what each came to.

    Raises:
        UserError: as `grow` and `gramian_growth.grow`; if the budget is too small, before anything is written.

    """
    follows = store.present(gramian)
    if follows:
        tiles_at_once(settings.memory, wanted.segments[0].origin.shape("atoms")[1])
    grown = grow(path, wanted, track, does)
    yield grown
    if follows:
        yield grow_gramian(gramian, grown.dictionary, settings, track, does)


def _map_intact(dictionary: store.Dictionary) -> bool:
    return all(dictionary.intact(name, key) for name, key in dictionary.all_chunks() if name not in ARRAYS)


def _key(name: str, block: int) -> store.Key:
    return (block, 0) if name == "atoms" else (block,)


def _write(
    path: Path,
    wanted: Composition,
    old: store.Dictionary | None,
    kept: Iterable[tuple[str, store.Key]],
    track: Track,
    does: Engine,
) -> None:
    m, n_features = len(wanted.layout.images), wanted.segments[0].origin.shape("atoms")[1]
    specs = {
        name: store.Spec.of(store.DictionaryInfo.kind, name, dtype, shape)
        for name, dtype, shape in (
            ("atoms", "float32", (m, n_features)),
            ("labels", "int64", (m,)),
            ("source", "str", (m,)),
        )
    }
    taken = {name: [key for array, key in kept if array == name] for name in ARRAYS}
    with store.Draft(path, wanted.info, specs, old, taken) as draft:
        _write_atoms(draft, wanted, track, does)
        for name in ("labels", "source"):
            for i, part in enumerate(store.blocks(m)):
                if not draft.finished(name, _key(name, i)):
                    draft.write(name, _key(name, i), wanted.block(name, part))
        for name, array in (wanted.transform.arrays if wanted.transform else {}).items():
            draft.put(name, array)
        draft.commit()


def _write_atoms(draft: store.Draft[store.DictionaryInfo], wanted: Composition, track: Track, does: Engine) -> None:
    """Have those blocks of atoms made that are missing, and take them over."""
    parts, side = list(store.blocks(len(wanted.layout.images))), draft.specs["atoms"].chunks[0]
    missing = [i for i in range(len(parts)) if not draft.finished("atoms", (i, 0))]
    origins, folder = Origins.of(wanted.segments, does), does.place(draft.parts_folder, draft.parts_url)
    blocks = (Block(origins, i, wanted.images(parts[i]), side, folder) for i in missing)
    try:
        with closing(does.as_done(made, blocks)) as done:
            for block, aside in track(done, len(parts), "writing atoms", len(parts) - len(missing)):
                draft.adopt_chunk("atoms", (block.number, 0), aside)
    finally:
        prepared.cache_clear()


def duplicates(new: Segment, dictionary: store.Dictionary | None, track: Track = quiet) -> list[tuple[str, str]]:
    """Images of a segment whose atom equals an earlier one to the last bit, each with that one's name.

    Raises:
        UserError: if features of the segment cannot be atoms, or the dictionary is damaged.

    """
    names: list[str] = [*dictionary.read("source")] if dictionary else []
    m, found = len(names), [np.empty(0, np.uint64)]
    if dictionary:
        found.append(keys_in(dictionary, "atoms", track, "looking for duplicates"))
    found.append(keys_of(new.atoms(np.arange(part.start, part.stop)) for part in store.blocks(len(new))))
    names += list(new.source)
    first = first_equal(np.concatenate(found))
    return [(str(names[row]), str(names[twin])) for row, twin in enumerate(first[m:], m) if twin != row]


@dataclass(frozen=True)
class Cost:
    """What growing from m atoms to more takes.

    Attributes:
        blocks: blocks of atoms that are written.
        tiles: tiles of the Gramian that are written.
        size: bytes of both.
        operations: floating-point operations of the new inner products.

    """

    blocks: int
    tiles: int
    size: int
    operations: float

    @classmethod
    def of(cls, m: int, grown: int, n_features: int, entry: int) -> Cost:
        """Foresee it for a Gramian whose entries have so many bytes."""
        reached = range(m // store.spec.ROWS, -(-grown // store.spec.ROWS))
        tiles = sum(i + 1 for i in reached)
        size = len(reached) * 4 * store.spec.ROWS * n_features + tiles * entry * store.spec.ROWS**2
        return cls(len(reached), tiles, size, 2.0 * (grown - m) * grown * n_features)
