"""`dseld encode`: features to K-step LCA codes over the current dictionary, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.recurrence import lca_params, means
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.agreement import other_dictionary
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.dictionary.coding import Block, Coding, coded, prepared
from dseld_cli.dictionary.encoding import fixed_batch, stored_gramian
from dseld_cli.dictionary.inputs import Input
from dseld_cli.dictionary.leave_one_out import training_images
from dseld_cli.errors import Diverged
from dseld_cli.images.sampling import drawn
from dseld_cli.lca.codes import indptr_of
from dseld_cli.lca.encoder import Encoder
from dseld_cli.runtime.cluster import Engine, engine
from dseld_cli.runtime.console import say, track, warn
from dseld_cli.store import project as paths

SAMPLE = 64
"""First images, which tell how lambda compares with the driving input."""

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]


def run(params: Params, split: str = "test") -> None:
    """Code the images of a split.

    Raises:
        UserError: if the stores do not belong together, memory is too small, the recurrence diverges, or another
            process codes this split.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    if said := other_dictionary(dictionary, params, paths.BASE):
        warn(said)
    features = store.features_of(split)
    require_same_extractor(features, dictionary)
    with store.locked(paths.codes(split)):
        _code(params, split, features, dictionary)


def skip(split: str) -> None:
    """Code nothing, and leave an empty folder where there is no store: a stage's output has to be there."""
    paths.codes(split).mkdir(parents=True, exist_ok=True)
    say("params.yaml lists no trained decoders: there are no training images to code")


def _code(params: Params, split: str, features: store.Features, dictionary: store.Dictionary) -> None:
    rows, excluded = _images(params, split, features, dictionary)
    gramian = stored_gramian(dictionary, paths.GRAMIAN, lca_params(params.lca), means(params), len(rows))
    inputs = store.fingerprints(features=features, dictionary=dictionary)
    inputs |= store.fingerprints(gramian=gramian) if gramian else {}
    with engine(params.run.engine, params.run.scheduler, params.run.memory) as does:
        coding = Coding(
            Input.of(dictionary, does),
            Input.of(features, does),
            Input.of(gramian, does) if gramian else None,
            lca_params(params.lca),
            means(params),
            len(rows),
            min(fixed_batch(dictionary, params.lca.steps), max(1, len(rows))),
            params.encode.energy,
        )
        try:
            seen, encoder = prepared(coding)
            _report_batch(encoder.batch, coding.batch, params.run.memory)
            _report_threshold(seen.take(rows[:SAMPLE]), encoder, excluded)
            info = _info(params, split, dictionary, encoder, inputs)
            with store.Draft(paths.codes(split), info) as draft:
                _encode(draft, does, coding, rows, excluded, encoder.batch)
                _finish(draft, rows)
        finally:
            prepared.cache_clear()
    _summarise(store.codes_of(split))


def _images(
    params: Params, split: str, features: store.Features, dictionary: store.Dictionary
) -> tuple[Int64, list[Int64] | None]:
    """Rows of the images to code; for the train split, on whose codes decoders are trained, their own atoms as well."""
    wanted = params.train_decoder
    if split == "train":
        return training_images(features, dictionary, wanted.codes, wanted.images, wanted.seed, params.removals)
    return drawn(features.shape("features")[0], params.encode.images, params.encode.seed), None


def _info(
    params: Params, split: str, dictionary: store.Dictionary, encoder: Encoder, inputs: dict[str, str]
) -> store.CodesInfo:
    draw = params.train_decoder if split == "train" else params.encode
    return store.CodesInfo(
        inputs=inputs,
        split=split,
        images=draw.images,
        seed=draw.seed,
        codes=params.train_decoder.codes if split == "train" else None,
        lambda_=params.lca.lambda_,
        tau=params.lca.tau,
        steps=params.lca.steps,
        batch=encoder.batch,
        method=params.encode.method,
        inhibition="gramian" if encoder.gramian else "atoms",
        energy=params.encode.energy,
        atoms=dictionary.shape("atoms")[0],
        classes=dictionary.info.classes,
    )


def _report_batch(batch: int, wanted: int, memory: int) -> None:
    """Warn that a small budget makes a store of its own."""
    if batch < wanted:
        warn(
            f"run.memory: {memory / 2**30:.1f}GiB holds {batch} images at a time, not {wanted}: codes are the same but "
            "for the last bits of images that are not proved, and the store has another fingerprint than elsewhere"
        )


def _report_threshold(features: Float32, encoder: Encoder, excluded: Sequence[Int64] | None) -> None:
    """Say where lambda lies below the strongest driving input: the first thing to look at when codes are empty."""
    strongest = np.zeros(len(features), np.float32)
    for part, block in encoder.atoms.blocks():
        b = features @ block.T
        for row, own in zip(b, excluded or (), strict=False):
            row[own[(own >= part.start) & (own < part.stop)] - part.start] = 0
        strongest = np.maximum(strongest, np.abs(b).max(axis=1))
    lambda_ = encoder.params.lambda_
    share = lambda_ / max(float(np.median(strongest)), 1e-30)
    so_much = f"{100 * share:.0f} % of" if share < 10 else f"{share:.3g} times"
    line = f"lambda {lambda_:g} is {so_much} the strongest driving input (median image)"
    line += ": none of its neurons fires" if share >= 1 else ""
    (warn if share >= 1 else say)(line)


def _encode(
    draft: store.Draft[store.CodesInfo],
    does: Engine,
    coding: Coding,
    rows: Int64,
    excluded: Sequence[Int64] | None,
    batch: int,
) -> None:
    """Keep the codes of each batch that has none yet as a part of its own."""
    folder = does.place(draft.parts_folder, draft.parts_url)
    parts = list(store.blocks(len(rows), batch))
    missing = [number for number in range(len(parts)) if not draft.has_kept(number)]

    def block(number: int) -> Block:
        mine = list(excluded[parts[number]]) if excluded is not None else None
        return Block(coding, number, rows[parts[number]], mine, folder)

    try:
        with closing(does.as_done(coded, map(block, missing))) as done:
            for its, codes in track(done, len(parts), "encoding batches", len(parts) - len(missing)):
                draft.adopt(its.number, codes)
    except Diverged:
        draft.discard()
        raise


def _finish(draft: store.Draft[store.CodesInfo], rows: Int64) -> None:
    """Join the parts into the store's arrays, piece by piece, and commit."""
    draft.put("indptr", indptr_of(np.concatenate([np.diff(part["indptr"]) for part in draft.parts("indptr")])))
    for name in next(draft.parts()):
        if name != "indptr":
            draft.join(name)
    draft.put("rows", rows)
    draft.commit()


def _summarise(codes: store.Codes) -> None:
    n, values, n_atoms = codes.shape("rows")[0], codes.shape("values")[0], codes.info.atoms
    say(f"{codes.path}: {n} images over {n_atoms} atoms, {100 * values / (n * n_atoms):.2f} % of the neurons in a code")
    proved, products = int(codes.read("proved").sum(dtype=np.int64)), float(codes.read("products").mean())
    looked_up = ", inner products from the Gramian" if codes.info.inhibition == "gramian" else ""
    say(
        f"{proved} images by working sets, {n - proved} by all neurons; {products:.1f} passes over the atoms per image"
        f"{looked_up}"
    )
