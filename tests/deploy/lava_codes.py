"""Run by a Python 3.10 that has lava: codes of lava's fixed-point LCA for the integers of an npz file.

python lava_codes.py INPUT.npz OUTPUT.npz
"""

import sys

import numpy as np
from lava.lib.optimization.solvers.lca.process import LCA1Layer, LCA2Layer
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi1SimCfg
from lava.proc.io import sink


def code(network, atoms, steps, place):
    """Activations that arrive at step `place` of a network's run."""
    out = sink.RingBuffer(shape=(atoms,), buffer=steps + 2)
    network.v1.connect(out.a_in)
    out.run(
        condition=RunSteps(num_steps=steps + 2), run_cfg=Loihi1SimCfg(select_tag="fixed_pt", select_sub_proc_model=True)
    )
    found = out.data.get()[:, place].copy()
    out.stop()
    return found


def main(source, target):
    given = np.load(source)
    tau_exp, steps, threshold = int(given["tau_exp"]), int(given["steps"]), int(given["threshold"])
    common = {"tau": 1, "tau_exp": tau_exp, "threshold": threshold}
    one, two = [], []
    for bias, features in zip(given["bias"], given["features"], strict=True):
        network = LCA1Layer(weights=given["lateral"], weights_exp=int(given["lateral_exp"]), bias=bias, **common)
        one.append(code(network, len(bias), steps, steps))
        network = LCA2Layer(
            weights=given["atoms"],
            weights_exp=int(given["atoms_exp"]),
            input_vec=features,
            spike_height=int(given["spike_height"]),
            **common,
        )
        two.append(code(network, len(bias), steps, steps + 1))
    np.savez(target, one=np.array(one), two=np.array(two))


if __name__ == "__main__":
    main(*sys.argv[1:])
