"""Pictures for `dvc plots`: PNG files, so that its page shows them without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

MOST_NAMED = 40
"""Classes beyond which their names do not fit below an axis."""


def per_class_accuracy(accuracy: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """One bar a class and decoder: `accuracy[decoder][class]` in percent."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    names = list(next(iter(accuracy.values())))
    width = 0.8 / len(accuracy)
    for i, (decoder, by_class) in enumerate(accuracy.items()):
        axes.bar(np.arange(len(names)) + (i + 0.5) * width - 0.4, list(by_class.values()), width, label=decoder)
    if len(names) <= MOST_NAMED:
        axes.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 12 else 90)
    else:
        axes.set_xlabel(f"{len(names)} classes")
    axes.set(ylabel="top-1 accuracy (%)", ylim=(0, 100))
    axes.set_title("Accuracy by class", loc="left")
    figure.legend(loc="outside upper right", ncols=len(accuracy))
    _save(figure, path)


def firing_curve(share: NDArray[np.float64], path: Path) -> None:
    """Share of neurons firing after each step, (K,), averaged over images (paper, Fig. 7)."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(share) + 1), 100 * share)
    axes.set(xlabel="step", ylabel="neurons firing (%)", ylim=(0, None), title="Neurons firing at each step")
    axes.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
