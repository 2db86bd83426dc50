"""Run an exported network in Intel's lava, and compare its codes with those that dseld expects, integer by integer.

    python3.10 -m venv lava && lava/bin/pip install numpy==1.26.4 scipy networkx asteval
    lava/bin/pip install --no-deps lava-nc==0.10.0 lava-optimization==0.5.0
    lava/bin/python run_lava.py

`dseld export` lays this file beside network.npz and network.json. It needs nothing of dseld.
"""

import json
import sys
from pathlib import Path
from typing import Any

try:
    import numpy as np
    from lava.lib.optimization.solvers.lca.process import LCA1Layer, LCA2Layer
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi1SimCfg
    from lava.proc.io import sink
except ImportError as error:
    sys.exit(f"{error}: the head of {__file__} says what to install")


def network(facts: Any, weights: Any, drive: Any) -> Any:
    """Make the network of one image."""
    common = {"tau": 1, "tau_exp": facts["tau_exponent"], "threshold": facts["threshold"]}
    if facts["form"] == "one-layer":
        return LCA1Layer(weights=weights, weights_exp=facts["weight_exponent"], bias=drive, **common)
    return LCA2Layer(
        weights=weights,
        weights_exp=facts["weight_exponent"],
        input_vec=drive,
        spike_height=facts["spike_height"],
        **common,
    )


def code(made: Any, atoms: int, place: int) -> Any:
    """Run a network until its code has arrived, which is what a sink takes in at step `place`."""
    out = sink.RingBuffer(shape=(atoms,), buffer=place + 1)
    made.v1.connect(out.a_in)
    how = Loihi1SimCfg(select_tag="fixed_pt", select_sub_proc_model=True)
    out.run(condition=RunSteps(num_steps=place + 1), run_cfg=how)
    found = out.data.get()[:, place].copy()
    out.stop()
    return found


def main(folder: Path) -> int:
    """Compare all examples; 1 where one differs."""
    facts, arrays = json.loads((folder / "network.json").read_text(encoding="utf-8")), np.load(folder / "network.npz")
    weights, right = arrays["weights"].astype(np.int32), 0
    for drive, expected in zip(arrays["drive"].astype(np.int64), arrays["expected"], strict=True):
        found = code(network(facts, weights, drive), len(expected), facts["code_at_step"])
        right += bool((found == expected).all())
    print(f"{right} of {len(arrays['expected'])} codes equal to the last bit")
    return int(right < len(arrays["expected"]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
