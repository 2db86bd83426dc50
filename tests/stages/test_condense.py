"""`dseld condense`: fewer exemplars, judged on val, that build-dict then draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from dseld_cli import store
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params

CLASSES = {"ant": 40, "bee": 40, "cat": 30}


@pytest.fixture
def extracted(project: Path, run: Run) -> Path:
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 5), "test", seed=1)
    set_params(
        data__dataset="folder:images",
        extract__splits=["train", "val", "test"],
        extract__val_share=0.3,
        extract__workers=0,
        lca__lambda=0.5,
    )
    run("extract")
    return project


def drawn() -> store.Base:
    return store.open_store(paths.BASE, store.BaseInfo)


def test_what_it_judged_is_what_is_built(extracted: Path, run: Run) -> None:
    found = json.loads(run("condense --keep 12 --save --json").stdout)
    assert [(one["size"], one["sampling"]) for one in found["tried"]] == [
        (77, "random"),
        (12, "representative"),
        (12, "condensed"),
        (12, "random"),
    ]
    section = yaml.safe_load(Path("params.yaml").read_text())["build_dict"]
    assert (section["sampling"], section["size"]) == (found["sampling"], 12)
    judged = next(one for one in found["tried"] if one["sampling"] == found["sampling"])
    assert judged[found["decoder"]] == max(one[found["decoder"]] for one in found["tried"][1:3])
    run("build-dict")
    for command in ("encode --split val", "decode --split val"):
        run(command)
    run("evaluate --split val")
    decoders = json.loads(Path("metrics-val.json").read_text())["decoders"]
    assert {name: decoders[name]["top1"] for name in decoders} == {name: judged[name] for name in decoders}


def test_removals_and_relabels_are_judged_as_they_are_built(extracted: Path, run: Run) -> None:
    run("build-dict")
    names = drawn().read("source").tolist()
    for name in names[:20]:
        run(f"remove-exemplars {name}")
    for name in names[20:50]:
        run(f"relabel {name} cat")
    found = json.loads(run("condense --keep 12 --save --json").stdout)
    assert found["tried"][0]["size"] == 57
    judged = next(one for one in found["tried"][1:] if one["sampling"] == found["sampling"])
    assert judged["size"] == 12
    assert yaml.safe_load(Path("params.yaml").read_text())["build_dict"]["size"] == judged["drawn"] > 12
    run("build-dict")
    for command in ("encode --split val", "decode --split val"):
        run(command)
    run("evaluate --split val")
    metrics = json.loads(Path("metrics-val.json").read_text())
    assert metrics["exemplars"] == 12
    assert {name: its["top1"] for name, its in metrics["decoders"].items()} == {
        name: judged[name] for name in metrics["decoders"]
    }


@pytest.mark.parametrize("sampling", ["representative", "condensed"])
def test_any_prefix_is_such_a_draw_and_what_joins_comes_behind(extracted: Path, run: Run, sampling: str) -> None:
    run(f"build-dict --sampling {sampling} --size all")
    names = drawn().read("source").tolist()
    assert len(set(names)) == 77
    run(f"build-dict --sampling {sampling} --size 20")
    assert drawn().read("source").tolist() == names[:20]
    if sampling == "representative":
        assert np.bincount(drawn().read("labels")).max() == 7
    image_folder(extracted / "more", {"dog": 3}, seed=4)
    run("add-exemplars folder:more")
    now = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    assert now.read("source").tolist()[:20] == names[:20]
    assert now.shape("atoms")[0] == 23


def test_the_smallest_that_loses_no_more_is_found(extracted: Path, run: Run) -> None:
    found = json.loads(run("condense --lose 10 --json").stdout)
    by, tried = found["decoder"], found["tried"]
    full = tried[0][by]
    small = [one for one in tried[1:-1] if one["sampling"] != "random"]
    good = [one["size"] for one in small if full - one[by] <= 10]
    assert found["keep"] == min(good)
    everything = json.loads(run("condense --lose 100 --json").stdout)
    assert everything["keep"] <= 5


def test_it_looks_through_the_transform(extracted: Path, run: Run) -> None:
    set_params(build_dict__transform="centre", lca__lambda=0.2)
    found = json.loads(run("condense --keep 15 --json").stdout)
    run("build-dict --sampling representative --size 15")
    for command in ("encode --split val", "decode --split val"):
        run(command)
    run("evaluate --split val")
    decoders = json.loads(Path("metrics-val.json").read_text())["decoders"]
    assert {name: decoders[name]["top1"] for name in decoders} == {name: found["tried"][1][name] for name in decoders}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "give --keep N"),
        ("--keep 5 --lose 1", "give one of --keep N"),
        ("--keep 0", "at least 1"),
        ("--keep 2", "from 3, one for each class, to 77"),
        ("--keep 78", "from 3, one for each class, to 77"),
        ("--lose -1", "from 0 to 100"),
        ("--lose nan", "from 0 to 100"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(extracted: Path, run: Run, options: str, said: str) -> None:
    assert said in run(f"condense {options}", ok=False).stderr


def test_without_val_there_is_nothing_to_judge_by(project: Path, run: Run) -> None:
    assert "add val to extract.splits" in run("condense --keep 5", ok=False).stderr


def test_val_does_not_judge_itself(extracted: Path, run: Run) -> None:
    set_params(build_dict__split="val")
    assert "exemplars have to come from another split" in run("condense --keep 5", ok=False).stderr
