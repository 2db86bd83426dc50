"""`dseld calibrate`: what the shares of a decoder are worth, learned on val; and what that gives on test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.config.recurrence import lca_params, means
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import predict
from dseld_cli.dictionary.checks import relabel, require_same_extractor
from dseld_cli.dictionary.encoding import encoder_over, stored_gramian
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.answers import Answers, coded, read_back
from dseld_cli.evaluation.calibration import Calibration
from dseld_cli.evaluation.decoding import Reader, reader
from dseld_cli.images.sampling import drawn
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, say_json, table, track
from dseld_cli.store import project as paths

SPLIT = "val"
COVERAGES = (0.8, 0.9, 0.95, 0.99)
FALSE_ALARMS = (0.01, 0.05, 0.1)

Int64 = NDArray[np.int64]


def run(params: Params, as_json: bool) -> None:
    """Learn from val what the decoder's shares are worth, keep it, and tell what it gives on test, if that is coded.

    Raises:
        UserError: if there is no val split, it has no image of a class of the dictionary, or memory is too small.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = _features(dictionary)
    name, lca = params.classify.decoder, params.lca
    options = params.decoder_options.get(name, {})
    dynamics = {"lambda": lca.lambda_, "tau": lca.tau, "steps": lca.steps}
    of_name = reader(name, options, dictionary, dynamics)
    rows = drawn(features.shape("features")[0], params.encode.images, params.encode.seed)
    truth = relabel(features.read("labels"), features.info.classes, dictionary.info.classes)[rows]
    rows, truth = rows[truth >= 0], truth[truth >= 0]
    if not len(rows):
        raise UserError(f"{features.path} has no image of a class that {dictionary.path} has: nothing to learn from")
    _require_room(params, len(rows), len(dictionary.info.classes))
    gramian = stored_gramian(dictionary, paths.GRAMIAN, lca_params(lca), means(params), len(rows))
    encoder = encoder_over(dictionary, lca_params(lca), means(params), len(rows), gramian)
    found = coded(of_name, encoder, Seen.by(dictionary, features), rows, f"coding {SPLIT}", track)
    learned = Calibration.learned(found.shares, found.likeness, truth)
    info = store.CalibrationInfo(
        inputs=store.fingerprints(dictionary=dictionary, features=features, **of_name.inputs),
        classes=dictionary.info.classes,
        lambda_=lca.lambda_,
        tau=lca.tau,
        steps=lca.steps,
        decoder=name,
        options=options or None,
        split=SPLIT,
        images=len(rows),
        seed=params.encode.seed,
        beta=learned.beta,
    )
    store.write(paths.calibration(name), info, learned.arrays)
    report = {
        "decoder": name,
        "images": len(rows),
        "beta": learned.beta,
        **({"test": test} if (test := _on_test(of_name, learned, dynamics)) else {}),
    }
    if as_json:
        say_json(report)
    else:
        _show(report)


def _features(dictionary: store.Dictionary) -> store.Features:
    """Open the features to learn from.

    Raises:
        UserError: if there are none, or they do not go with the dictionary.

    """
    path = paths.features(SPLIT)
    if not store.present(path):
        raise StoreMissing(
            f"no features of the {SPLIT} split, to learn this on: add {SPLIT} to extract.splits in params.yaml, run "
            "`dseld extract` and `dseld build-dict`"
        )
    features = store.open_store(path, store.FeaturesInfo)
    require_same_extractor(features, dictionary)
    return features


def _require_room(params: Params, images: int, classes: int) -> None:
    arrays_within(params.run.memory, 40 * images * classes, f"the scores of {images} images")


def _on_test(of_name: Reader, learned: Calibration, dynamics: Mapping[str, float]) -> dict[str, Any] | None:
    """Tell what was learned gives on test; None where test is not coded as val was."""
    dictionary, path = of_name.dictionary, paths.codes("test")
    if not (store.present(path) and store.present(paths.features("test"))):
        return None
    codes = store.open_store(path, store.CodesInfo)
    features = store.features_of("test")
    made_of = store.fingerprints(dictionary=dictionary, features=features)
    if dynamics != codes.info.dynamics or made_of.items() - codes.info.inputs.items():
        return None
    found = read_back(of_name, codes, Seen.by(dictionary, features), "reading test", track)
    truth = relabel(features.read("labels"), features.info.classes, dictionary.info.classes)[codes.read("rows")]
    here = truth >= 0
    return _figures(found.take(here), truth[here], learned) if here.any() else None


def _figures(found: Answers, truth: Int64, learned: Calibration) -> dict[str, Any]:
    right = predict(found.shares) == truth
    sets = {coverage: learned.sets(found.shares, coverage) for coverage in COVERAGES}
    return {
        "images": len(truth),
        "top1": metrics.percent(right),
        "calibration_error": {
            "shares": metrics.calibration_error(found.shares.max(axis=1), right),
            "probabilities": metrics.calibration_error(learned.probabilities(found.shares).max(axis=1), right),
        },
        "sets": {
            f"{coverage:g}": {
                "covered": metrics.percent(its[np.arange(len(truth)), truth]),
                "classes": round(float(its.sum(axis=1).mean()), 2),
                "single": metrics.percent(its.sum(axis=1) == 1),
            }
            for coverage, its in sets.items()
        },
        "false_alarms": {
            f"{share:g}": metrics.percent(learned.unknown(found.likeness, share)) for share in FALSE_ALARMS
        },
    }


def _show(report: Mapping[str, Any]) -> None:
    name = report["decoder"]
    say(f"{paths.calibration(name)}: learned from {report['images']} {SPLIT} images what shares of {name} are worth")
    if not (test := report.get("test")):
        say("test is not coded with these settings: `dseld encode` first, and this tells what it gives there")
        return
    error = test["calibration_error"]
    say(
        f"test, {test['images']} images, {test['top1']:.2f} % right: confidence is off by {error['probabilities']:.2f} "
        f"points on average, shares as they are by {error['shares']:.2f}"
    )
    rows = [
        [f"{float(asked):.0%}", f"{its['covered']:.2f} %", f"{its['classes']:.2f}", f"{its['single']:.2f} %"]
        for asked, its in test["sets"].items()
    ]
    table("Sets of classes", ["classify --coverage", "hold the true class", "classes", "just one"], rows)
    rows = [[f"{float(asked):.0%}", f"{its:.2f} %"] for asked, its in test["false_alarms"].items()]
    table("Known images taken for unknown", ["classify --false-alarms", "on test"], rows)
