"""Decoders, baselines and their evaluation through the command line, on the digits."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from dseld_cli import store
from dseld_cli.store import project as paths
from tests.conftest import Run, set_params

ALL = ["max-activation", "class-sum", "minimum-residual", "balanced-class-sum", "shallow-nn"]


@pytest.fixture
def digits(project: Path, run: Run) -> Path:
    """A project of 300 atoms and 120 test images, coded, with codes of 200 training images."""
    set_params(build_dict__size=300, encode__images=120, train_decoder__images=200)
    for command in ("extract", "build-dict", "encode", "encode --split train"):
        run(command)
    return project


def test_every_decoder_and_baseline_is_trained_evaluated_and_shown(digits: Path, run: Run) -> None:
    assert "without shallow-nn" in run("decode").stdout
    run("train-decoder")
    set_params(decoders=ALL[:-1])
    assert "data/predictions/test/shallow-nn.zarr: 120 images" in run("decode").stdout
    run("baselines")
    said = run("evaluate").stdout
    found = json.loads(Path("metrics.json").read_text())
    assert list(found["decoders"]) == ALL
    assert list(found["baselines"]) == ["nearest-class-mean", "cosine-knn", "logistic-regression"]
    top1 = {name: result["top1"] for name, result in found["decoders"].items()}
    assert all(name in said and f"{value:.2f} %" in said for name, value in top1.items())
    assert top1["class-sum"] > 90
    assert top1["shallow-nn"] >= top1["class-sum"] - 0.5
    for name in ALL:
        scores = store.open_store(paths.predictions(name, "test"), store.PredictionsInfo).read("scores")
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    with (paths.evaluation("test") / "confusion.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["decoder"] == "class-sum"]
    right = sum(int(row["images"]) for row in rows if row["true"] == row["predicted"])
    assert round(100 * right / sum(int(row["images"]) for row in rows), 2) == top1["class-sum"]
    assert Path("data/evaluation/test/confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_baseline_is_scikit_learns_on_the_same_exemplars(digits: Path, run: Run) -> None:
    run("baselines --baseline cosine-knn --neighbours 3")
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    test = store.open_store(paths.features("test"), store.FeaturesInfo)
    model = KNeighborsClassifier(3, metric="cosine").fit(dictionary.read("atoms"), dictionary.read("labels"))
    found = store.open_store(paths.baseline("cosine-knn", "test"), store.BaselineInfo).read("labels")
    assert np.mean(found == model.predict(test.read("features"))) > 0.99, "save for ties"


def test_what_was_not_run_is_left_out_and_named(digits: Path, run: Run) -> None:
    run("decode")
    said = run("evaluate").stdout
    assert (
        "without shallow-nn: no predictions store at data/predictions/test/shallow-nn.zarr: run `dseld decode`" in said
    )
    assert "without cosine-knn: no baseline store" in said
    assert list(json.loads(Path("metrics.json").read_text())["decoders"]) == ALL[:3]


def test_a_network_trained_over_another_dictionary_or_setting_is_refused(digits: Path, run: Run) -> None:
    run("train-decoder")
    run("encode --lambda 1.5 --images 20")
    said = run("decode --decoder shallow-nn", ok=False).stderr
    assert "was learned from codes of lambda 1, these have 1.5: run `dseld encode --split train`" in said
    run("build-dict --size 200")
    run("encode --images 20")
    assert "data/decoders/shallow-nn.zarr was not made from" in run("decode --decoder shallow-nn", ok=False).stderr
    assert "data/codes/train.zarr was not made from" in run("train-decoder", ok=False).stderr


def test_too_few_images_to_train_on_are_refused(digits: Path, run: Run) -> None:
    run("encode --split train --images 5")
    assert "at least 10 are needed" in run("train-decoder", ok=False).stderr


def test_minimum_residual_is_the_same_however_little_memory_there_is(
    digits: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dseld_cli.evaluation import score_blocks

    run("decode --decoder minimum-residual")
    whole = store.open_store(paths.predictions("minimum-residual", "test"), store.PredictionsInfo).read("scores")
    monkeypatch.setattr(score_blocks, "arrays_within", lambda memory, needed, what: needed + 50_000)
    run("decode --decoder minimum-residual")
    again = store.open_store(paths.predictions("minimum-residual", "test"), store.PredictionsInfo).read("scores")
    np.testing.assert_allclose(whole, again, atol=1e-6)


def test_options_are_in_the_plan_so_that_no_draft_of_others_is_gone_on_with(digits: Path, run: Run) -> None:
    run("train-decoder --decoder ridge --option penalty=9")
    run("decode --decoder ridge --option penalty=9")
    run("decode --decoder class-sum")
    for name, options in (("ridge", {"penalty": "9"}), ("class-sum", None)):
        assert store.open_store(paths.predictions(name, "test"), store.PredictionsInfo).info.options == options


def test_a_decoder_that_needs_no_features_does_without(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    shutil.copytree(quickstart, tmp_path / "x")
    monkeypatch.chdir(tmp_path / "x")
    (paths.features("test") / "zarr.json").write_text("{")
    run("decode --decoder class-sum")
    shutil.rmtree(paths.features("test"))
    run("decode --decoder class-sum")
