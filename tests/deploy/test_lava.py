"""Our integers are those of Intel's lava, bit for bit, run by the script that `dseld export` lays beside a network.

lava-nc ends at Python 3.10, so that it runs in an environment of its own, named by DSELD_LAVA_PYTHON; how to make one
is at the head of dseld_cli/deploy/scripts/run_lava.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dseld_cli.deploy import script
from dseld_cli.deploy.fixed_point import Integers, Weights, inhibition_weights, quantise, run_one_layer, run_two_layers
from dseld_cli.lca.recurrence import LCAParams

PYTHON = os.environ.get("DSELD_LAVA_PYTHON")
PARAMS = LCAParams(lambda_=0.5, tau=32, steps=32)
SCALE = 12
IMAGES = 20

pytestmark = pytest.mark.skipif(
    not PYTHON,
    reason="lava needs a Python 3.10 of its own: DSELD_LAVA_PYTHON (see dseld_cli/deploy/scripts/run_lava.py)",
)


def in_lava(folder: Path, form: str, weights: Weights, drive: np.ndarray, ours: Integers, height: int) -> str:
    """What lava says of our codes."""
    expected = ours.code * 2**SCALE
    assert np.count_nonzero(expected) > IMAGES
    np.savez(folder / "network.npz", weights=weights.mantissa, drive=np.rint(drive * 2**SCALE), expected=expected)
    facts = {"form": form, "weight_exponent": weights.exponent, "tau_exponent": -5, "threshold": round(0.5 * 2**SCALE)}
    facts |= {"spike_height": height * 2**SCALE, "code_at_step": PARAMS.steps + (form == "two-layer")}
    (folder / "network.json").write_text(json.dumps(facts))
    (folder / "run_lava.py").write_text(script("run_lava.py"))
    return subprocess.run([str(PYTHON), folder / "run_lava.py"], capture_output=True, text=True).stdout


@pytest.fixture(params=[0.0, 0.3], ids=["one sign", "both signs"])
def digits(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    pixels = load_digits().data / 16 - request.param
    return pixels[:100] / np.linalg.norm(pixels[:100], axis=1, keepdims=True), pixels[1000 : 1000 + IMAGES]


def test_one_layer_is_lavas_bit_for_bit(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    atoms, images = digits
    b, weights = images @ atoms.T, inhibition_weights(atoms, PARAMS.tau)
    ours = run_one_layer(b, weights, PARAMS, SCALE)
    said = in_lava(tmp_path, "one-layer", weights, b / PARAMS.tau, ours, 0)
    assert said == f"{IMAGES} of {IMAGES} codes equal to the last bit\n"


@pytest.mark.parametrize("height", [0, 1])
def test_two_layers_are_lavas_bit_for_bit(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray], height: int) -> None:
    atoms, images = digits
    weights = quantise(atoms)
    ours = run_two_layers(images, weights, PARAMS, SCALE, height)
    said = in_lava(tmp_path, "two-layer", weights, images, ours, height)
    assert said == f"{IMAGES} of {IMAGES} codes equal to the last bit\n"
