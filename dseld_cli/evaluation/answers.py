"""What a decoder answers about many images: shares of the classes, and the likeness to any; coded here or read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.codes import batches, read_codes
from dseld_cli.dictionary.transform import Seen
from dseld_cli.evaluation.calibration import likeness
from dseld_cli.evaluation.decoding import Reader
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder
from dseld_cli.runtime.progress import Track, quiet

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

ENTRIES = 2**22
"""Entries of codes that are read at a time."""


@dataclass(frozen=True)
class Answers:
    """About n images.

    Attributes:
        shares: of the classes (n, C).
        likeness: how well one class alone explains each image (n,).

    """

    shares: Float32
    likeness: Float32

    def take(self, some: NDArray[np.bool_]) -> Answers:
        """About some of them."""
        return Answers(self.shares[some], self.likeness[some])


def coded(reader: Reader, encoder: Encoder, seen: Seen, rows: Int64, what: str, track: Track = quiet) -> Answers:
    """Code images and read their codes.

    Raises:
        Diverged: naming images whose recurrence does.

    """

    def parts() -> Iterator[tuple[SparseCodes, Float32]]:
        cuts = list(store.blocks(len(rows), encoder.batch))
        names = seen.features.read("source")
        for cut in track(cuts, len(cuts), what):
            features = seen.take(rows[cut])
            result = encoder.encode(features)
            encoder.require_stable(result, features, names[rows[cut]].tolist())
            yield result.codes, features

    return _answers(reader, parts())


def read_back(reader: Reader, codes: store.Codes, seen: Seen, what: str, track: Track = quiet) -> Answers:
    """Read codes that are stored."""

    def parts() -> Iterator[tuple[SparseCodes, Float32]]:
        rows, cuts = codes.read("rows"), list(batches(codes.read("indptr"), ENTRIES))
        for cut in track(cuts, len(cuts), what):
            yield read_codes(codes, cut), seen.take(rows[cut])

    return _answers(reader, parts())


def answered(reader: Reader, codes: SparseCodes, features: Float32) -> Answers:
    """Read codes of images whose features (n, N), as the dictionary sees them, are at hand."""
    given = reader.given(lambda: features)
    return Answers(reader.shares(codes, lambda: features), likeness(codes, given))


def _answers(reader: Reader, parts: Iterable[tuple[SparseCodes, Float32]]) -> Answers:
    found = [answered(reader, codes, features) for codes, features in parts]
    return Answers(np.concatenate([one.shares for one in found]), np.concatenate([one.likeness for one in found]))
