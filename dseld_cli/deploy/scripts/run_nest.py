"""Run an exported network in NEST, and compare its codes with those that dseld expects.

    python3.11 -m venv nest && nest/bin/pip install nest-simulator==3.10.0 numpy
    nest/bin/python run_nest.py

`dseld export --format nest` lays this file beside network.npz and network.json. It needs nothing of dseld.
"""

import json
import sys
from pathlib import Path
from typing import Any

try:
    import nest
    import numpy as np
except ImportError as error:
    sys.exit(f"{error}: the head of {__file__} says what to install")

CLOSE = 1e-4
"""Of the largest activation: the codes that are expected were computed in float32."""


def code(lateral: Any, drive: Any, facts: Any) -> Any:
    """Code of one image: rate neurons that hold u, and send what it has above lambda."""
    nest.ResetKernel()
    nest.SetKernelStatus(
        {"resolution": 1.0, "use_wfr": True, "wfr_tol": 1e-12, "wfr_comm_interval": 1.0, "wfr_max_iterations": 100}
    )
    step = -1 / np.log(1 - 1 / facts["tau"])  # NEST's step is exponential
    shared = {"tau": step, "theta": facts["lambda"], "sigma": 0.0, "linear_summation": False, "g": 1.0}
    layer = nest.Create("threshold_lin_rate_ipn", len(drive), params=shared)
    layer.mu = list(drive)
    nest.Connect(layer, layer, "all_to_all", {"synapse_model": "rate_connection_instantaneous", "weight": -lateral})
    nest.Simulate(float(facts["steps"]))
    return np.maximum(np.array(layer.rate) - facts["lambda"], 0)


def main(folder: Path) -> int:
    """Compare all examples; 1 where one differs."""
    nest.verbosity = nest.VerbosityLevel.ERROR
    facts, arrays = json.loads((folder / "network.json").read_text(encoding="utf-8")), np.load(folder / "network.npz")
    atoms, expected = arrays["weights"].astype(np.float64), arrays["expected"]
    lateral = atoms @ atoms.T - np.eye(len(atoms))
    off = [
        np.abs(code(lateral, atoms @ image, facts) - want).max()
        for image, want in zip(arrays["features"].astype(np.float64), expected, strict=True)
    ]
    print(f"{len(expected)} codes, activations up to {expected.max():.4g}: {max(off):.2g} off at most")
    return int(max(off) > CLOSE * expected.max())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
