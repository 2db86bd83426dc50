"""A pipeline's stores opened from Python, and written as tables."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dseld_cli
from dseld_cli import ExemplarClassifier, Project, StoreMissing, encode
from dseld_cli.errors import DoesNotFit
from tests.conftest import Run


@pytest.fixture
def project(quickstart: Path) -> Project:
    return Project(quickstart)


def test_what_is_read_agrees_with_metrics_json(project: Project, quickstart: Path) -> None:
    metrics = json.loads((quickstart / "metrics.json").read_text())
    for decoder, figures in metrics["decoders"].items():
        found = project.predictions(decoder)
        assert round(100 * found.top1, 2) == figures["top1"]
        assert found.classes == tuple("0123456789")
        assert len(found.source) == len(found.truth) == metrics["images"]
    assert len(project.dictionary().atoms) == metrics["exemplars"]


def test_what_is_read_prints_as_its_sizes_in_one_line(project: Project) -> None:
    found = [project.features(), project.dictionary(), project.codes(), project.predictions()]
    assert all("\n" not in repr(each) and len(repr(each)) < 200 for each in found)
    assert repr(found[0]).startswith("Features(features (360, 64), labels (360,), classes (10,)")


def test_features_atoms_and_codes_belong_together(project: Project) -> None:
    codes, features, dictionary = project.codes(), project.features(), project.dictionary()
    np.testing.assert_array_equal(codes.labels, features.labels[codes.rows])
    assert codes.source == [features.source[row] for row in codes.rows]
    assert codes.to_scipy().shape == (len(codes.rows), len(dictionary.atoms))
    again = encode(features.features[codes.rows], dictionary.atoms, codes.params)
    assert (again.codes.to_scipy(codes.n_atoms) != codes.to_scipy()).nnz == 0, "bit for bit"


def test_the_estimators_codes_are_the_pipelines_bit_for_bit(project: Project) -> None:
    train, codes, dictionary = project.features("train"), project.codes(), project.dictionary()
    row = {name: i for i, name in enumerate(train.source)}
    order = [row[name] for name in dictionary.source]
    model = ExemplarClassifier(lambda_=codes.params.lambda_).fit(train.features[order], train.labels[order])
    np.testing.assert_array_equal(model.atoms_, dictionary.atoms)
    images = project.features().features[codes.rows]
    assert (model.transform(images) != codes.to_scipy()).nnz == 0
    np.testing.assert_array_equal(model.predict(images), project.predictions().labels)


def test_an_explanation_adds_up_to_the_class(project: Project) -> None:
    found = project.predictions()
    spoke = project.explain(5, exemplars=1000)
    assert {exemplar.label for exemplar in spoke} == {found.classes[found.labels[5]]}
    assert sum(exemplar.share for exemplar in spoke) == pytest.approx(1)
    dictionary = project.dictionary()
    assert all(dictionary.source[exemplar.atom] == exemplar.source for exemplar in spoke)


@pytest.mark.parametrize("image", [-1, 360])
def test_only_images_that_there_are_have_an_explanation(project: Project, image: int) -> None:
    with pytest.raises(DoesNotFit, match=f"no image {image}: the coded images of test are 0 to 359"):
        project.explain(image)


def test_zarr_opens_every_store_and_says_what_is_in_it(project: Project) -> None:
    gramian = project.group("gramian")["gramian"]
    atoms = project.dictionary().atoms
    np.testing.assert_allclose(gramian[:5, :3], atoms[:5] @ atoms[:3].T, atol=1e-6)  # type: ignore[index]
    for name in ("features/test", "dictionary", "gramian", "codes/test", "predictions/test/class-sum"):
        for _, array in project.group(name).arrays():
            assert array.attrs["meaning"], (name, array.name)


def test_what_is_missing_is_said_by_type(project: Project, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="dseld extract"):
        project.codes("val")
    with pytest.raises(DoesNotFit):
        Project(tmp_path / "nowhere")
    with pytest.raises(DoesNotFit):
        project.group("nothing")


def test_importing_the_package_is_cheap_and_changes_nothing() -> None:
    code = "import sys; import dseld_cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "zarr", "torch", "numba", "scipy", "sklearn", "pydantic", "typer"} & set(loaded)


def test_every_public_name_is_there() -> None:
    for name in dseld_cli.__all__:
        assert getattr(dseld_cli, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        _ = dseld_cli.nothing  # type: ignore[attr-defined]


def test_tables_hold_what_the_stores_hold(
    quickstart: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(quickstart)
    for what in ("predictions", "codes"):
        for ending in ("csv", "npz"):
            run(f"export-table {what} {tmp_path / what}.{ending}")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = project.predictions()
    assert [row["class-sum"] for row in rows] == [found.classes[label] for label in found.labels]
    assert [row["true"] for row in rows] == [found.classes[label] for label in found.truth]
    codes = project.codes()
    with np.load(tmp_path / "codes.npz") as table:
        np.testing.assert_array_equal(table["atom"], codes.codes.indices)
        np.testing.assert_array_equal(table["activation"], codes.codes.values)
        assert len(table["exemplar"]) == len(table["image"]) == len(codes.codes.values)
    with (tmp_path / "codes.csv").open(newline="") as file:
        assert sum(1 for _ in file) == 1 + len(codes.codes.values)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("export-table codes codes.xlsx", ".csv"),
        ("export-table images a.csv", "codes and predictions"),
        ("export-table codes nowhere/codes.csv", "no folder"),
        ("export-table codes params.yaml", ".yaml"),
        ("export-table predictions metrics.json --decoder class-sum", ".json"),
    ],
)
def test_what_cannot_be_written_is_refused(
    line: str, words: str, quickstart: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(quickstart)
    assert words in run(line, ok=False).stderr
