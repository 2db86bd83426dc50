"""`dseld add-exemplars`: base dictionary and every addition that params.yaml lists to the one in force."""

from __future__ import annotations

import shutil

import numpy as np

from dseld_cli import paths, store
from dseld_cli.config.edit import edit
from dseld_cli.config.load import load
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import FOLDER, addition, listed, pictures
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.dictionary.duplicates import first_equal, keys_of
from dseld_cli.dictionary.manifest import Composition, Segment, unchanged_blocks
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, track, warn

ARRAYS = ("atoms", "labels", "source")


def run(params: Params, source: str | None = None, dry_run: bool = False) -> None:
    """Bring the dictionary in force up to date; with a source, put it on params.yaml's list first.

    Raises:
        UserError: if an addition is not there, is listed twice, or does not go with the base.

    """
    base = store.open_store(paths.BASE, "base")
    with store.locked(paths.DICTIONARY):
        if source is None:
            update(compose(params, base))
            return
        source, params = listed(source), load()  # as it is now that nobody else changes it
        if source in params.additions:
            say(f"{source} is among the additions already: nothing to add")
        elif dry_run:
            _foresee(params, base, source)
            return
        else:
            params = params.model_copy(update={"additions": [*params.additions, source]})
            wanted = compose(params, base)
            _report_duplicates(wanted.segments[-1])
            edit({"additions": params.additions})
        update(compose(params, base))


def compose(params: Params, base: store.Store) -> Composition:
    """Put together the dictionary that params.yaml asks for.

    Raises:
        UserError: if an addition is not there, is listed twice, or does not go with the base.

    """
    segments = [Segment("base", base)]
    for name in params.additions:
        found = addition(name, params, base)
        require_same_extractor(found, base)
        twin = next((s.name for s in segments if s.origin.fingerprint == found.fingerprint), None)
        if twin:
            raise UserError(f"additions: {name} was added already, as {twin}: list it once")
        segments.append(Segment(name, found))
    return Composition(segments, params.removals, params.compact)


def update(wanted: Composition) -> None:
    """Write what the dictionary in force lacks of the wanted one, and replace what is damaged; the rest stays."""
    for name in wanted.unmatched:
        warn(f"removals: {name} names no image of the base or an addition")
    old = store.previous(paths.DICTIONARY, "dictionary")
    n_blocks = -(-len(wanted.layout.images) // store.ROWS)
    same = unchanged_blocks(old, wanted) if old else []
    kept = [(name, (i, 0) if name == "atoms" else (i,)) for name in ARRAYS for i in same]
    facts = wanted.described()
    if old and all(old.provenance[key] == facts[key] for key in facts):
        kept = [(name, key) for name, key in track(kept, len(kept), "verifying") if old.intact(name, key)]
        if len(kept) == len(ARRAYS) * n_blocks:
            store.tidy(paths.DICTIONARY)
            say(f"{paths.DICTIONARY}: up to date, {_summary(wanted)}")
            return
    _write(wanted, old, {name: [key for array, key in kept if array == name] for name in ARRAYS})
    say(f"{paths.DICTIONARY}: {_summary(wanted)}; {len(same)} of {n_blocks} blocks as they were")


def _write(wanted: Composition, old: store.Store | None, kept: dict[str, list[store.Key]]) -> None:
    base = wanted.segments[0].origin
    m, n_features = len(wanted.layout.images), base.shape("atoms")[1]
    specs = {
        "atoms": store.Spec.rows("float32", m, n_features),
        "labels": store.Spec.rows("int64", m),
        "source": store.Spec.rows("str", m),
    }
    provenance = store.provenance({"base": base}, **wanted.described())
    parts = list(enumerate(store.blocks(m)))
    with store.Draft(paths.DICTIONARY, "dictionary", provenance, specs, old, kept) as draft:
        for i, part in track(parts, len(parts), "writing atoms"):
            for name in ARRAYS:
                key = (i, 0) if name == "atoms" else (i,)
                if not draft.finished(name, key):
                    draft.write(name, key, wanted.block(name, part))
        draft.commit()


def _summary(wanted: Composition) -> str:
    base, *added = map(len, wanted.segments)
    removed = len(wanted.layout.removed)
    return f"{base} base atoms, {sum(added)} added, {removed} removed, {len(wanted.classes)} classes"


def _report_duplicates(new: Segment) -> None:
    """Warn of images whose atom is in the dictionary in force already, or twice among the new ones."""
    dictionary = store.previous(paths.DICTIONARY, "dictionary")
    found = duplicates(new, dictionary)
    for image, twin in found[:3]:
        warn(f"{image} has the same features as {twin}")
    if found:
        warn(
            f"{len(found)} of the {len(new)} images of {new.name} are in the dictionary twice now: remove one of each?"
        )


def duplicates(new: Segment, dictionary: store.Store | None) -> list[tuple[str, str]]:
    """Images of a segment whose atom equals an earlier one to the last bit, each with that one's name."""
    names: list[str] = [*dictionary.read("source")] if dictionary else []
    m, found = len(names), [np.empty(0, np.uint64)]
    if dictionary:
        blocks = track(dictionary.stream("atoms"), -(-m // store.ROWS), "looking for duplicates")
        found.append(keys_of(block for _, block in blocks))
    found.append(keys_of(new.atoms(np.arange(part.start, part.stop)) for part in store.blocks(len(new))))
    names += list(new.source)
    first = first_equal(np.concatenate(found))
    return [(str(names[row]), str(names[twin])) for row, twin in enumerate(first[m:], m) if twin != row]


def _foresee(params: Params, base: store.Store, source: str) -> None:
    """Say what adding a source would add, cost and need in disk."""
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    if source.startswith(FOLDER):
        images = pictures(source, params)
        labels, classes = images.labels, list(images.classes)
        say(f"{source}: features are extracted when it is added; duplicates show only then")
    else:
        new = compose(params.model_copy(update={"additions": [*params.additions, source]}), base).segments[-1]
        labels, classes = new.origin.read("labels"), new.classes
        twins = duplicates(new, dictionary)
        say(f"{source}: {len(twins)} duplicates" + (f", such as {twins[0][0]} of {twins[0][1]}" if twins else ""))
    m, n_features = dictionary.shape("atoms")
    unknown = [classes[c] for c in np.unique(labels) if classes[c] not in dictionary.provenance["classes"]]
    say(f"would add {len(labels)} images to {m} atoms; new classes: {', '.join(unknown) or 'none'}")
    say(_cost(m, m + len(labels), n_features, 2 if params.gramian.dtype == "float16" else 4))


def _cost(m: int, grown: int, n_features: int, entry: int) -> str:
    """Say what must be computed and written to grow from m atoms, in tiles whose entries have so many bytes."""
    reached = range(m // store.ROWS, -(-grown // store.ROWS))
    tiles = sum(i + 1 for i in reached)
    need = len(reached) * 4 * store.ROWS * n_features + tiles * entry * store.ROWS**2
    free = shutil.disk_usage(paths.DATA).free
    return (
        f"would write {len(reached)} blocks of atoms and {tiles} tiles of the Gramian ({need / 2**20:.0f} MiB, "
        f"{free / 2**20:.0f} MiB are free), and compute {2e-9 * (grown - m) * grown * n_features:.1f} GFLOP"
    )
