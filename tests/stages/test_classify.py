"""`dseld classify`: the whole chain on image files, and why."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseld_cli import store
from dseld_cli.evaluation.explain import explain
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params
from tests.decoders.test_decoders import sparse

CLASSES = {"ant": 30, "bee": 25, "cat": 20}


@pytest.fixture
def built(project: Path, run: Run) -> Path:
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 5), "test", seed=1)
    set_params(data__dataset="folder:images", lca__lambda=0.5, extract__workers=0)
    for command in ("extract", "build-dict", "encode", "decode"):
        run(command)
    return project


@pytest.mark.parametrize("decoder", ["class-sum", "max-activation", "minimum-residual", "balanced-class-sum"])
def test_it_says_what_the_pipeline_says_and_why(built: Path, run: Run, decoder: str) -> None:
    run(f"decode --decoder {decoder}")
    found = json.loads(run(f"classify images/test --json --decoder {decoder} --exemplars 100").stdout)
    predictions = store.open_store(paths.predictions(decoder, "test"), store.PredictionsInfo)
    names, scores = list(CLASSES), predictions.read("scores")
    assert [verdict["image"] for verdict in found] == sorted(
        f"images/test/{c}/{i}.png" for c in CLASSES for i in range(5)
    )
    assert [verdict["class"] for verdict in found] == [names[label] for label in predictions.read("labels")]
    np.testing.assert_allclose([verdict["score"] for verdict in found], scores.max(axis=1), rtol=1e-5)
    sources = set(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source"))
    for verdict in found:
        exemplars = verdict["exemplars"]
        assert all(exemplar["source"] in sources for exemplar in exemplars)
        assert all(f"/{verdict['class']}/" in exemplar["source"] for exemplar in exemplars)
        activations = [exemplar["activation"] for exemplar in exemplars]
        assert activations == sorted(activations, reverse=True)
        shares = [exemplar["share"] for exemplar in exemplars]
        np.testing.assert_allclose(np.divide(shares, shares[0]), np.divide(activations, activations[0]), rtol=1e-6)
        assert sum(shares) == pytest.approx(1)


def test_a_training_image_is_decided_by_itself(built: Path, run: Run) -> None:
    verdict = json.loads(run("classify images/train/bee/7.png --json --exemplars 1").stdout)[0]
    assert (verdict["class"], verdict["exemplars"][0]["source"]) == ("bee", "train/bee/7.png")


def test_only_atoms_of_the_class_that_speak_for_it_explain() -> None:
    codes = sparse(np.array([[9.0, 9, 9, 9], [0.1, 0.6, 0.9, -0.2]]))
    found = explain(codes, 1, np.array([5, 5, 4, 5]), 5, 9)
    assert [speaker.atom for speaker in found] == [1, 0]
    assert [speaker.share for speaker in found] == pytest.approx([6 / 7, 1 / 7])


def test_the_table_is_plain_when_piped(built: Path, run: Run) -> None:
    said = run("classify images/test/ant/0.png").stdout.splitlines()
    assert said[2].split() == ["image", "class", "score", "share", "exemplar"]
    assert said[3].split()[:2] == ["images/test/ant/0.png", "ant"]
    assert len(said) == 6


def test_no_neuron_speaking_is_undecided(built: Path, run: Run) -> None:
    set_params(lca__lambda=1000.0)
    assert json.loads(run("classify images/test/ant/0.png --json").stdout) == [
        {"image": "images/test/ant/0.png", "class": None, "score": 0.0, "exemplars": []}
    ]


def test_a_backbone_is_made_again_from_the_dictionary(project: Path, run: Run) -> None:
    image_folder(project / "images", {"ant": 3, "bee": 3}, size=40)
    run("extract --dataset folder:images --split train --backbone efficientnet_lite0 --image-size 64")
    run("build-dict")
    verdict = json.loads(run("classify images/train/bee/1.png --json").stdout)[0]
    assert (verdict["class"], verdict["exemplars"][0]["source"]) == ("bee", "train/bee/1.png")


def test_bad_images_are_one_line_or_skipped(built: Path, run: Run) -> None:
    (built / "text.jpg").write_text("no image")
    Image.new("RGB", (9, 9)).save(built / "large.png")
    assert "text.jpg is not a readable image" in run("classify text.jpg", ok=False).stderr
    assert "no.jpg is not a readable image" in run("classify no.jpg", ok=False).stderr
    assert "large.png has 243 features, data/dictionary.zarr has 108" in run("classify large.png", ok=False).stderr
    result = run("classify text.jpg images/test/ant/0.png --broken skip --json")
    assert [verdict["image"] for verdict in json.loads(result.stdout)] == ["images/test/ant/0.png"]
    assert "skipped: text.jpg is not a readable image" in result.stderr


def test_features_made_elsewhere_cannot_be_classified(project: Path, run: Run) -> None:
    np.savez("x.npz", features=np.eye(3), labels=[0, 1, 1])
    run("extract --from-npz x.npz --split train --extractor dino")
    run("build-dict")
    image_folder(project, {"ant": 1})
    assert "brought along, extracted by dino" in run("classify train/ant/0.png", ok=False).stderr


def test_a_dictionary_is_needed(project: Path, run: Run) -> None:
    assert "no dictionary store at data/dictionary.zarr" in run("classify x.jpg", ok=False).stderr
