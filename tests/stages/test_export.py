"""`dseld export`: what is written gives the expected codes by the chip's own arithmetic, in Python's integers."""

import json
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.store import project as paths
from tests.conftest import Run
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
    np.testing.assert_array_equal(arrays["labels"], dictionary.read("labels")[:60])
    assert np.abs(arrays["weights"]).max() < 256
    if form == "two-layer":
        off = np.abs(
            np.ldexp(arrays["weights"].astype(float), facts["weight_exponent"]) - dictionary.read("atoms")[:60]
        )
        assert off.max() <= 2.0 ** facts["weight_exponent"]
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
