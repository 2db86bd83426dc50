"""`dseld deploy-check`: its float row is the pipeline's, the others come near it, and val alone chooses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.decoders.class_sum import ClassSum
from dseld_cli.deploy.fixed_point import Overflow
from dseld_cli.errors import Diverged, DoesNotFit
from dseld_cli.evaluation import report
from dseld_cli.evaluation.deploy_settings import SCALES, cheapest, finest, fitted_two_layers, lost
from dseld_cli.evaluation.deployment import Coded, Deployment, agreement, refusing
from dseld_cli.evaluation.trial import Exemplars, Sample
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.stages import deploy_check
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params
from tests.decoders.test_decoders import sparse


@pytest.fixture
def ready(project: Path, run: Run) -> Path:
    image_folder(project / "images", {"ant": 40, "bee": 40, "cat": 40}, size=4)
    image_folder(project / "images", dict.fromkeys(("ant", "bee", "cat"), 12), "test", size=4, seed=1)
    set_params(
        data__dataset="folder:images", extract__splits=["train", "val", "test"], extract__workers=0, lca__lambda=0.3
    )
    for command in ("extract", "build-dict"):
        run(command)
    return project


def test_the_float_row_is_the_pipelines_and_the_others_come_near(ready: Path, run: Run) -> None:
    found = json.loads(run("deploy-check --json").stdout)
    assert found == json.loads(Path("data/deploy/all.json").read_text())
    for command in ("encode", "decode", "baselines", "evaluate"):
        run(command)
    decoders = json.loads(Path("metrics.json").read_text())["decoders"]
    run("report")
    page = Path("report.html").read_text()
    assert "On neuromorphic hardware: an estimate" in page and "integers, two layers" in page
    first, *others = found["forms"]
    assert first["top1"] == {name: decoders[name]["top1"] for name in first["top1"]}
    assert [one["form"].split(",")[0] for one in others] == ["float", "float", "integers", "integers", "spikes"]
    for one in others:
        assert one["top1"]["class-sum"] > first["top1"]["class-sum"] - 10  # 36 images: 2.8 points each
    for one in others[2:4]:
        assert one["peak_bits"] < 23
    assert others[2]["support_agreement"] > 0.9
    assert {(one["form"], one["steps"]) for one in found["curve"]} == {
        (form, steps) for form in ("float", "spikes") for steps in (25, 50, 100, 200)
    }
    at_once = next(one for one in found["curve"] if one["form"] == "float" and one["steps"] == 100)
    assert at_once["top1"] == first["top1"] and at_once["messages"] == first["messages"]
    assert "Accuracy against steps" in page
    assert found["chosen_on"] == 12


def test_the_report_leaves_out_what_was_found_of_another_dictionary(ready: Path, run: Run) -> None:
    run("deploy-check --atoms 50")
    run("build-dict --size 90")
    for command in ("encode", "decode", "report"):
        run(command)
    assert "neuromorphic" not in Path("report.html").read_text()


def test_removed_exemplars_are_no_neurons(ready: Path, run: Run) -> None:
    before = store.open_store(paths.DICTIONARY, store.DictionaryInfo).shape("atoms")[0]
    run("remove-exemplars --index 0 --index 1")
    run("export chip")
    with np.load("chip/network.npz") as file:
        assert len(file["labels"]) == before - 2
        assert file["weights"].any(axis=1).all()
    assert f"--atoms {before}: the dictionary has {before - 2}" in run(f"export chip --atoms {before}", ok=False).stderr
    assert "of 3 classes, each of which needs one" in run("deploy-check --atoms 2", ok=False).stderr
    assert json.loads(run("deploy-check --json").stdout)["atoms"] == before - 2


def test_its_table_says_that_nothing_ran_on_a_chip(ready: Path, run: Run) -> None:
    said = run("deploy-check --atoms 50 --weight-bits 4").stdout
    assert "50 exemplars" in said and "4-bit weights" in said
    assert "nothing here ran on a chip" in said
    assert "two-layer: 98 neurons, 4,800 synapses: 1 Loihi 2" in said


def test_a_recurrence_that_diverges_is_refused_before_anything_is_compared(ready: Path, run: Run) -> None:
    said = run("deploy-check --tau 1 --lambda 0.01", ok=False).stderr
    assert "diverges" in said and "raise tau" in said
    assert "at most 2^24" in run("deploy-check --tau 1e9", ok=False).stderr
    assert not Path("data/deploy").exists()


def test_without_val_or_with_more_atoms_than_there_are_it_says_what_to_do(ready: Path, run: Run) -> None:
    assert "--atoms 5000: the dictionary has" in run("deploy-check --atoms 5000", ok=False).stderr
    (ready / "data/features/val.zarr").rename(ready / "elsewhere")
    assert "add val to extract.splits" in run("deploy-check", ok=False).stderr


@pytest.fixture
def deployment() -> Deployment:
    exemplars = Exemplars(np.eye(2, dtype=np.float32), np.array([0, 1]), 2)
    return Deployment(exemplars, LCAParams(0.5, 8.0, 8), {"class-sum": ClassSum()})


def test_the_finest_scale_that_fits_is_taken_and_the_cheapest_that_is_as_good(deployment: Deployment) -> None:
    sample = Sample(np.eye(2, dtype=np.float32) * 4, np.array([0, 1]))
    right, wrong = sparse(np.array([[1, 0], [0, 1]])), sparse(np.array([[0, 1], [1, 0]]))
    scale, _ = finest(deployment, lambda scale: lambda _: Coded(right, 1, 1, peak_bits=scale + 5.5), sample, "fits")
    assert scale == 16  # 21.5 of 22 bits
    found = {1.0: Coded(right, 1, 1), 2.0: Coded(right, 1, 1), 4.0: Coded(wrong, 1, 1), 8.0: None}
    assert cheapest(deployment, found.items(), sample, Coded(right, 1, 1)) == 2.0
    assert cheapest(deployment, [(1.0, Coded(wrong, 1, 1))], sample, Coded(right, 1, 1)) == 1.0, "nothing is better"
    with pytest.raises(DoesNotFit, match="every scale"):
        finest(deployment, lambda scale: lambda _: Coded(right, 1, 1, peak_bits=23.0), sample, "never fits")


def test_what_is_lost_has_its_standard_error_with_it_so_that_many_changes_are_no_bargain() -> None:
    wanted = np.arange(1000) < 800
    assert lost(wanted, wanted) == 0
    few, many = wanted.copy(), wanted.copy()
    few[799] = False
    assert lost(wanted, few) == pytest.approx(0.1 + 0.1, abs=0.001)  # 1 of 1,000, as likely 0 or 2
    many[780:820] = ~many[780:820]  # 20 lost and 20 won: no point of accuracy
    assert lost(wanted, many) == pytest.approx(100 * np.sqrt(0.04 / 1000), abs=0.001)


def test_agreement_is_the_share_of_neurons_active_in_both() -> None:
    assert agreement(sparse(np.array([[1, 2, 0]])), sparse(np.array([[0, 3, 1]]))) == pytest.approx(1 / 3)
    assert agreement(sparse(np.array([[0, 0]])), sparse(np.array([[0, 0]]))) == 1.0
    assert agreement(sparse(np.array([[1, 0], [0, 1]])), sparse(np.array([[0, 1], [0, 1]]))) == pytest.approx(1 / 3)


def test_inhibition_one_step_late_is_what_the_recurrence_says_with_a_delay() -> None:
    rng = np.random.default_rng(0)
    atoms = np.abs(rng.normal(size=(30, 12)))
    atoms = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(np.float32)
    images = np.abs(rng.normal(size=(4, 12))).astype(np.float32)
    params = LCAParams(0.5, 20.0, 40)
    found = Deployment(Exemplars(atoms, np.zeros(30, np.int64), 1), params, {}).late()(images)
    lateral = atoms.astype(np.float64) @ atoms.T - np.eye(30)
    for i, image in enumerate(images):
        u, a, before = np.zeros(30), np.zeros(30), np.zeros(30)
        for _ in range(40):
            u += (atoms @ image - u - lateral @ before) / 20
            before, a = a, np.sign(u) * np.maximum(np.abs(u) - 0.5, 0)
        np.testing.assert_allclose(found.codes.to_scipy(30).toarray()[i], a, atol=1e-5)


def test_spikes_through_the_gramian_are_those_through_the_atoms() -> None:
    rng = np.random.default_rng(0)
    atoms = np.abs(rng.normal(size=(30, 12)))
    atoms = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(np.float32)
    images = np.abs(rng.normal(size=(4, 12))).astype(np.float32)
    made = Deployment(Exemplars(atoms, np.zeros(30, np.int64), 1), LCAParams(0.5, 20.0, 40), {})
    found, held = made.spikes(images, 80, 0.5), replace(made, holds_gramian=True).spikes(images, 80, 0.5)
    assert found.counts.sum() > 20
    np.testing.assert_array_equal(found.per_step, held.per_step)
    np.testing.assert_array_equal(found.counts, held.counts)


def test_one_layer_is_left_out_where_memory_does_not_hold_its_weights(
    ready: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy_check.deployed
    monkeypatch.setattr(deploy_check, "deployed", lambda *its: replace(made(*its), holds_one_layer=False))
    said = run("deploy-check --atoms 50").stdout
    assert "integers, one layer: left out, run.memory does not hold 2,500 weights" in said
    forms = [one["form"] for one in json.loads(Path("data/deploy/50.json").read_text())["forms"]]
    assert "integers, two layers" in forms
    assert "integers, one layer" not in forms


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"dictionary": 1}', b"\xff"])
@pytest.mark.parametrize("file", ["data/deploy/all.json", "data/reconstruction/figures.json", "data/audit/audit.json"])
def test_the_report_names_a_damaged_file_of_figures(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, file: str, content: bytes
) -> None:
    shutil.copytree(quickstart, tmp_path / "digits")
    monkeypatch.chdir(tmp_path / "digits")
    Path(file).parent.mkdir(parents=True)
    Path(file).write_bytes(content)
    monkeypatch.setattr(report, "drawings", lambda *_: [])
    assert file in run("report", ok=False).stderr


def test_the_height_that_gave_the_scale_is_not_coded_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample(np.eye(2, dtype=np.float32) * 4, np.array([0, 1]))
    heights, two_layers = [], Deployment.two_layers
    monkeypatch.setattr(Deployment, "two_layers", lambda *its: heights.append(its[2]) or two_layers(*its))
    scale, _ = fitted_two_layers(deployment, sample)
    assert heights.count(0) == SCALES[0] - scale + 1


def test_an_image_that_leaves_24_bits_is_undecided_and_counted_and_the_others_are_not_disturbed() -> None:
    made = Deployment(Exemplars(np.eye(2, dtype=np.float32), np.array([0, 1]), 2), LCAParams(0.5, 8.0, 8), {})
    images = np.array([[1, 0], [0, 3], [0, 3000], [2, 2], [3000, 0]], np.float32)
    with pytest.raises(Overflow):
        made.run(made.one_layer(14), images, "test")
    coded = made.run(refusing(made.one_layer(14)), images, "test")
    assert coded.refused == 2
    assert np.diff(coded.codes.indptr).tolist() == [1, 1, 0, 2, 0]
    alone = made.run(made.one_layer(14), images[[0, 1, 3]], "test")
    np.testing.assert_array_equal(coded.codes.values, alone.codes.values)
    assert coded.peak_bits == alone.peak_bits


def test_a_curve_may_show_what_has_not_settled_yet(deployment: Deployment) -> None:
    atoms = np.array([[1.0, 0.0], [0.999, 0.0447], [0.998, 0.0632]], np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    made = Deployment(Exemplars(atoms, np.zeros(3, np.int64), 1), LCAParams(0.1, 1.0, 8), {})
    images = np.array([[5, 0.1]], np.float32)
    with pytest.raises(Diverged):
        made.run(made.floating(made.params), images, "test")
    assert len(made.run(made.floating(made.params, settled=False), images, "test").codes) == 1
