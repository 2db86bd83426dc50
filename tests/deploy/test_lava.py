"""Our integers are those of Intel's lava, bit for bit.

lava-nc ends at Python 3.10, so that it runs in an environment of its own, named by DSELD_LAVA_PYTHON:

    python3.10 -m venv lava && lava/bin/pip install numpy==1.26.4 scipy networkx asteval
    lava/bin/pip install --no-deps lava-nc==0.10.0 lava-optimization==0.5.0
    DSELD_LAVA_PYTHON=lava/bin/python pytest tests/deploy/test_lava.py
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dseld_cli.deploy.fixed_point import inhibition_weights, quantise, run_one_layer, run_two_layers
from dseld_cli.lca.recurrence import LCAParams

PYTHON = os.environ.get("DSELD_LAVA_PYTHON")
PARAMS = LCAParams(lambda_=0.5, tau=32, steps=32)
SCALE = 12


@pytest.mark.skipif(not PYTHON, reason="lava needs a Python 3.10 of its own: DSELD_LAVA_PYTHON (see this file's head)")
@pytest.mark.parametrize("centred", [False, True], ids=["one sign", "both signs"])
@pytest.mark.parametrize("spike_height", [0, 1])
def test_codes_are_lavas_bit_for_bit(tmp_path: Path, centred: bool, spike_height: int) -> None:
    pixels = load_digits().data / 16 - (0.3 if centred else 0)
    atoms = pixels[:100] / np.linalg.norm(pixels[:100], axis=1, keepdims=True)
    images = pixels[1000:1020]
    b = images @ atoms.T
    lateral, forward = inhibition_weights(atoms, PARAMS.tau), quantise(atoms)
    np.savez(
        tmp_path / "given.npz",
        lateral=lateral.mantissa.astype(np.int32),
        lateral_exp=lateral.exponent,
        atoms=forward.mantissa.astype(np.int32),
        atoms_exp=forward.exponent,
        bias=np.rint(b * 2**SCALE / PARAMS.tau).astype(np.int64),
        features=np.rint(images * 2**SCALE).astype(np.int64),
        threshold=round(PARAMS.lambda_ * 2**SCALE),
        tau_exp=-5,
        steps=PARAMS.steps,
        spike_height=spike_height * 2**SCALE,
    )
    script = Path(__file__).with_name("lava_codes.py")
    subprocess.run([str(PYTHON), script, tmp_path / "given.npz", tmp_path / "found.npz"], check=True)
    found = np.load(tmp_path / "found.npz")
    one = run_one_layer(b, lateral, PARAMS, SCALE).code
    two = run_two_layers(images, forward, PARAMS, SCALE, spike_height).code
    assert np.count_nonzero(one) > 20 and np.count_nonzero(two) > 20
    np.testing.assert_array_equal(found["one"], one * 2**SCALE)
    np.testing.assert_array_equal(found["two"], two * 2**SCALE)
