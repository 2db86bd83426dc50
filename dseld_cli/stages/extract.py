"""`dseld extract`: images to features, one store a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dseld_cli import paths, store
from dseld_cli.backbones import Backbone, backbone
from dseld_cli.console import say, track, warn
from dseld_cli.datasets import SPLITS, Images, images
from dseld_cli.params import Params


def run(params: Params, split: str | None = None, output: Path | None = None) -> None:
    """Extract the features of one split, or of both.

    Raises:
        UserError: if the images or the weights are not to be had, or an image is broken.

    """
    extractor = backbone(params.extract.backbone, params.extract.weights, params.run.device)
    if extractor.identity["weights"] == "random":
        warn("--weights random: an untrained network's features mean nothing; use them for tests only")
    for name in [split] if split else SPLITS:
        pictures = images(params.data.dataset, Path(params.data.root), name)
        _extract(params, pictures, extractor, name, output or paths.features(name))


def _extract(params: Params, pictures: Images, extractor: Backbone, split: str, path: Path) -> None:
    n, n_features = len(pictures), extractor.features([pictures.load(0)]).shape[1]
    facts = {
        "dataset": params.data.dataset,
        "split": split,
        "classes": list(pictures.classes),
        "extractor": extractor.identity,
    }
    specs = {"features": store.Spec.rows("float32", n, n_features)}
    draft = store.Draft(path, "features", store.provenance({}, **facts), specs)
    size = params.extract.batch_size
    blocks = list(store.blocks(n))[draft.done :]
    for part in track(blocks, len(blocks) + draft.done, f"extracting {split}", draft.done):
        batches = (range(i, min(i + size, part.stop)) for i in range(part.start, part.stop, size))
        found = [extractor.features([pictures.load(i) for i in batch]) for batch in batches]
        draft["features"][part] = np.concatenate(found)
        draft.checkpoint(draft.done + 1)
    draft.put("labels", pictures.labels)
    draft.put("source", np.array(pictures.source, dtype=np.dtypes.StringDType()))
    draft.commit()
    say(f"{path}: {n} images of {len(pictures.classes)} classes, {n_features} features each")
