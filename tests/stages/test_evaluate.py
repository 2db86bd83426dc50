"""`dseld evaluate` and `dseld baselines`: what they say about data that is small, odd, or of another split."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.evaluation import tables
from dseld_cli.stages import evaluate
from dseld_cli.store import project as paths
from tests.conftest import Run, set_params

RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((9, 12)).astype(np.float32)


def bring(run: Run, split: str, labels: list[int], classes: list[str], seed: int = 0) -> np.ndarray:
    """Take in features around a centre per class; these features."""
    noise = np.random.default_rng(seed).standard_normal((len(labels), 12))
    features = (CENTRES[labels] + 0.3 * noise).astype(np.float32)
    np.savez("given.npz", features=features, labels=labels, classes=classes)
    run(f"extract --from-npz given.npz --split {split} --extractor made")
    return features


@pytest.fixture
def small(project: Path, run: Run) -> Path:
    """Four classes of six exemplars, with eight test and twelve val images, decoded."""
    set_params(lca__lambda=0.3, lca__steps=60, decoders=["class-sum", "max-activation"], trained_decoders=[])
    classes = ["ant", "bee", "cat", "dog"]
    bring(run, "train", [0, 1, 2, 3] * 6, classes)
    bring(run, "test", [0, 1, 2, 3] * 2, classes, seed=1)
    bring(run, "val", [0, 1, 2, 3] * 3, classes, seed=2)
    for line in ("build-dict", "encode", "decode"):
        run(line)
    return project


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents() -> dict[str, bytes]:
    files = [*Path("data/evaluation").rglob("*.*"), *Path().glob("metrics*.json")]
    return {str(file): file.read_bytes() for file in files}


def test_a_split_has_predictions_and_tables_of_its_own(small: Path, run: Run) -> None:
    run("baselines --baseline cosine-knn")
    assert "8 test images" in run("evaluate").stdout
    before, test = (
        contents(),
        store.open_store(paths.predictions("class-sum", "test"), store.PredictionsInfo).fingerprint,
    )
    for line in ("encode --split val", "decode --split val", "baselines --baseline cosine-knn --split val"):
        run(line)
    said = run("evaluate --split val").stdout
    assert "12 val images" in said
    assert "Accuracy on the val split" in said
    after = contents()
    assert {name: after[name] for name in before} == before
    assert store.open_store(paths.predictions("class-sum", "test"), store.PredictionsInfo).fingerprint == test
    for split, n in (("test", 8), ("val", 12)):
        metrics = json.loads(paths.metrics(split).read_text())
        assert (metrics["split"], metrics["images"], list(metrics["baselines"])) == (split, n, ["cosine-knn"])
        for table in ("per_class", "confusion", "predictions"):
            assert {row["split"] for row in rows_of(paths.evaluation(split) / f"{table}.csv")} == {split}


def test_every_image_has_a_row_with_what_each_decoder_says(small: Path, run: Run) -> None:
    run("evaluate")
    rows = rows_of(paths.evaluation("test") / "predictions.csv")
    found = store.open_store(paths.predictions("max-activation", "test"), store.PredictionsInfo)
    assert [row["true"] for row in rows] == ["ant", "bee", "cat", "dog"] * 2
    assert [row["max-activation"] for row in rows] == [["ant", "bee", "cat", "dog"][i] for i in found.read("labels")]
    scores = [float(row["max-activation score"]) for row in rows]
    np.testing.assert_allclose(scores, found.read("scores").max(axis=1), rtol=1e-5)
    assert [row["image"] for row in rows] == list(
        store.open_store(paths.features("test"), store.FeaturesInfo).read("source")
    )


def test_no_image_of_a_class_that_the_dictionary_has_changes_nothing(small: Path, run: Run) -> None:
    run("evaluate")
    before = contents()
    bring(run, "test", [5, 6, 5], ["a", "b", "c", "d", "e", "eel", "fox"], seed=3)
    run("encode")
    run("decode")
    said = run("evaluate", ok=False).stderr
    assert "none of the 3 images of data/features/test.zarr is of a class that data/dictionary.zarr has" in said
    assert "its classes are ant, bee, cat, ..." in said
    assert contents() == before


def test_a_failure_while_drawing_changes_nothing(small: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("evaluate")
    before = contents()
    run("encode --lambda 0.2")
    run("decode")

    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.plots, "png", fail)
    run("evaluate", ok=False)
    assert contents() == before


def test_an_image_of_an_unknown_class_is_wrong_even_if_nothing_speaks_for_it(small: Path, run: Run) -> None:
    bring(run, "test", [0, 8], ["ant", *"bcdefgh", "yak"], seed=1)
    run("encode --lambda 100")
    run("decode")
    run("evaluate")
    found = json.loads(Path("metrics.json").read_text())["decoders"]["class-sum"]
    assert (found["top1"], found["macro_f1"], found["undecided"]) == (0, 0, 2)
    assert [row["true"] for row in rows_of(paths.evaluation("test") / "predictions.csv")] == ["ant", "yak"]


def test_test_images_that_are_exemplars_are_counted_and_said(small: Path, run: Run) -> None:
    run("evaluate")
    assert json.loads(Path("metrics.json").read_text())["images_in_dictionary"] == 0
    bring(run, "test", [0, 1, 2, 3] * 6, ["ant", "bee", "cat", "dog"])
    run("encode --images 10")
    run("decode")
    assert "10 of the 10 test images are in the dictionary, or equal to an exemplar" in run("evaluate").stderr
    assert json.loads(Path("metrics.json").read_text())["images_in_dictionary"] == 10
    run("report")
    assert "10 of these images are in the dictionary" in Path("report.html").read_text()


def test_names_are_text_everywhere(project: Path, run: Run) -> None:
    set_params(lca__lambda=0.3, decoders=["class-sum"], trained_decoders=[], baselines__names=["nearest-class-mean"])
    classes = ["[/b]", "[bold]cat", "$\\foo$", "=1+1", "-2", "\x1b[31mred\nline", "<i>&amp;", "_x_{", "@x"]
    bring(run, "train", list(range(9)) * 3, classes)
    bring(run, "test", list(range(9)), classes, seed=1)
    for line in ("build-dict", "encode", "decode", "baselines", "evaluate"):
        assert "\x1b" not in run(line).stdout
    rows = rows_of(paths.evaluation("test") / "per_class.csv")
    assert [row["class"] for row in rows] == [
        "[/b]", "[bold]cat", "$\\foo$", "'=1+1", "'-2", "\\x1b[31mred\\nline", "<i>&amp;", "_x_{", "'@x"
    ]  # fmt: skip
    run("report")
    page = Path("report.html").read_text()
    assert "\x1b" not in page
    assert "&lt;i&gt;&amp;amp;" in page


def test_tables_fit_80_columns(small: Path, run: Run) -> None:
    set_params(decoders=["class-sum", "max-activation", "minimum-residual", "balanced-class-sum"])
    run("decode")
    run("baselines")
    said = run("evaluate").stdout
    assert "hardest" not in said, "nothing is wrong"
    lines = said[said.index("Accuracy") :]
    assert max(map(len, lines.splitlines())) <= 80


def test_the_hardest_class_is_named_once_and_only_where_mistakes_are_made() -> None:
    found = {"max": {"ant": 50.0, "bee": 90.0}, "sum": {"ant": 60.0, "bee": 60.0}, "src": {"ant": 100.0, "bee": 100.0}}
    assert evaluate._hardest(found) == ["ant (max 50.00 %, sum 60.00 %)"]
    assert evaluate._hardest(found | {"knn": {"ant": 90.0, "bee": 80.0}})[1:] == ["bee (knn 80.00 %)"]


def test_one_exemplar_of_each_class_is_enough_for_baselines(project: Path, run: Run) -> None:
    set_params(lca__lambda=0.3)
    bring(run, "train", [0, 1], ["ant", "bee"])
    bring(run, "test", [0, 1, 1], ["ant", "bee"], seed=1)
    run("build-dict")
    said = run("baselines").stdout
    assert "cosine-knn: 1 neighbour votes, not 20: a typical class has no more exemplars" in said
    assert "logistic-regression: too few exemplars to choose the regularisation by" in said
    for name in ("nearest-class-mean", "cosine-knn", "logistic-regression"):
        assert store.open_store(paths.baseline(name, "test"), store.BaselineInfo).read("labels").tolist() == [0, 1, 1]


def test_one_class_alone_is_refused(project: Path, run: Run) -> None:
    bring(run, "train", [0, 0], ["ant", "bee"])
    bring(run, "test", [0, 1], ["ant", "bee"], seed=1)
    run("build-dict")
    assert "exemplars of one class only" in run("baselines", ok=False).stderr


def test_a_class_that_joined_later_counts(small: Path, run: Run) -> None:
    bring(run, "train", [0, 1, 2, 3] * 6, ["ant", "bee", "cat", "dog"])
    np.savez("more.npz", features=CENTRES[[7, 7]] + 0.1, labels=[0, 0], classes=["emu"])
    run("extract --from-npz more.npz --split train --extractor made --output data/additions/more.zarr")
    run("add-exemplars data/additions/more.zarr")
    bring(run, "test", [0, 7], ["ant", *"bcdefg", "emu"], seed=1)
    for line in ("encode", "decode", "baselines", "evaluate"):
        run(line)
    found = {row["class"]: row["max-activation"] for row in rows_of(paths.evaluation("test") / "per_class.csv")}
    assert found == {"ant": "100.0", "emu": "100.0"}


@pytest.mark.parametrize(
    ("command", "holds"),
    [
        ("decode", "the scores of a block and the atoms that fire"),
        ("evaluate", "predictions of 8 images"),
        ("baselines", "exemplars of 12 features"),
        ("report", "predictions of 8 images"),
    ],
)
def test_a_budget_that_holds_nothing_is_one_line(
    small: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: str, holds: str
) -> None:
    from dseld_cli.runtime import budget

    monkeypatch.setattr(budget, "RUNTIME", 4 * 2**30)
    said = run(command, ok=False).stderr
    assert "run.memory: 4GiB does not hold" in said
    assert holds in said


def test_more_images_than_a_block_has_are_all_counted(small: Path, run: Run) -> None:
    """Scores are read block by block; sums over all of them are what counts."""
    truth = np.array([0, 1, 2, 3, 3] * 450)
    bring(run, "test", truth.tolist(), ["ant", "bee", "cat", "dog"], seed=5)
    assert len(truth) > store.spec.ROWS
    for line in ("encode", "decode", "baselines --baseline nearest-class-mean", "evaluate"):
        run(line)
    found = json.loads(Path("metrics.json").read_text())
    for name, its in found["decoders"].items():
        said = store.open_store(paths.predictions(name, "test"), store.PredictionsInfo)
        assert its["top1"] == round(100 * float((said.read("labels") == truth).mean()), 2)
        assert its["top5"] == round(100 * float((said.read("scores")[np.arange(len(truth)), truth] > 0).mean()), 2)
    baseline = store.open_store(paths.baseline("nearest-class-mean", "test"), store.BaselineInfo)
    right = round(100 * float((baseline.read("labels") == truth).mean()), 2)
    assert found["baselines"]["nearest-class-mean"]["top1"] == right
    firing = store.codes_of("test").read("firing") / 24
    assert found["firing"]["average"] == pytest.approx(100 * firing.mean(), abs=1e-4)
    assert found["firing"]["peak"] == pytest.approx(100 * firing.max(axis=1).mean(), abs=1e-4)
    assert len(rows_of(paths.evaluation("test") / "predictions.csv")) == len(truth)
