"""`dseld evaluate --novelty`: how well images of no known class are told from those of a split, by their likeness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.recurrence import means
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import Sources, listed
from dseld_cli.dictionary.atoms import atoms_of
from dseld_cli.dictionary.checks import relabel, require_same_extractor
from dseld_cli.dictionary.encoding import encoder_over, stored_gramian
from dseld_cli.dictionary.labels import labels_of_atoms
from dseld_cli.dictionary.manifest import Layout
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import DoesNotFit, OutOfDate, StoreMissing, UserError
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.answers import coded, read_back
from dseld_cli.evaluation.baselines import cosine_to_nearest
from dseld_cli.evaluation.calibration import Calibration, auroc
from dseld_cli.evaluation.decoding import calibration, reader
from dseld_cli.evaluation.exemplars import TiledExemplars
from dseld_cli.images.sampling import drawn
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.console import say, table, track
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import json_text
from dseld_cli.store import project as paths

SPLITS = ("train", "val", "test")
FALSE_ALARMS = (0.01, 0.05, 0.1)
IMAGES = 512
"""Images that are compared with all atoms at a time."""

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Rows of features as the dictionary sees them."""

    seen: Seen
    rows: Int64


def run(params: Params, source: str, split: str) -> None:
    """Compare coded images of a split, of known classes, with those of a source, of none.

    Args:
        params: the whole of params.yaml.
        source: a split, whose images of classes that the dictionary lacks count; or features or a folder, as
            add-exemplars takes them, of which all count.
        split: which has codes.

    Raises:
        UserError: if the stores do not belong together, or there is none of one kind of image.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of(split)
    codes = store.codes_of(split)
    store.require_input(codes, "features", features)
    store.require_input(codes, "dictionary", dictionary)
    seen, rows = Seen.by(dictionary, features), codes.read("rows")
    here = _known(features, dictionary)[rows]
    new = _unknown(params, source, dictionary)
    if not here.any():
        raise UserError(f"{codes.path} has no image of a class that {dictionary.path} has: nothing to compare with")
    of_class_sum = reader("class-sum", {}, dictionary, codes.info.dynamics)
    lca = LCAParams(codes.info.lambda_, codes.info.tau, codes.info.steps)
    gramian = stored_gramian(dictionary, paths.GRAMIAN, lca, means(params), len(new.rows))
    encoder = encoder_over(dictionary, lca, means(params), len(new.rows), gramian)
    known = read_back(of_class_sum, codes, seen, f"reading {split}", track).take(here).likeness
    unknown = coded(of_class_sum, encoder, new.seen, new.rows, "coding unknown images", track).likeness
    k = params.baselines.neighbours
    nearest = [_cosines(dictionary, images, k) for images in (Images(seen, rows[here]), new)]
    learned = _learned(params, dictionary, codes.info.dynamics)
    found = {
        "dictionary": dictionary.fingerprint,
        "known": {"split": split, "images": len(known)},
        "unknown": {"source": source, "images": len(unknown)},
        "auroc": {
            "likeness": round(100 * auroc(known, unknown), 2),
            f"distance to the {k}th nearest exemplar": round(100 * auroc(*nearest), 2),
        },
        **({"found": _found(learned, known, unknown)} if learned else {}),
    }
    path = paths.evaluation(split) / "novelty.json"
    with together() as aside:
        aside(path).write_text(f"{json_text(found)}\n", encoding="utf-8")
    _show(found)
    say(f"{path}; to make a class of new images, put them into NEW/<its name>/: `dseld add-exemplars folder:NEW`")


def _known(features: store.Features, dictionary: store.Dictionary) -> NDArray[np.bool_]:
    """Whether each image is of a class that the dictionary has an exemplar of."""
    labels = relabel(features.read("labels"), features.info.classes, dictionary.info.classes)
    return np.isin(labels, dictionary.read("labels")[~Layout.of(dictionary).tombstones])


def _unknown(params: Params, source: str, dictionary: store.Dictionary) -> Images:
    """Open the images of no known class.

    Raises:
        UserError: if there is no such source, or none in it.

    """
    if source in SPLITS:
        features = store.features_of(source)
        rows = np.flatnonzero(~_known(features, dictionary))
        if not len(rows):
            raise UserError(
                f"--novelty {source}: all of its images are of classes that {dictionary.path} has; give features or "
                "folder:PATH of others"
            )
    else:
        opened = Sources(params.extract, params.run.device, params.run.memory, dictionary.info.extractor)
        features = opened.features(listed(source))
        rows = np.arange(features.shape("features")[0])
    require_same_extractor(features, dictionary)
    wanted = params.encode.images
    most = len(rows) if wanted == "all" else min(len(rows), wanted)
    return Images(Seen.by(dictionary, features), rows[drawn(len(rows), most, params.encode.seed)])


def _cosines(dictionary: store.Dictionary, images: Images, k: int) -> Float32:
    """Cosine of each image with its k-th nearest exemplar (n,)."""
    parts = list(store.blocks(len(images.rows), IMAGES))
    # read tile by tile, whatever the budget: the encoder that has just coded these images holds what it allows
    exemplars = TiledExemplars(atoms_of(dictionary, 0), labels_of_atoms(dictionary))
    found = []
    for part in track(parts, len(parts), "comparing with exemplars"):
        rows = images.seen.take(images.rows[part])
        found.append(cosine_to_nearest(rows, exemplars, k))
    return np.concatenate(found)


def _learned(params: Params, dictionary: store.Dictionary, dynamics: Mapping[str, Any]) -> Calibration | None:
    name = params.classify.decoder
    try:
        found = calibration(name, params.decoder_options.get(name, {}), dictionary, dynamics)
    except (StoreMissing, OutOfDate, DoesNotFit) as error:
        say(f"without thresholds: {error}")
        return None
    return Calibration(found.info.beta, found.read("nonconformity"), found.read("likeness"))


def _found(learned: Calibration, known: Float32, unknown: Float32) -> dict[str, dict[str, float]]:
    return {
        f"{share:g}": {
            "unknown": metrics.percent(learned.unknown(unknown, share)),
            "known": metrics.percent(learned.unknown(known, share)),
        }
        for share in FALSE_ALARMS
    }


def _show(found: Mapping[str, Any]) -> None:
    known, unknown = found["known"], found["unknown"]
    say(f"{known['images']} images of {known['split']}, of known classes; {unknown['images']} of {unknown['source']}")
    rows = [[name, f"{value:.2f} %"] for name, value in found["auroc"].items()]
    table("A known image scores above an unknown one", ["score", "how often (AUROC)"], rows)
    if shares := found.get("found"):
        rows = [[f"{float(p):.0%}", f"{its['unknown']:.2f} %", f"{its['known']:.2f} %"] for p, its in shares.items()]
        table("Taken for unknown", ["classify --false-alarms", "of the unknown", "of the known"], rows)
