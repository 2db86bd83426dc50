"""What a deployment is made of: a dictionary within the memory budget, and images to try it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.decoders.base import Decoder
from dseld_cli.dictionary.checks import require_same_extractor, require_unit_norm
from dseld_cli.dictionary.manifest import Layout
from dseld_cli.dictionary.representative import representative
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.evaluation.deployment import BATCH, Deployment
from dseld_cli.evaluation.trial import Exemplars, Sample, drawn_sample
from dseld_cli.images.sampling import drawn
from dseld_cli.lca.encoder import memory_needed
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.progress import Track
from dseld_cli.store import project as paths

Int64 = NDArray[np.int64]

DOUBLES = 10
"""Arrays of float64 numbers, one per neuron and image, that a step keeps at a time."""


def deployed(
    dictionary: store.Dictionary,
    params: LCAParams,
    decoders: Mapping[str, Decoder],
    memory: int,
    atoms: int | None,
    weight_bits: int,
    track: Track,
) -> Deployment:
    """Read a dictionary: so many atoms that represent their classes best, in their order; None: all. No tombstones.

    Raises:
        UserError: if there are not so many, fewer than classes are wanted, or memory does not hold them.

    """
    there, n = np.flatnonzero(~Layout.of(dictionary).tombstones), dictionary.shape("atoms")[1]
    if atoms is not None and atoms > len(there):
        raise UserError(f"--atoms {atoms}: the dictionary has {len(there)}")
    classes = len(np.unique(dictionary.read("labels")[there]))
    if atoms is not None and atoms < classes:
        raise UserError(f"--atoms {atoms}: the dictionary has exemplars of {classes} classes, each of which needs one")
    m = atoms or len(there)
    held, image = (4 + 3 * 8) * m * n + memory_needed("working-set", BATCH, m, n, params.steps), 8 * DOUBLES * (m + n)
    spare = arrays_within(memory, held + image, f"{m} atoms of {n} features as floats and integers") - held
    if one_layer := spare > 2 * m * m + BATCH * image:
        spare -= 2 * m * m
    if gramian := spare > 4 * m * m + BATCH * image:
        spare -= 4 * m * m
    batch = max(1, min(BATCH, spare // image))
    kept = _best(dictionary, there, atoms, memory, track)
    exemplars = Exemplars(dictionary.take("atoms", kept), dictionary.read("labels")[kept], len(dictionary.info.classes))
    require_unit_norm(exemplars.atoms, dictionary)
    return Deployment(exemplars, params, decoders, weight_bits, batch, one_layer, gramian, track)


def sample(
    dictionary: store.Dictionary, split: str, images: int | Literal["all"], seed: int, at_most: int | None = None
) -> Sample:
    """Draw images of a split, as the dictionary sees them; no more than so many, even of all.

    Raises:
        UserError: if there are none.

    """
    if not store.present(paths.features(split)):
        raise StoreMissing(
            f"no features of the {split} split: scales and spikes are chosen on val, and reported on test; add val to "
            "extract.splits in params.yaml, run `dseld extract` and `dseld build-dict`"
        )
    features = store.features_of(split)
    require_same_extractor(features, dictionary)
    there = features.shape("features")[0]
    rows = drawn(there, images, seed)
    if at_most and len(rows) > at_most:
        rows = drawn(there, at_most, seed)
    return drawn_sample(dictionary, features, rows)


def _best(dictionary: store.Dictionary, there: Int64, wanted: int | None, memory: int, track: Track) -> Int64:
    """Find the atoms among those that are there of which so many represent their classes best, rising."""
    if wanted is None:
        return there
    most = max(store.spec.ROWS, memory // 4 // (4 * dictionary.shape("atoms")[1]))
    labels = dictionary.read("labels")[there]
    order = representative(lambda rows: dictionary.take("atoms", there[rows]), labels, 0, most, track)
    return np.sort(there[order][:wanted])
