"""Images in the order in which they represent their class: what a small dictionary is drawn from.

An image of a class is represented as well as its cosine with the nearest exemplar chosen of that class says. Each next
exemplar is the one that raises the sum of that over the class most (facility location, for a nearest-neighbour
classifier the exemplars of the highest likelihood: Wei, Iyer, Bilmes 2015). The sum is submodular: any prefix of the
order is within 1 - 1/e of the best choice of its size (Nemhauser et al. 1978), and what a candidate would have gained
earlier bounds what it gains now, so that few have to be looked at again (Minoux 1978).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dseld_cli.runtime.progress import Track, quiet

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

GROUP = 8192
"""Images of a class that are compared with each other, at most: 256 MiB of cosines. Larger classes are cut up."""


def by_gain(similar: Float32) -> Int64:
    """Order n images, (n,), by what each adds to those before it, from how similar each two are (n, n), at least 0."""
    served = np.zeros(len(similar), np.float32)
    gains = similar.sum(axis=1, dtype=np.float64)
    queue = [(-gain, image, 0) for image, gain in enumerate(gains.tolist())]
    heapq.heapify(queue)
    order: list[int] = []
    while queue:
        _, image, looked_at = heapq.heappop(queue)
        if looked_at < len(order):
            gain = float(np.maximum(similar[image] - served, 0).sum(dtype=np.float64))
            heapq.heappush(queue, (-gain, image, len(order)))
        else:
            order.append(image)
            np.maximum(served, similar[image], out=served)
    return np.array(order, np.int64)


def representative(
    unit: Callable[[Int64], Float32], labels: Int64, seed: int, at_a_time: int, track: Track = quiet
) -> Int64:
    """Order images of classes `labels` (n,): round the classes, in each by what an image adds; (n,).

    Any prefix is as balanced as the sizes of the classes allow.

    Args:
        unit: reads unit-norm features (m, N) of any m images, in rising order.
        labels: class of each image (n,).
        seed: of the order within a round, and of how a large class is cut.
        at_a_time: images whose features are in memory at a time, about.
        track: shows progress.

    """
    rng = np.random.default_rng(seed)
    groups = list(_groups(labels, rng))
    turn = np.empty(len(labels), np.int64)
    for group, features in track(_with_features(groups, unit, at_a_time), len(groups), "ordering classes"):
        cosines = features @ features.T
        order = by_gain(np.maximum(cosines, 0, out=cosines))  # an opposite serves no worse than nothing
        turn[group.images[order]] = group.first + group.step * np.arange(len(order))
    return np.lexsort((rng.random(len(labels)), turn))


@dataclass(frozen=True)
class Group:
    """Images of a class, rising, ordered together; theirs is every `step`-th turn of the class, from `first`."""

    images: Int64
    first: int
    step: int


def _groups(labels: Int64, rng: np.random.Generator) -> Iterator[Group]:
    for c in np.unique(labels):
        images = rng.permutation(np.flatnonzero(labels == c))
        parts = np.array_split(images, -(-len(images) // GROUP))
        yield from (Group(np.sort(part), i, len(parts)) for i, part in enumerate(parts))


def _with_features(
    groups: Sequence[Group], unit: Callable[[Int64], Float32], at_a_time: int
) -> Iterator[tuple[Group, Float32]]:
    """Read features for several groups at a time: one pass over those on disk serves many small classes."""
    ends = np.cumsum([len(group.images) for group in groups])
    for _, some in groupby(zip(groups, ends, strict=True), key=lambda item: int(item[1] - 1) // at_a_time):
        together = [group for group, _ in some]
        rows = np.sort(np.concatenate([group.images for group in together]))
        features = unit(rows)
        yield from ((group, features[np.searchsorted(rows, group.images)]) for group in together)
