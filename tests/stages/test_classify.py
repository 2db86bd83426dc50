"""`dseld classify`: the whole chain on image files, and why."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from dseld_cli import store
from dseld_cli.cli.app import app
from dseld_cli.evaluation.explain import explain
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, interruptible, set_params
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


def test_a_trained_decoder_classifies_once_it_is_trained(built: Path, run: Run) -> None:
    image = "images/test/ant/0.png"
    assert "no network store at data/decoders" in run(f"classify {image} --decoder shallow-nn", ok=False).stderr
    for command in ("encode --split train", "train-decoder", "decode"):
        run(command)
    found = json.loads(run("classify images/test --json --decoder shallow-nn").stdout)
    scores = store.open_store(paths.predictions("shallow-nn", "test"), store.PredictionsInfo).read("scores")
    np.testing.assert_allclose([verdict["score"] for verdict in found], scores.max(axis=1), rtol=1e-4)
    assert "was learned from codes of lambda 0.5, these have 0.4" in other_lambda(run, image).stderr


def other_lambda(run: Run, image: str) -> Result:
    set_params(lca__lambda=0.4)
    return run(f"classify {image} --decoder shallow-nn", ok=False)


def test_paths_on_standard_input_give_a_line_of_json_each(built: Path) -> None:
    (built / "text.jpg").write_text("no image")
    wanted = ["images/test/ant/0.png", "text.jpg", "", "images/test/cat/1.png", "no such.png"]
    result = CliRunner().invoke(app, ["classify", "-"], input="\n".join(wanted))
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["image"] for one in found] == [name for name in wanted if name]
    assert [one.get("class") for one in found] == ["ant", None, "cat", None]
    assert "is not a readable image" in found[1]["error"]
    alone = json.loads(CliRunner().invoke(app, ["classify", wanted[0], "--json"]).stdout)
    assert alone == found[:1], "the same as in a batch"


def test_standard_input_is_given_alone(built: Path, run: Run) -> None:
    said = run("classify - images/test/ant/0.png", ok=False).stderr
    assert said == "error: - reads paths from standard input: give it alone\n"


def test_a_watched_folder_gives_what_is_in_it_and_what_comes(built: Path) -> None:
    inbox = built / "inbox"
    inbox.mkdir()
    shutil.copy("images/test/ant/0.png", inbox / "first.png")
    shutil.copy("images/test/ant/0.png", inbox / ".half-copied.png")
    code = "from dseld_cli.cli.app import app; app()"
    command = [sys.executable, "-c", code, "classify", "--watch", "inbox"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=interruptible, **pipes) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["image"] == "inbox/first.png"
            shutil.copy("images/test/bee/0.png", inbox / "second.png")
            later = json.loads(process.stdout.readline())
            whole = Path("images/test/cat/0.png").read_bytes()
            (inbox / "second.png").write_bytes(whole[: len(whole) // 2])
            time.sleep(1)
            (inbox / "second.png").write_bytes(whole)
            again = json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert (later["image"], later["class"]) == ("inbox/second.png", "bee")
    assert (again["image"], again["class"]) == ("inbox/second.png", "cat")
    assert process.returncode == 130


def test_a_folder_to_watch_has_to_be_there(built: Path, run: Run) -> None:
    assert "there is no such folder" in run("classify --watch nowhere", ok=False).stderr
    assert "give images" in run("classify", ok=False).stderr


@pytest.mark.parametrize("change", [{"additions": ["folder:june"]}, {"removals": ["train/ant/0.png"]}])
def test_a_dictionary_of_another_version_than_params_yaml_is_warned_of(
    built: Path, run: Run, change: dict[str, list[str]]
) -> None:
    assert "params.yaml says otherwise" not in run("classify images/test/ant/0.png").stderr
    set_params(**change)
    for command in ("classify images/test/ant/0.png", "encode"):
        said = run(command).stderr
        assert "warning: data/dictionary.zarr is used as it is, but params.yaml says otherwise" in said
        assert "`dvc checkout`" in said
