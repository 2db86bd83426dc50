"""What the arrays of a store are: their shape, chunks and type, what they mean, and what their values may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from dseld_cli.store import chunks
from dseld_cli.store.chunks import Array, Key, numpy_dtype

FORMAT = 3
READABLE = (2, FORMAT)
"""Of format 2, digests are of SHA-256; what is written is of the newest."""
ROWS = 2048
"""Rows in a chunk of anything that has a row per image or atom, and the side of the Gramian's tiles."""
CHUNK = 2**25
"""Bytes of a chunk by rows, at most, but for a single row that takes more."""
MADE_BY = MappingProxyType(
    {
        "features": "dseld extract",
        "base": "dseld build-dict",
        "dictionary": "dseld add-exemplars",
        "gramian": "dseld gramian",
        "codes": "dseld encode",
        "predictions": "dseld decode",
        "network": "dseld train-decoder",
        "baseline": "dseld baselines",
        "calibration": "dseld calibrate",
    }
)
BY_HAND = ("calibration",)
"""Kinds that no stage of dvc.yaml makes."""
MENDED = ("dictionary", "gramian")
"""Kinds whose command replaces damaged chunks alone."""


GROWING = {"dictionary": ("atoms", "labels", "source")}
"""Arrays by kind that grow, in chunks of a size that does not depend on theirs."""


@dataclass(frozen=True)
class Spec:
    """What an array of a store is: its shape, its chunks, its type ("str" for text).

    Attributes:
        lower: of a square array, whether only chunks on and below the diagonal are there.

    """

    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    lower: bool = False

    @classmethod
    def rows(cls, dtype: str, *shape: int, grows: bool = False) -> Spec:
        """Chunked by rows: (n,) or (n, N); of an array that does not grow, no chunk is larger than it need be."""
        sides = [max(1, side) for side in shape[1:]]
        row = int(np.prod([numpy_dtype(dtype).itemsize, *sides], dtype=object))
        most = ROWS if grows else min(ROWS, max(1, shape[0]), max(1, CHUNK // row))
        return cls(shape, dtype, (most, *sides))

    @classmethod
    def tiles(cls, dtype: str, n: int) -> Spec:
        """Lower half of a symmetric array (n, n), in square tiles."""
        return cls((n, n), dtype, (ROWS, ROWS), lower=True)

    @classmethod
    def of(cls, kind: str, name: str, dtype: str, shape: Sequence[int]) -> Spec:
        """As the array of that name is chunked in a store of a kind."""
        if kind == "gramian":
            return cls.tiles(dtype, shape[0])
        return cls.rows(dtype, *shape, grows=name in GROWING.get(kind, ()))

    @property
    def keys(self) -> list[Key]:
        """Chunks that the array consists of."""
        return [key for key in chunks.grid(self.shape, self.chunks) if not self.lower or key[0] >= key[1]]

    @property
    def n_keys(self) -> int:
        """Count them, without listing them."""
        sides = [-(-n // side) for n, side in zip(self.shape, self.chunks, strict=True)]
        return sides[0] * (sides[0] + 1) // 2 if self.lower else int(np.prod(sides, dtype=object))

    @property
    def nbytes(self) -> int:
        """Bytes of its values in memory; of texts, of what leads to them."""
        return int(np.prod([numpy_dtype(self.dtype).itemsize, *self.shape], dtype=object))


def blocks(n: int, size: int | None = None) -> Iterator[slice]:
    """Cut range(n) into consecutive slices of `size` (a chunk's rows), the last one ragged."""
    size = size or ROWS
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@dataclass(frozen=True)
class Meaning:
    """What an array holds, for whoever opens a store, and what is refused as senseless.

    Attributes:
        text: what a value is.
        words: what each dimension counts; "+1" means one more than the word's number.
        kind: NumPy's letter for the type: f, i, or s for text.
        unit: what the values are in.
        low: least value that makes sense.
        below: word whose number all values are below; None: no such bound.
        optional: whether the array may be missing.

    """

    text: str
    words: tuple[str, ...]
    kind: str = "f"
    unit: str = "1"
    low: int = 0
    below: str | None = None
    optional: bool = False

    def sense(self, content: Array, sizes: Mapping[str, int]) -> str | None:
        """Say what makes no sense in some of the values; None if they do."""
        if not content.size or self.kind == "s":
            return None
        if self.kind == "f":
            return None if np.isfinite(content).all() else "has values that are not finite"
        least, most, end = int(content.min()), int(content.max()), sizes.get(self.below or "")
        if least < self.low:
            return f"has the value {least}, at least {self.low} makes sense"
        if end is not None and most >= end:
            return f"has the value {most}, but there are {end} of {self.below}"
        return None


_FEATURES = Meaning("features of each image, as the backbone gives them", ("image", "feature"))
_ATOMS = Meaning("exemplars as rows of unit L2 norm; a removed one is a row of zeros", ("atom", "feature"))
_MEAN = Meaning("mean of the base's features, which is taken from all", ("feature",), optional=True)
_MATRIX = Meaning("what features are multiplied with then, symmetric", ("feature", "feature"), optional=True)
_SCORES = Meaning("share of each class", ("image", "class"))
_PREDICTED = Meaning("predicted class, an index into classes; -1: undecided", ("image",), "i", low=-1, below="class")


def _labels(of: str) -> Meaning:
    return Meaning(f"class of each {of}, an index into the provenance's classes", (of,), "i", below="class")


def _source(of: str) -> Meaning:
    return Meaning(f"where each {of} came from", (of,), "s")


_DICTIONARY = {
    "atoms": _ATOMS,
    "labels": _labels("atom"),
    "source": _source("atom"),
    "mean": _MEAN,
    "matrix": _MATRIX,
}
MEANINGS: Mapping[str, Mapping[str, Meaning]] = MappingProxyType(
    {
        "features": {"features": _FEATURES, "labels": _labels("image"), "source": _source("image")},
        "base": _DICTIONARY,
        "dictionary": _DICTIONARY,
        "gramian": {"gramian": Meaning("inner products of atoms, on and below the diagonal", ("atom", "atom"))},
        "codes": {
            "indptr": Meaning(
                "where each image's entries begin in indices and values", ("image+1",), "i", below="entry+1"
            ),
            "indices": Meaning("atom that each entry belongs to", ("entry",), "i", below="atom"),
            "values": Meaning("activation, thresholded after the last step", ("entry",), unit="||S||"),
            "firing": Meaning("neurons firing at each step", ("image", "step"), "i", "neurons", below="atom+1"),
            "fired": Meaning(
                "neurons that fired at any step", ("image",), "i", "neurons", below="atom+1", optional=True
            ),
            "energy": Meaning("E(a[k]) - E(0), zero at k = 0", ("image", "step+1"), unit="||S||^2", optional=True),
            "products": Meaning("passes over the atoms that each image took", ("image",), unit="passes", optional=True),
            "proved": Meaning(
                "1: a certificate proves the working set; 0: computed directly", ("image",), "i", optional=True
            ),
            "rows": Meaning("row of each image in the features of its split", ("image",), "i"),
        },
        "predictions": {"labels": _PREDICTED, "scores": _SCORES},
        "baseline": {"labels": _PREDICTED, "scores": _SCORES},
        "network": {
            "weights": Meaning("weight of each atom's activation for each class", ("atom", "class"), optional=True),
            "bias": Meaning("bias of each class", ("class",), optional=True),
        },
        "calibration": {
            "nonconformity": Meaning("1 less the share of the true class, sorted", ("image",)),
            "likeness": Meaning("cosine with what the best class makes of the image, sorted", ("image",)),
        },
    }
)


OPEN = ("network",)
"""Kinds that may have other arrays as well: decoders that are plug-ins learn what they like."""


def named_plainly(names: Iterable[str]) -> list[str]:
    """Names of arrays, none of which leads out of its store.

    Raises:
        ValueError: naming one that does.

    """
    found = list(names)
    if astray := [name for name in found if name in ("", ".", "..") or set(name) & set("/\\\0")]:
        raise ValueError(f"{astray[0][:80]!r} cannot be the name of an array")
    return found


def sizes_of(kind: str, shapes: Mapping[str, tuple[int, ...]], known: Mapping[str, int]) -> dict[str, int]:
    """Read from the shapes of a store's arrays how many of each word there are (images, atoms, ...), and one more.

    Args:
        kind: of the store.
        shapes: of its arrays.
        known: numbers that its provenance has.

    Raises:
        ValueError: if an array is missing, unknown or has other dimensions, or two disagree about a number.

    """
    meanings, found = MEANINGS[kind], dict(known)
    if missing := [name for name in meanings if name not in shapes and not meanings[name].optional]:
        raise ValueError(f"array {missing[0]} is missing")
    for name, shape in shapes.items():
        words = meanings[name].words if name in meanings else ()
        if kind in OPEN and len(shape) != len(words):  # a decoder's own, whatever it calls it
            continue
        if len(shape) != len(words) or not words or min(shape) < 0:
            raise ValueError(f"array {name} {list(shape)} is none of a {kind} store")
        for word, n in zip(words, shape, strict=True):
            number = n - word.endswith("+1")
            if found.setdefault(word.removesuffix("+1"), number) != number:
                raise ValueError(f"array {name} {list(shape)} does not go with the others: dimension {word}")
    return found | {f"{word}+1": n + 1 for word, n in found.items()}
