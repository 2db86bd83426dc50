"""`dseld sweep`: each point is what the pipeline gives at that setting, and Fig. 5's curve rises."""

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import Run, set_params


@pytest.fixture
def built(project: Path, run: Run) -> Path:
    set_params(build_dict__size=256, encode__images=100, trained_decoders=[])
    run("extract")
    run("build-dict")
    return project


def test_accuracy_rises_with_the_dictionary(built: Path, run: Run) -> None:
    found = json.loads(run("sweep size --split test --json").stdout)
    assert [row["size"] for row in found["rows"]] == [64, 128, 256]
    for decoder in ("max-activation", "class-sum", "minimum-residual"):
        small, *_, whole = (row[decoder] for row in found["rows"])
        assert whole > small + 5
    with Path("data/sweeps/test/size.csv").open() as file:
        assert [float(row["class-sum"]) for row in csv.DictReader(file)] == [row["class-sum"] for row in found["rows"]]
    assert Path("data/sweeps/test/size.png").read_bytes().startswith(b"\x89PNG")


def test_a_point_is_what_the_pipeline_gives_there(built: Path, run: Run) -> None:
    set_params(build_dict__size=128, encode__images=100, trained_decoders=["shallow-nn"], train_decoder__images=150)
    found = json.loads(run("sweep lambda --values 1.5 --split test --json").stdout)["rows"][0]
    at_prefix = json.loads(run("sweep size --values 128 --split test --json").stdout)["rows"][0]
    run("build-dict")
    set_params(lca__lambda=1.5)
    whole = json.loads(run("sweep size --values 128 --split test --json").stdout)["rows"][0]
    run("encode")
    run("encode --split train")
    for command in ("train-decoder", "decode", "decode --decoder shallow-nn", "evaluate"):
        run(command)
    metrics = json.loads(Path("metrics.json").read_text())
    assert {name: result["top1"] for name, result in metrics["decoders"].items()} == {
        name: value for name, value in whole.items() if name not in ("size", "firing")
    }
    assert metrics["firing"]["average"] == pytest.approx(whole["firing"], abs=1e-3)
    assert metrics["firing"]["peak"] <= metrics["firing"]["ever"] <= 100
    assert at_prefix != whole
    assert found["firing"] < at_prefix["firing"]


def test_a_setting_that_diverges_is_a_gap(built: Path, run: Run) -> None:
    found = json.loads(run("sweep tau --values 1,100 --split test --json").stdout)["rows"]
    assert found[0]["class-sum"] is None
    assert found[1]["class-sum"] > 80
    assert "diverges" in run("sweep tau --values 1 --split test").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("depth", "'depth' is not one of 'size', 'lambda', 'tau', 'steps'"),
        ("size --values 999 --split test", "from 1 to the dictionary's 256"),
        ("size --values 1.5 --split test", "sizes should be whole numbers"),
        ("size --values inf --split test", "sizes should be whole numbers"),
        ("lambda --values 0 --split test", "lambda should be positive"),
        ("steps --values 0.2 --split test", "steps should be at least 1"),
        ("steps --values 1.5 --split test", "steps should be whole numbers"),
        ("tau --values ten --split test", "should be numbers with commas"),
        ("lambda", "add val to extract.splits"),
    ],
)
def test_a_bad_sweep_is_one_line(built: Path, run: Run, options: str, said: str) -> None:
    assert said in run(f"sweep {options}", ok=False).stderr
    assert not Path("data/sweeps").exists()
