"""`dseld tune`: what it says of its best setting is what the pipeline gives there."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseld_cli import store
from dseld_cli.config.load import load
from dseld_cli.evaluation.trial import SHARES, rounded, strongest_input
from dseld_cli.stages import tune
from dseld_cli.stages.sweep import proposed
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params


@pytest.fixture
def extracted(project: Path, run: Run) -> Path:
    image_folder(project / "images", {"ant": 40, "bee": 40, "cat": 40}, size=4)
    image_folder(project / "images", dict.fromkeys(("ant", "bee", "cat"), 5), "test", size=4, seed=1)
    set_params(
        data__dataset="folder:images",
        extract__splits=["train", "val", "test"],
        extract__workers=0,
        decoders=["max-activation", "class-sum"],
        trained_decoders=["ridge"],
    )
    run("extract")
    run("build-dict")
    return project


def test_its_best_setting_is_what_the_pipeline_gives_there(extracted: Path, run: Run) -> None:
    found = json.loads(run("tune --save --json").stdout)
    best, params = found["best"], load()
    assert best["top1"] == max(one["top1"] for one in found["tried"])
    assert {one["transform"] for one in found["tried"]} == {"none", "centre", "whiten", "within-class"}
    kept = (params.build_dict.transform, params.lca.lambda_, params.lca.tau, params.lca.steps)
    assert kept == (best["transform"], best["lambda"], best["tau"], best["steps"])
    for command in ("build-dict", "encode --split val", "encode --split train", "train-decoder", "decode --split val"):
        run(command)
    run("evaluate --split val")
    metrics = json.loads(Path("metrics-val.json").read_text())
    assert metrics["decoders"][best["decoder"]]["top1"] == best["top1"]
    assert metrics["firing"]["average"] * metrics["exemplars"] / 100 == pytest.approx(best["firing"], rel=0.01)


def test_lambda_falls_until_it_no_longer_helps_and_only_val_is_read(extracted: Path, run: Run) -> None:
    (extracted / "data/features/test.zarr/zarr.json").write_text("")
    tried = json.loads(run("tune --transform centre --json").stdout)["tried"]
    lambdas = [one["lambda"] for one in tried if (one["tau"], one["steps"]) == (100, 100)]
    assert lambdas == sorted(lambdas, reverse=True)
    assert {one["transform"] for one in tried} == {"centre"}
    said = run("tune --transform centre").stdout
    assert "build_dict.transform: centre" in said
    assert "15 val images" in said or "12 val images" in said


def test_without_val_it_says_what_is_needed(project: Path, run: Run) -> None:
    assert "add val to extract.splits" in run("tune", ok=False).stderr


def test_a_sweep_of_lambda_is_proposed_from_the_driving_input() -> None:
    S = np.array([[3.0, 4.0], [0.0, 1.0], [10.0, 0.0]], np.float32)
    Phi = np.array([[0.6, 0.8], [-1.0, 0.0]], np.float32)
    assert strongest_input(S, Phi) == pytest.approx(5.0)  # of 5, 0.8 and 10
    assert proposed(2.0, 5.0) == sorted([2.0, *(rounded(5 * share) for share in SHARES)])
    assert rounded(0.12345) == 0.12


def test_an_image_to_learn_from_is_coded_without_its_copies(extracted: Path, run: Run) -> None:
    train = extracted / "images/train"
    kept = Image.open(train / "ant/0.png").copy()
    for name in ("ant/0.png", "bee/0.png", "bee/1.png", "cat/0.png"):
        kept.save(train / name)
    run("extract")
    run("build-dict")
    params = load()
    training = tune._trial(params, tune._data(params), "centre").training
    assert training
    assert training.excluded
    copies = [list(own) for own in training.excluded if len(own) > 1]
    assert copies
    assert all(own == copies[0] for own in copies)
    assert len(copies) == len(copies[0])


def test_images_that_were_removed_are_no_exemplars_and_wrong_labels_are_corrected(extracted: Path, run: Run) -> None:
    base = store.open_store(paths.BASE, store.BaseInfo)
    first, second = map(str, base.read("source")[:2])
    before = tune._data(load())
    wrong = base.info.classes[(before.labels[1] + 1) % 3]
    set_params(removals=[first], relabels=[{"image": second, "class": wrong}])
    after = tune._data(load())
    np.testing.assert_array_equal(after.exemplars, before.exemplars[1:])
    assert base.info.classes[after.labels[0]] == wrong
    np.testing.assert_array_equal(after.labels[1:], before.labels[2:])
