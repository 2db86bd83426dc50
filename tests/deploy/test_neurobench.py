"""The spiking network as a model of NeuroBench: its own counts of it are those of deploy-check.

Not among the project's dependencies: pip install snntorch tqdm && pip install --no-deps neurobench==2.3.0
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dseld_cli.deploy.footprint import size
from dseld_cli.deploy.spiking import run_spiking
from dseld_cli.lca.recurrence import LCAParams

LAMBDA, TAU, STEPS, QUANTUM = 1.0, 100.0, 60, 0.5
ATOMS, IMAGES = 80, 24


def test_neurobench_counts_what_we_count() -> None:
    pytest.importorskip("neurobench", reason="NeuroBench is not installed (see this file's head)")
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import Footprint
    from neurobench.metrics.workload import ActivationSparsity, ClassificationAccuracy, SynapticOperations
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    digits = load_digits()
    pixels, labels = digits.data / 16, digits.target
    atoms = pixels[:ATOMS] / np.linalg.norm(pixels[:ATOMS], axis=1, keepdims=True)
    images, truth, classes = pixels[1000 : 1000 + IMAGES], labels[1000 : 1000 + IMAGES], labels[:ATOMS]
    lateral = atoms @ atoms.T
    np.fill_diagonal(lateral, 0)
    ours = run_spiking(images @ atoms.T, lambda a: a @ lateral, LCAParams(LAMBDA, TAU, STEPS), QUANTUM)
    assert ours.counts.sum() > 500

    class Fires(torch.nn.Module):
        def forward(self, excess: torch.Tensor) -> torch.Tensor:
            return (excess >= QUANTUM).to(excess.dtype)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drive = torch.nn.Linear(pixels.shape[1], ATOMS, bias=False, dtype=torch.float64)
            self.inhibition = torch.nn.Linear(ATOMS, ATOMS, bias=False, dtype=torch.float64)
            self.drive.weight.data, self.inhibition.weight.data = torch.tensor(atoms), torch.tensor(QUANTUM * lateral)
            self.fires = Fires()

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            b = self.drive(batch)
            u, v, sent, counts = (torch.zeros_like(b) for _ in range(4))
            for _ in range(STEPS):
                u = u + (b - u - self.inhibition(sent)) / TAU
                v = torch.clamp(v + u - LAMBDA, min=0)
                sent = self.fires(v)
                v, counts = v - QUANTUM * sent, counts + sent
            scores = torch.zeros(len(batch), 10, dtype=b.dtype)
            return scores.index_add(1, torch.tensor(classes), counts).argmax(dim=1)

    model = TorchModel(Network())
    model.add_activation_module(Fires)
    data = DataLoader(TensorDataset(torch.tensor(images), torch.tensor(truth)), batch_size=8)
    metrics = [[Footprint], [ClassificationAccuracy, ActivationSparsity, SynapticOperations]]
    with torch.no_grad():
        found = Benchmark(model, data, [], [], metrics).run(quiet=True)

    sums = np.stack([ours.counts[:, classes == c].sum(axis=1) for c in range(10)], axis=1)
    assert found["ClassificationAccuracy"] == pytest.approx((sums.argmax(axis=1) == truth).mean())
    assert found["ActivationSparsity"] == pytest.approx(1 - ours.counts.sum() / (IMAGES * ATOMS * STEPS))
    arrived = ours.operations() - ours.per_step[:, -1] * (ATOMS - 1)  # nothing comes after the last step
    assert found["SynapticOperations"]["Effective_ACs"] == pytest.approx(arrived.mean())
    weights = size("one-layer", ATOMS, pixels.shape[1]).synapses + ATOMS + ATOMS * pixels.shape[1]
    assert found["Footprint"] == 8 * weights, "theirs holds the zeros of the diagonal, and the drive, which we do not"
