"""`dseld paper`: the paper's figures beside those of finished runs."""

import json
from pathlib import Path

import pytest

from dseld_cli.config.presets import PRESETS
from dseld_cli.evaluation.paper import ACCURACY, beside
from tests.conftest import Run


def metrics(dataset: str, backbone: str, exemplars: int = 50_000, **top1: float) -> dict[str, object]:
    decoders = {
        name.replace("_", "-"): {"top1": value, "low": value - 1, "high": value + 1} for name, value in top1.items()
    }
    return {"dataset": dataset, "backbone": backbone, "exemplars": exemplars, "decoders": decoders}


def test_every_row_of_the_paper_is_a_preset_of_its_data_set_and_network() -> None:
    for row in ACCURACY:
        chosen = PRESETS[row.preset]
        assert chosen["data.dataset"] == row.dataset
        assert str(chosen.get("extract.backbone", "none")).partition("@")[0] == row.extractor
        assert (chosen["build_dict.size"], chosen["lca.lambda"], chosen["lca.tau"], chosen["lca.steps"]) == (
            50_000, 2.0, 100.0, 100,
        )  # fmt: skip


def test_ours_stand_beside_theirs_and_alone_where_they_have_none() -> None:
    few = metrics("mnist", "none", 1000, class_sum=90.0)
    runs = [metrics("mnist", "none", class_sum=97.9), few, metrics("digits", "none", 1437, class_sum=98.0)]
    rows = {(row.dataset, row.extractor, row.decoder): row for row in beside(runs)}
    mnist = rows["mnist", "none", "class-sum"]
    assert (mnist.theirs, mnist.ours, mnist.exemplars) == (97.48, 97.9, 50_000)
    assert rows["mnist", "none", "max-activation"].ours is None
    assert rows["cifar100", "resnet152", "class-sum"].theirs == 79.32
    assert (rows["digits", "none", "class-sum"].theirs, rows["digits", "none", "class-sum"].ours) == (None, 98.0)


def test_weights_are_no_part_of_a_networks_name() -> None:
    rows = beside([metrics("cifar100", "resnet152@IMAGENET1K_V2", class_sum=79.0)])
    assert next(row.ours for row in rows if row.dataset == "cifar100" and row.decoder == "class-sum") == 79.0


def test_the_table_of_this_project_and_of_others(project: Path, run: Run) -> None:
    assert "mnist     none               class-sum       97.48     -" in run("paper").stdout
    for name, value in (("a", 97.9), ("b", 79.5)):
        Path(name).mkdir()
        found = metrics("mnist" if name == "a" else "cifar100", "none" if name == "a" else "resnet152", class_sum=value)
        Path(name, "metrics.json").write_text(json.dumps(found))
    said = run("paper a b").stdout
    assert "97.48  97.90  96.90 to 98.90      50000" in said
    assert "79.32  79.50" in said
    assert not Path("data").exists()  # nothing is drawn outside of a project
    Path("data").mkdir()
    assert "data/paper/extractors.png (Fig. 6)" in run("paper a b").stdout
    assert all(Path("data/paper", name).read_bytes().startswith(b"\x89PNG") for name in ("extractors.png", "costs.png"))
    assert {row["ours"] for row in json.loads(run("paper a b --json").stdout)["accuracy"]} == {None, 97.9, 79.5}


@pytest.mark.parametrize(("content", "said"), [(None, "no a/metrics.json"), ("{", "cannot be read"), ("{}", "again")])
def test_what_has_no_figures_is_one_line(project: Path, run: Run, content: str | None, said: str) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        if content is not None:
            Path(name, "metrics.json").write_text(content)
    assert said in run("paper a b", ok=False).stderr


@pytest.mark.parametrize("folder", ["nosuch", "."])
def test_a_folder_that_is_named_has_to_have_figures(project: Path, run: Run, folder: str) -> None:
    assert "name folders of projects in which `dseld evaluate` has run" in run(f"paper {folder}", ok=False).stderr
    said = run("paper").stdout
    assert "97.48" in said
    assert "interval" not in said, "there is none to show"
