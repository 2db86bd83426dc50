"""`dseld timing`: what each image takes on this machine, part by part (paper, Table 5)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dseld_cli import store
from dseld_cli.backbones.base import GIVEN, restored
from dseld_cli.config.recurrence import lca_params, means
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import Given, predict
from dseld_cli.decoders.registry import decoder
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.dictionary.codes import read_codes
from dseld_cli.dictionary.encoding import encoder_over
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import UserError
from dseld_cli.images.splits import images_of
from dseld_cli.runtime.console import say, say_json, table, track
from dseld_cli.store import project as paths

REPEATS = 5
"""Batches that are timed, after one that is not; the median counts."""
DECODER = "class-sum"

Part = Callable[[slice], object]


def run(params: Params, batches: Sequence[int] | None, as_json: bool) -> None:
    """Time extraction, encoding and decoding of test images in batches of several sizes; by default 1 and 50.

    Raises:
        UserError: if a store is missing, or there are fewer images than a batch.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of("test")
    require_same_extractor(features, dictionary)
    stored = store.codes_of("test")
    store.require_input(stored, "dictionary", dictionary)
    n = stored.shape("rows")[0]
    batches = batches or [1, min(50, n)]
    if bad := [size for size in batches if not 1 <= size <= n]:
        raise UserError(f"--batch {bad[0]}: should be from 1 to the {n} test images that are coded")
    parts: dict[str, Part] = {
        "encoding": _encoding(params, dictionary, features),
        "decoding": _decoding(dictionary, stored),
    }
    if dictionary.info.extractor["weights"] != GIVEN:
        parts = {"extraction": _extraction(params, dictionary)} | parts
    rows = []
    for size in track(batches, len(batches), "batch sizes"):
        taken = {name: milliseconds(part, size, n) for name, part in parts.items()}
        rows.append({"batch": float(size), **taken, "total": sum(taken.values())})
    if as_json:
        say_json(rows)
    else:
        _show(rows, dictionary, params)


def milliseconds(part: Part, size: int, n: int) -> float:
    """Time per image in batches of a size out of n images: median of REPEATS, after one to warm up."""
    taken = []
    for repeat in range(REPEATS + 1):
        start = repeat * size % (n - size + 1)
        begun = time.perf_counter()
        part(slice(start, start + size))
        taken.append(1000 * (time.perf_counter() - begun) / size)
    return statistics.median(taken[1:])


def _extraction(params: Params, dictionary: store.Dictionary) -> Part:
    """From the image on disk to its features."""
    extractor = restored(dictionary.info.extractor, params.extract.weights, params.run.device)
    images = images_of(params.data.dataset, Path(params.data.root), "test", params.extract)
    return lambda part: extractor.features(
        [extractor.prepare(images.open(images.raw(i))) for i in range(part.start, part.stop)]
    )


def _encoding(params: Params, dictionary: store.Dictionary, features: store.Features) -> Part:
    seen = Seen.by(dictionary, features)
    encoder = encoder_over(dictionary, lca_params(params.lca), means(params), features.shape("features")[0])
    return lambda part: encoder.encode(seen.rows(part))


def _decoding(dictionary: store.Dictionary, stored: store.Codes) -> Part:
    codes, read = read_codes(stored), decoder(DECODER)
    given = Given(dictionary.read("labels"), len(dictionary.info.classes))
    return lambda part: predict(read.scores(codes[part], given))


def _show(rows: list[dict[str, float]], dictionary: store.Dictionary, params: Params) -> None:
    m, n = dictionary.shape("atoms")
    backbone = dictionary.info.extractor["backbone"]
    say(f"{m} exemplars of {n} features ({backbone}), {params.lca.steps} steps, {params.run.device}, {DECODER}")
    names = [name for name in rows[0] if name != "batch"]
    shown = ([f"{row['batch']:.0f}", *(f"{row[name]:.3f}" for name in names)] for row in rows)
    table("Milliseconds per image", ["batch", *names], shown)
