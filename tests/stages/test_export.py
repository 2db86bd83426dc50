"""`dseld export`: what is written gives the expected codes by the chip's own arithmetic, in Python's integers."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.evaluation.deploy_formats import FORMATS, Format
from dseld_cli.store import project as paths
from tests.conftest import Run, set_params
from tests.stages.test_deploy_check import ready

__all__ = ["ready"]


def loihi(facts: dict, weights: np.ndarray, drive: np.ndarray) -> list[int]:
    """Codes of one image, in integers of any length, shifted as the chip shifts."""
    w, s, k = weights.astype(object), facts["weight_exponent"], -facts["tau_exponent"]
    two, threshold = facts["form"] == "two-layer", facts["threshold"]

    def shifted(x: np.ndarray, by: int) -> np.ndarray:
        return np.array([v << by if by > 0 else v >> -by for v in x], object)

    v = np.array([0] * len(w), object)
    into_v, into_r = v.copy(), np.array([0] * len(drive), object)
    drive = np.array([int(x) for x in drive], object)
    r = into_r.copy()
    for _ in range(facts["code_at_step"]):
        a = np.array([max(abs(x) - threshold, 0) * (1 if x > 0 else -1) for x in v], object)
        own = shifted(a * 2 ** (24 - k), -24) if two else drive
        v = shifted(v * (2**24 - 2 ** (24 - k)), -24) + into_v + own
        if not two:
            into_v = shifted(w @ a, s)
            continue
        r = r + into_r + drive
        sent = np.array([x if abs(x) > facts["spike_height"] else 0 for x in r], object)
        r, into_r, into_v = r - sent, shifted(-w.T @ a, s), shifted(w @ sent, s - k)
    return [int(max(abs(x) - threshold, 0) * (1 if x > 0 else -1)) for x in v]


@pytest.mark.parametrize("form", ["one-layer", "two-layer"])
def test_the_examples_follow_from_what_is_written(ready: Path, run: Run, form: str) -> None:
    run(f"export chip --form {form} --atoms 60")
    facts = json.loads(Path("chip/network.json").read_text())
    with np.load("chip/network.npz") as file:
        arrays = dict(file)
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    assert facts["dictionary"] == dictionary.fingerprint
    assert np.bincount(arrays["labels"]).tolist() == [20, 20, 20]
    assert np.abs(arrays["weights"]).max() < 256
    if form == "two-layer":
        weights = np.ldexp(arrays["weights"].astype(float), facts["weight_exponent"])
        atoms, labels = dictionary.read("atoms"), dictionary.read("labels")
        off = np.abs(weights[:, None] - atoms).max(axis=2)
        assert (off.min(axis=1) <= 2.0 ** facts["weight_exponent"]).all()
        np.testing.assert_array_equal(labels[off.argmin(axis=1)], arrays["labels"])
    assert len(arrays["expected"]) == 20 and arrays["expected"].any(axis=1).all()
    for drive, expected in list(zip(arrays["drive"], arrays["expected"], strict=True))[:5]:
        assert loihi(facts, arrays["weights"], drive) == expected.tolist()


def test_it_replaces_its_own_and_nothing_else(ready: Path, run: Run) -> None:
    run("export chip --atoms 60")
    before = Path("chip/network.npz").read_bytes()
    run("export chip --atoms 60")
    assert Path("chip/network.npz").read_bytes() == before
    Path("mine").mkdir()
    Path("mine/photograph.jpg").write_text("of somebody's")
    assert "holds other files" in run("export mine", ok=False).stderr
    assert "is a file" in run("export params.yaml", ok=False).stderr
    assert "--atoms 999: the dictionary has" in run("export chip --atoms 999", ok=False).stderr


def test_a_form_of_too_many_weights_is_refused_by_its_name(
    ready: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dseld_cli.stages.export.LARGEST_ONE_LAYER", 50)
    said = run("export chip --form one-layer", ok=False).stderr
    assert "--form one-layer" in said and "two-layer" in said


def spiking(arrays: dict, facts: dict) -> np.ndarray:
    """Spikes of each neuron for each image, written out."""
    atoms, counts = arrays["weights"].astype(np.float64), []
    lateral = atoms @ atoms.T - np.eye(len(atoms))
    for image in arrays["features"].astype(np.float64):
        u, v, spikes, total = (np.zeros(len(atoms)) for _ in range(4))
        for _ in range(facts["steps"]):
            u += (atoms @ image - u - lateral @ spikes * facts["quantum"]) / facts["tau"]
            v += u - facts["lambda"]
            spikes = (v >= facts["quantum"]).astype(np.float64)
            v -= facts["quantum"] * spikes
            total += spikes
        counts.append(total)
    return np.array(counts)


def test_a_spiking_network_gives_the_counts_that_are_expected(ready: Path, run: Run) -> None:
    run("export spikes --code spiking --atoms 30")
    facts = json.loads(Path("spikes/network.json").read_text())
    with np.load("spikes/network.npz") as file:
        arrays = dict(file)
    assert (facts["code"], facts["form"], arrays["weights"].shape[0]) == ("spiking", "one-layer", 30)
    assert arrays["expected"].sum() > 20
    assert np.abs(spiking(arrays, facts) - arrays["expected"]).max() <= 1


def test_a_nir_graph_says_the_same(ready: Path, run: Run) -> None:
    nir = pytest.importorskip("nir")
    run("export spikes --format nir --atoms 30")
    facts = json.loads(Path("spikes/network.json").read_text())
    with np.load("spikes/network.npz") as file:
        weights = file["weights"]
    graph = nir.read("spikes/network.nir")
    assert set(graph.edges) == {
        ("input", "drive"),
        ("drive", "neurons"),
        ("neurons", "inhibition"),
        ("inhibition", "neurons"),
        ("neurons", "output"),
    }
    np.testing.assert_allclose(graph.nodes["drive"].weight[:, :-1], weights)
    np.testing.assert_allclose(graph.nodes["drive"].weight[:, -1], -facts["lambda"])
    lateral = weights @ weights.T - np.eye(30)
    np.testing.assert_allclose(graph.nodes["inhibition"].weight, -facts["quantum"] * lateral, atol=1e-6)
    np.testing.assert_allclose(graph.nodes["neurons"].tau_syn, facts["tau"] * facts["dt"])
    assert Path("spikes/run_nir.py").exists()


def test_what_another_format_left_goes(ready: Path, run: Run) -> None:
    run("export chip --format nir --atoms 30")
    run("export chip --format lava --atoms 30")
    assert {file.name for file in Path("chip").iterdir()} == {"network.npz", "network.json", "run_lava.py"}
    run("export chip --format nest --atoms 30")
    assert {file.name for file in Path("chip").iterdir()} == {"network.npz", "network.json", "run_nest.py"}
    run("export chip --atoms 30")
    assert {file.name for file in Path("chip").iterdir()} == {"network.npz", "network.json"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--format nir --code graded", "NIR has no soft threshold"),
        ("--format nir --form two-layer", "--form two-layer"),
        ("--format nest --form two-layer", "--form two-layer"),
        ("--format nest --code spiking", "--code spiking"),
        ("--format lava --code spiking", "its LCA layers send graded spikes"),
        ("--code spiking --form two-layer", "residual"),
    ],
)
def test_what_a_format_cannot_express_is_refused_by_name(ready: Path, run: Run, options: str, said: str) -> None:
    assert said in run(f"export chip {options}", ok=False).stderr
    assert not Path("chip").exists()


def test_too_many_atoms_and_negative_activations_are_refused(
    ready: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats = {**FORMATS, "nest": Format(("graded",), ("one-layer",), most=20)}
    monkeypatch.setattr("dseld_cli.stages.export.FORMATS", formats)
    assert "--atoms 20 at most" in run("export chip --format nest --atoms 30", ok=False).stderr
    assert "raise lca.tau" in run("export chip --format nest --atoms 10 --tau 1", ok=False).stderr
    set_params(build_dict__transform="centre", lca__lambda=0.05)
    run("build-dict")
    assert "negative sign" in run("export chip --code spiking", ok=False).stderr


def test_without_the_package_nir_it_says_which_extra_brings_it(
    ready: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    assert "pip install 'dseld[nir]'" in run("export spikes --format nir --atoms 30", ok=False).stderr
    assert not Path("spikes/network.npz").exists()
