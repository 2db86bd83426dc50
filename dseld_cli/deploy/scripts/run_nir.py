"""Run an exported network in norse, and compare its spikes with those that dseld expects.

    python3.11 -m venv norse && norse/bin/pip install torch numpy h5py nir
    norse/bin/pip install --no-deps norse==1.1.0 nirtorch
    norse/bin/python run_nir.py

`dseld export --format nir` lays this file beside network.nir and network.npz. It needs nothing of dseld. Other readers
of NIR have to do the same three things: step by `dt`, subtract the threshold at a spike, which NIR cannot say, and give
the last input, lambda's, tau at the first step and 1 at all others.
"""

import json
import sys
from pathlib import Path
from typing import Any

try:
    import nir
    import norse.torch
    import numpy as np
    import torch
    from norse.torch.functional.reset import reset_subtract
except ImportError as error:
    sys.exit(f"{error}: the head of {__file__} says what to install")


def spikes(graph: Any, features: Any, facts: Any) -> Any:
    """Count the spikes of each neuron for images (n, N): (n, M)."""
    network = norse.torch.from_nir(graph, dt=facts["dt"], reset_method=reset_subtract, ignore_warnings=True)
    network = network.double()  # states in 64 bits, as dseld's: in 32, one spike in two thousand comes a step away
    state, found = None, np.zeros((len(features), facts["atoms"]), np.int64)
    with torch.no_grad():
        for step in range(facts["steps"]):
            last = np.full((len(features), 1), facts["tau"] if step == 0 else 1.0)
            sent, state = network(torch.tensor(np.hstack([features, last]), dtype=torch.float64), state)
            found += sent.numpy().astype(np.int64)
    return found


def main(folder: Path) -> int:
    """Compare all examples; 1 where a count is off by more than one."""
    facts, arrays = json.loads((folder / "network.json").read_text(encoding="utf-8")), np.load(folder / "network.npz")
    expected = arrays["expected"]
    off = np.abs(spikes(nir.read(folder / "network.nir"), arrays["features"], facts) - expected)
    print(f"{expected.sum()} spikes expected; counts of {(off == 0).mean():.4%} of the neurons equal, {off.max()} off")
    return int(off.max() > 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
