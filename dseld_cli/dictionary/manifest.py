"""What the current dictionary consists of: the base, then each addition, less what was removed.

Every block of atoms is a function of this composition. So the stage that writes them takes over those blocks of the
older dictionary in which nothing differs, and a dictionary that grew equals one made at once, to the last bit.

A removed exemplar leaves a tombstone: an atom of zeros, which no input drives and nothing inhibits, so that it never
fires; no other atom changes place. Compaction drops the tombstones, and all atoms behind them move up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import merged, normalize, relabel, require_same_extractor
from dseld_cli.dictionary.listed import Listed
from dseld_cli.dictionary.transform import Seen, Transform, of
from dseld_cli.errors import UserError

BASE = "base"
"""Name of the first segment."""
REMOVED = "(removed)"
"""What the dictionary's `source` says of a tombstone."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """The base, or one addition: n images whose unit-norm features are atoms.

    Attributes:
        name: BASE, or the addition as params.yaml lists it; "" for a split, whose images are named as they are.
        origin: base dictionary, or features.
        transform: map of the base's, through which these features go.
        relabels: classes of images whose label is wrong, by name; of other segments, too.

    """

    name: str
    origin: store.Base | store.Features
    transform: Transform | None = None
    relabels: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.origin.shape("labels")[0]

    @property
    def classes(self) -> list[str]:
        """Class names that this segment's labels index."""
        return list(self.origin.info.classes)

    def labels(self, classes: Sequence[str]) -> Rows:
        """Class of each image, (n,), as an index into `classes`; -1 for one that it lacks."""
        found = relabel(self.origin.read("labels"), self.classes, classes)
        for row in self.relabelled:
            name = self.relabels[str(self.source[row])]
            found[row] = classes.index(name) if name in classes else -1
        return found

    @cached_property
    def relabelled(self) -> list[int]:
        """Rows of images whose label is wrong."""
        return [row for row, name in enumerate(self.source) if name in self.relabels] if self.relabels else []

    @cached_property
    def source(self) -> store.Array:
        """Where each image came from (n,), an addition's with its name in front."""
        names = self.origin.read("source")
        if self.name in (BASE, ""):
            return names
        return np.array([f"{self.name}:{name}" for name in names], dtype=np.dtypes.StringDType())

    def atoms(self, rows: Rows) -> NDArray[np.float32]:
        """Unit-norm atoms of any images (len(rows), N)."""
        if isinstance(self.origin.info, store.BaseInfo):
            return self.features(rows)
        return normalize(self.features(rows), self.source[rows])

    def features(self, rows: Rows) -> NDArray[np.float32]:
        """Features of any images as the dictionary sees them (len(rows), N); of the base, its atoms."""
        if isinstance(self.origin.info, store.BaseInfo):
            return self.origin.take("atoms", rows)
        return Seen(self.origin, self.transform).take(rows)

    @property
    def info(self) -> store.SegmentInfo:
        """What the provenance says of this segment."""
        return store.SegmentInfo(self.name, self.origin.fingerprint, len(self))


def parts_of(segments: Sequence[Segment], rows: Rows) -> Iterator[tuple[Segment, NDArray[np.bool_], Rows]]:
    """Of rows counted over all segments: each segment that has some, which those are, and its own count of them."""
    start = 0
    for segment in segments:
        here = (start <= rows) & (rows < start + len(segment))
        if here.any():
            yield segment, here, rows[here] - start
        start += len(segment)


@dataclass(frozen=True)
class Composition:
    """All segments in order, and which of their images are not to be used.

    Attributes:
        removals: image names, as the dictionary's `source` gives them.
        compact: whether removed images leave no tombstone.

    """

    segments: list[Segment]
    removals: Sequence[str] = ()
    compact: bool = False

    @cached_property
    def layout(self) -> Layout:
        """Which image is at which place."""
        unwanted = set(self.removals)
        gone = [row for row, name in enumerate(self.source) if name in unwanted] if unwanted else []
        return Layout(sum(map(len, self.segments)), np.array(gone, np.int64), self.compact)

    @property
    def unmatched(self) -> list[str]:
        """Removals and relabels that name no image, after the key that lists them."""
        relabels = self.segments[0].relabels
        known = set(self.source) if self.removals or relabels else set()
        lists = {"removals": self.removals, "relabels": list(relabels)}
        return [f"{key}: {name}" for key, names in lists.items() for name in names if name not in known]

    @cached_property
    def relabelled(self) -> tuple[store.RelabelInfo, ...]:
        """Rows over all segments with the class that they are of instead of their own."""
        starts = np.cumsum([0, *map(len, self.segments)])
        its = (
            (start + row, segment)
            for start, segment in zip(starts, self.segments, strict=False)
            for row in segment.relabelled
        )
        return tuple(store.RelabelInfo(int(row), segment.relabels[str(self.source[row])]) for row, segment in its)

    @cached_property
    def source(self) -> store.Array:
        """Where each image came from, over all segments."""
        return np.concatenate([segment.source for segment in self.segments])

    @cached_property
    def classes(self) -> list[str]:
        """Class names that the dictionary's labels index."""
        return merged(segment.classes for segment in self.segments)

    @cached_property
    def labels(self) -> Rows:
        """Class of each image over all segments."""
        return np.concatenate([segment.labels(self.classes) for segment in self.segments])

    @property
    def counts(self) -> Rows:
        """Exemplars of each class that are left, (n_classes,)."""
        layout = self.layout
        return np.bincount(self.labels[layout.images[~layout.tombstones]], minlength=len(self.classes))

    @property
    def transform(self) -> Transform | None:
        """Map of the base's features, which stays as it is while the dictionary grows."""
        return self.segments[0].transform

    @property
    def info(self) -> store.DictionaryInfo:
        """Provenance of a dictionary of this composition."""
        base = self.segments[0].origin
        return store.DictionaryInfo(
            inputs=store.fingerprints(base=base),
            segments=tuple(segment.info for segment in self.segments),
            removed=tuple(self.layout.removed.tolist()),
            compact=self.compact,
            classes=tuple(self.classes),
            extractor=base.info.extractor,
            transform=base.info.transform if isinstance(base.info, store.BaseInfo) else None,
            relabelled=self.relabelled or None,
        )

    def is_of(self, dictionary: store.Dictionary) -> bool:
        """Whether a dictionary consists of just this, whichever version made it."""
        return replace(self.info, dseld=dictionary.info.dseld) == dictionary.info

    def images(self, part: slice) -> Rows:
        """Image at each of some places, counted over all segments; -1 at a tombstone's."""
        return np.where(self.layout.tombstones[part], -1, self.layout.images[part])

    def block(self, name: str, part: slice) -> store.Array:
        """Make a block of the dictionary's labels, or of its source."""
        if name == "labels":
            return self.labels[self.layout.images[part]]
        images = self.images(part)
        return np.where(images < 0, np.array(REMOVED, dtype=np.dtypes.StringDType()), self.source[images])


def compose(base: store.Base, listed: Listed, features: Callable[[str], store.Features]) -> Composition:
    """Put together the dictionary that is listed; `features` opens those of an addition.

    Raises:
        UserError: if an addition is not there, is listed twice, or does not go with the base, or a relabel names a
            class that no image has.

    """
    transform, relabels = of(base), {one.image: one.class_ for one in listed.relabels}
    segments = [Segment(BASE, base, transform, relabels)]
    for name in listed.additions:
        found = features(name)
        require_same_extractor(found, base)
        twin = next((s.name for s in segments if s.origin.fingerprint == found.fingerprint), None)
        if twin:
            raise UserError(f"additions: {name} was added already, as {twin}: list it once")
        segments.append(Segment(name, found, transform, relabels))
    wanted = Composition(segments, listed.removals, listed.compact)
    if unknown := sorted(set(relabels.values()) - set(wanted.classes)):
        image = next(name for name, its in relabels.items() if its == unknown[0])
        known = ", ".join(wanted.classes[:10])
        raise UserError(
            f"relabels: {image} as {unknown[0]}, a class that no image has; known are {known}: take the line off "
            "params.yaml's relabels, or keep an addition that has the class"
        )
    return wanted


@dataclass(frozen=True)
class Layout:
    """Which image is at which place of the dictionary.

    Attributes:
        total: images of all segments.
        removed: which of them are not to be used, in order.
        compact: whether they leave no tombstone.

    """

    total: int
    removed: Rows
    compact: bool

    @cached_property
    def images(self) -> Rows:
        """Image at each place (M,)."""
        everything = np.arange(self.total)
        return np.delete(everything, self.removed) if self.compact else everything

    @cached_property
    def tombstones(self) -> NDArray[np.bool_]:
        """Whether a place is a tombstone's (M,)."""
        return np.isin(self.images, self.removed)

    @classmethod
    def of(cls, dictionary: store.Dictionary) -> Layout:
        """Layout of a dictionary that was committed."""
        info = dictionary.info
        total = sum(segment.images for segment in info.segments)
        return cls(total, np.array(info.removed, np.int64), info.compact)


def unchanged_blocks(old: store.Dictionary, wanted: Composition) -> list[int]:
    """Blocks of rows in which a dictionary of the wanted composition is what the old one is."""
    now, then = wanted.layout, Layout.of(old)
    common = in_common(old, wanted)

    def same(part: slice) -> bool:
        was = slice(part.start, part.start + store.spec.ROWS)  # not cut off where the new dictionary ends
        images = now.images[part]
        return bool(
            np.array_equal(images, then.images[was])
            and np.array_equal(now.tombstones[part], then.tombstones[was])
            and images.max() < common
        )

    return [i for i, part in enumerate(store.blocks(len(now.images))) if same(part)]


def other_labels(old: store.Dictionary, wanted: Composition) -> list[int]:
    """Blocks of rows in which labels of the older dictionary are corrected otherwise than in the wanted one."""
    changed = [one.row for one in set(old.info.relabelled or ()) ^ set(wanted.relabelled)]
    images = wanted.layout.images
    return [i for i, part in enumerate(store.blocks(len(images))) if np.isin(images[part], changed).any()]


def in_common(dictionary: store.Dictionary, wanted: Composition) -> int:
    """Count the images of the segments with which both a dictionary and a composition begin."""
    images = 0
    for old, new in zip(dictionary.info.segments, wanted.segments, strict=False):
        if old != new.info:
            break
        images += len(new)
    return images
