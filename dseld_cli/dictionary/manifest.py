"""What the dictionary in force consists of: the base, then each addition, less what was removed.

Every block of atoms is a function of this composition. So the stage that writes them takes over those blocks of the
older dictionary in which nothing differs, and a dictionary that grew equals one made at once, to the last bit.

A removed exemplar leaves a gap: an atom of zeros, which no input drives and nothing inhibits, so that it never fires;
no other atom changes place. `compact` closes the gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import normalize, relabel

REMOVED = "(removed)"
"""What the dictionary's `source` says in a gap."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """The base, or one addition: n images whose unit-norm features are atoms.

    Attributes:
        name: "base", or the addition as params.yaml lists it.
        origin: base dictionary, or the addition's features.

    """

    name: str
    origin: store.Store

    def __len__(self) -> int:
        return self.origin.shape("labels")[0]

    @property
    def classes(self) -> list[str]:
        """Class names that this segment's labels index."""
        return list(self.origin.provenance["classes"])

    @cached_property
    def source(self) -> store.Array:
        """Where each image came from (n,), an addition's with its name in front."""
        names = self.origin.read("source")
        if self.name == "base":
            return names
        return np.array([f"{self.name}:{name}" for name in names], dtype=np.dtypes.StringDType())

    def atoms(self, rows: Rows) -> NDArray[np.float32]:
        """Unit-norm atoms of any images (len(rows), N)."""
        if self.name == "base":
            return self.origin.take("atoms", rows)
        return normalize(self.origin.take("features", rows), self.source[rows])

    def described(self) -> dict[str, Any]:
        """Describe this segment, for provenance."""
        return {"name": self.name, "fingerprint": self.origin.fingerprint, "images": len(self)}


@dataclass(frozen=True)
class Composition:
    """All segments in order, and which of their images are not to be used.

    Attributes:
        removals: image names, as the dictionary's `source` gives them.
        compact: whether removed images leave no gap.

    """

    segments: Sequence[Segment]
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
        """Removals that name no image."""
        known = set(self.source) if self.removals else set()
        return [name for name in self.removals if name not in known]

    @cached_property
    def source(self) -> store.Array:
        """Where each image came from, over all segments."""
        return np.concatenate([segment.source for segment in self.segments])

    @cached_property
    def classes(self) -> list[str]:
        """Class names: the base's keep their places, new ones follow in order of appearance."""
        return list(dict.fromkeys(name for segment in self.segments for name in segment.classes))

    @cached_property
    def labels(self) -> Rows:
        """Class of each image over all segments."""
        return np.concatenate([relabel(s.origin.read("labels"), s.classes, self.classes) for s in self.segments])

    def described(self) -> dict[str, Any]:
        """Provenance of a dictionary of this composition."""
        return {
            "segments": [segment.described() for segment in self.segments],
            "removed": self.layout.removed.tolist(),
            "compact": self.compact,
            "classes": self.classes,
            "extractor": self.segments[0].origin.provenance["extractor"],
        }

    def block(self, name: str, part: slice) -> store.Array:
        """Make a block of one of the dictionary's arrays."""
        images, gap = self.layout.images[part], self.layout.gap[part]
        if name == "labels":
            return self.labels[images]
        if name == "source":
            return np.where(gap, np.array(REMOVED, dtype=np.dtypes.StringDType()), self.source[images])
        return self._atoms(images, gap)

    def _atoms(self, images: Rows, gap: NDArray[np.bool_]) -> NDArray[np.float32]:
        base = self.segments[0].origin
        atoms, start = np.zeros((len(images), base.shape("atoms")[1]), np.float32), 0
        for segment in self.segments:
            here = (start <= images) & (images < start + len(segment)) & ~gap
            if here.any():
                atoms[here] = segment.atoms(images[here] - start)
            start += len(segment)
        return atoms


@dataclass(frozen=True)
class Layout:
    """Which image is at which place of the dictionary.

    Attributes:
        total: images of all segments.
        removed: which of them are not to be used, in order.
        compact: whether they leave no gap.

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
    def gap(self) -> NDArray[np.bool_]:
        """Whether a place is a gap (M,)."""
        return np.isin(self.images, self.removed)

    @classmethod
    def of(cls, dictionary: store.Store) -> Layout:
        """Layout of a dictionary that was committed."""
        facts = dictionary.provenance
        total = sum(segment["images"] for segment in facts["segments"])
        return cls(total, np.array(facts["removed"], np.int64), facts["compact"])


def unchanged_blocks(old: store.Store, wanted: Composition) -> list[int]:
    """Blocks of rows in which a dictionary of the wanted composition is what the old one is."""
    now, then = wanted.layout, Layout.of(old)
    common = _common(old.provenance["segments"], [segment.described() for segment in wanted.segments])

    def same(part: slice) -> bool:
        was = slice(part.start, part.start + store.ROWS)  # not cut off where the new dictionary ends
        images = now.images[part]
        return bool(
            np.array_equal(images, then.images[was])
            and np.array_equal(now.gap[part], then.gap[was])
            and images.max() < common
        )

    return [i for i, part in enumerate(store.blocks(len(now.images))) if same(part)]


def _common(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> int:
    """Count the images of the segments with which both begin."""
    images = 0
    for old, new in zip(then, now, strict=False):
        if old != new:
            break
        images += old["images"]
    return images
