"""`dseld build-dict`: training features to the base dictionary, in shuffled order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli import paths, store
from dseld_cli.console import say
from dseld_cli.dictionary import normalize
from dseld_cli.errors import UserError
from dseld_cli.params import Params


def run(params: Params) -> None:
    """Draw training images, normalise their features and keep them as the base dictionary.

    Raises:
        UserError: if there are fewer images than atoms asked for, or fewer atoms than classes.

    """
    features = store.open_store(paths.features("train"), "features")
    n, n_features = features.shape("features")
    chosen = choose(n, params.build_dict.size, params.build_dict.seed)
    classes = features.provenance["classes"]
    if len(chosen) < len(classes):
        raise UserError(f"build_dict.size: {len(chosen)} atoms cannot cover {len(classes)} classes; ask for more")
    facts = {"classes": classes, "extractor": features.provenance["extractor"]}
    facts |= {"size": params.build_dict.size, "seed": params.build_dict.seed}
    specs = {"atoms": store.Spec.rows("float32", len(chosen), n_features)}
    draft = store.Draft(paths.BASE, "base", store.provenance({"features": features}, **facts), specs)
    source, labels = features.read("source")[chosen], features.read("labels")[chosen]
    panel = max(store.ROWS, params.run.memory // 4 // (4 * n_features) // store.ROWS * store.ROWS)
    for part in store.blocks(len(chosen), panel):
        draft["atoms"][part] = normalize(gather(features, chosen[part]), source[part])
    draft.put("labels", labels)
    draft.put("source", source)
    draft.commit()
    counts = np.bincount(labels, minlength=len(classes))
    say(
        f"{paths.BASE}: {len(chosen)} atoms of {n_features} features, "
        f"{counts.min()} to {counts.max()} in each of {len(classes)} classes"
    )


def choose(n_images: int, size: int | str, seed: int) -> NDArray[np.int64]:
    """Rows of the images that become atoms, (M,), shuffled: any prefix is itself a random draw.

    Raises:
        UserError: if there are not so many images.

    """
    wanted = n_images if size == "all" else int(size)
    if wanted > n_images:
        raise UserError(f"build_dict.size: {wanted} atoms asked for, but there are {n_images} training images")
    return np.random.default_rng(seed).permutation(n_images)[:wanted]


def gather(features: store.Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features of any rows in any order, (len(rows), N), in one pass over the store."""
    found = np.empty((len(rows), features.shape("features")[1]), np.float32)
    for part, block in features.stream("features"):
        here = (part.start <= rows) & (rows < part.stop)
        found[here] = block[rows[here] - part.start]
    return found
