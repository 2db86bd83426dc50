"""`dseld workload` with and without a project behind it."""

import json
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.store import project as paths
from tests.conftest import Run


def test_any_setting_needs_no_project_stores(project: Path, run: Run) -> None:
    found = json.loads(run("workload --atoms 50000 --features 2048 --firing 0.4 --steps 100 --json").stdout)
    assert found["workload"]["this"]["driving_input_gflop"] == pytest.approx((2 * 2048 - 1) * 50_000 / 1e9)
    assert found["workload"]["this"]["dictionary_tflop"] == pytest.approx((2 * 2048 - 1) * 50_000 * 50_001 / 2 / 1e12)
    assert found["measured"] is None
    assert "there are no codes" in run("workload --paper").stdout
    assert "ResNet-152" in run("workload --paper").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "no dictionary store"),
        ("--atoms 10 --features 3", "pass --firing PERCENT"),
        ("--atoms 0 --features 3 --firing 1", "--atoms should be at least 1"),
        ("--atoms 10 --features 3 --firing 101", "--firing should be a share"),
        ("--steps 0", "lca.steps should be"),
    ],
)
def test_what_is_missing_or_impossible_is_one_line(project: Path, run: Run, options: str, said: str) -> None:
    assert said in run(f"workload {options}", ok=False).stderr


def test_what_was_measured_is_that_of_the_codes(project: Path, run: Run) -> None:
    run("extract")
    run("build-dict --size 100")
    run("encode --images 30")
    found = json.loads(run("workload --json").stdout)
    codes = store.open_store(paths.codes("test"), store.CodesInfo)
    share = codes.read("firing").mean() / 100
    assert found["measured"]["ActivationSparsity"] == pytest.approx(1 - share)
    assert found["workload"]["this"]["share"] == pytest.approx(share)
    pixels = store.open_store(paths.features("test"), store.FeaturesInfo).read("features")[codes.read("rows")]
    b = np.count_nonzero(pixels, axis=1).mean() * 100
    assert found["measured"]["SynapticOperations"]["Effective_MACs"] > b
    assert "ActivationSparsity" in run("workload").stdout
