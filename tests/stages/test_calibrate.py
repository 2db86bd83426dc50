"""`dseld calibrate`, what `dseld classify` makes of it, and `dseld evaluate --novelty`."""

import json
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.stages.classify import Verdict, named_in_words
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params

CLASSES = {"ant": 40, "bee": 40, "cat": 40}


@pytest.fixture
def built(project: Path, run: Run) -> Path:
    """A project with a val split, whose features are pixels."""
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 5), "test", seed=1)
    set_params(
        data__dataset="folder:images",
        extract__splits=["train", "val", "test"],
        extract__val_share=0.3,
        extract__workers=0,
        lca__lambda=0.5,
    )
    for command in ("extract", "build-dict", "encode"):
        run(command)
    return project


def test_classify_says_what_was_learned(built: Path, run: Run) -> None:
    found = json.loads(run("calibrate --json").stdout)
    kept = store.open_store(paths.calibration("class-sum"), store.CalibrationInfo)
    assert found["images"] == kept.info.images == len(kept.read("likeness")) == 36
    assert found["test"]["images"] == 15
    assert found["test"]["sets"]["0.9"]["covered"] >= found["test"]["top1"]
    plain = json.loads(run("classify images/test --json").stdout)
    assert all({"probability"} == one.keys() & {"probability", "classes", "unknown"} for one in plain)
    asked = json.loads(run("classify images/test --json --coverage 0.9 --false-alarms 0.1").stdout)
    for one, other in zip(asked, plain, strict=True):
        assert one["class"] == other["class"] == one["classes"][0]
        assert 1 / 3 <= one["probability"] <= 1
    everything = json.loads(run("classify images/test --json --coverage 0.99").stdout)
    assert all(set(one["classes"]) == set(CLASSES) for one in everything), "36 images cannot promise 99 in 100"


def test_what_is_unlike_all_that_is_known_is_none_of_these(built: Path, run: Run) -> None:
    run("calibrate")
    image_folder(built / "noise", {"noise": 20}, seed=5)
    rng = np.random.default_rng(0)
    for file in (built / "noise").rglob("*.png"):
        from PIL import Image

        with Image.open(file) as image:
            shape = np.asarray(image).shape
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(file)
    said = run("classify noise/train/noise --false-alarms 0.1").stdout
    assert "none of these" in said
    assert "dseld add-exemplars folder:new" in said
    told = run("evaluate --novelty folder:noise").stdout
    assert "20 of folder:noise" in told
    found = json.loads(Path("data/evaluation/test/novelty.json").read_text())
    assert found["auroc"]["likeness"] > 90
    assert found["found"]["0.1"]["unknown"] > 50


def test_images_of_classes_that_the_dictionary_lacks_are_the_unknown_of_a_split(built: Path, run: Run) -> None:
    assert "all of its images are of classes" in run("evaluate --novelty test", ok=False).stderr
    names = store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source")
    Path("cats.txt").write_text("\n".join(name for name in names if "/cat/" in name))
    run("remove-exemplars --from cats.txt")
    run("encode")
    assert "10 images of test, of known classes; 5 of test" in run("evaluate --novelty test").stdout


def test_what_does_not_fit_is_refused_where_it_is_asked_for(built: Path, run: Run) -> None:
    assert "run `dseld calibrate --decoder class-sum`" in run("classify images/test --coverage 0.9", ok=False).stderr
    run("calibrate")
    set_params(lca__lambda=0.7)
    assert "lambda" in run("classify images/test --coverage 0.9", ok=False).stderr
    kept = run("classify images/test")
    assert "without probabilities" in kept.stderr
    assert "probability" not in kept.stdout
    set_params(lca__lambda=0.5)
    run("remove-exemplars --index 3")
    assert "run `dseld calibrate` again" in run("classify images/test --false-alarms 0.1", ok=False).stderr


def test_a_large_set_is_named_in_few_words() -> None:
    def said(n: int) -> str:
        return named_in_words(Verdict("x.png", "a", 1.0, [], 0.5, list("abcdefgh"[:n])))

    assert [said(n) for n in (1, 2, 5, 6)] == ["a", "a or b", "a or b or c or d or e", "a or b or c or d or 2 others"]


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "nan"])
def test_shares_are_between_none_and_all(project: Path, run: Run, value: str) -> None:
    assert "above 0 and below 1" in run(f"classify x.png --coverage={value}", ok=False).stderr


def test_without_val_there_is_nothing_to_learn_on(project: Path, run: Run) -> None:
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 5), "test", seed=1)
    set_params(data__dataset="folder:images", extract__workers=0, lca__lambda=0.5)
    for command in ("extract", "build-dict"):
        run(command)
    assert "add val to extract.splits" in run("calibrate", ok=False).stderr
