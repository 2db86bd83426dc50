"""Pictures for `dvc plots`: PNG files, so that its page shows them without a network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

MOST_NAMED = 40
"""Classes beyond which their names do not fit below an axis."""
LETTERS_ABREAST = 90
"""Letters that fit below it side by side, every class taking the room of the longest name."""


def per_class_accuracy(accuracy: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """One bar a class and decoder: `accuracy[decoder][class]` in percent."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    names = list(next(iter(accuracy.values())))
    width = 0.8 / len(accuracy)
    for i, (decoder, by_class) in enumerate(accuracy.items()):
        axes.bar(np.arange(len(names)) + (i + 0.5) * width - 0.4, list(by_class.values()), width, label=decoder)
    if len(names) <= MOST_NAMED:
        fit = len(names) * max(map(len, names)) <= LETTERS_ABREAST
        axes.set_xticks(range(len(names)), names, rotation=0 if fit else 90)
    else:
        axes.set_xlabel(f"{len(names)} classes")
    axes.set(ylabel="top-1 accuracy (%)", ylim=(0, 100))
    axes.set_title("Accuracy by class", loc="left")
    figure.legend(loc="outside upper right", ncols=len(accuracy), frameon=False)
    _save(figure, path)


def confusion_matrices(confusion: Mapping[str, NDArray[np.int64]], classes: Sequence[str], path: Path) -> None:
    """One panel a decoder: share of a true class's images (row) by predicted class, undecided last, (C, C + 1)."""
    named = len(classes) <= MOST_NAMED
    side = min(8.0, 3.2 + 0.2 * len(classes)) if named else 5.0
    figure = Figure(figsize=(0.8 + side * len(confusion), side + 0.4), layout="constrained")
    panels = figure.subplots(1, len(confusion), squeeze=False)[0]
    for axes, (decoder, counts) in zip(panels, confusion.items(), strict=True):
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(share, vmin=0, vmax=100, cmap="Blues")
        axes.set_title(decoder)
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_xticks(range(len(classes) + 1) if named else [], [*classes, "?"] if named else [], rotation=90)
        axes.set_yticks(range(len(classes)) if named else [], classes if named else [])
    figure.colorbar(image, ax=figure.axes, label="images of the true class (%)")
    _save(figure, path)


def firing_curve(share: NDArray[np.float64], path: Path) -> None:
    """Share of neurons firing after each step, (K,), averaged over images (paper, Fig. 7)."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(share) + 1), 100 * share)
    axes.set(xlabel="step", ylabel="neurons firing (%)", ylim=(0, None), title="Neurons firing at each step")
    axes.grid(alpha=0.3)
    _save(figure, path)


def energy_curve(energy: NDArray[np.floating], path: Path) -> None:
    """Energy above silence after each step, (K + 1,), averaged over images (paper, Fig. 4)."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(energy)
    axes.set(xlabel="step", ylabel="energy above silence")
    axes.grid(alpha=0.3)
    _save(figure, path)


def sweep(key: str, rows: Sequence[Mapping[str, float | None]], path: Path) -> None:
    """Top-1 of each decoder against the value of a key, one row a value (paper, Fig. 5); gaps where it diverges."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    names = [name for name in rows[0] if name not in (key, "firing")]
    values, *curves = (np.array([row[name] for row in rows], np.float64) for name in (key, *names))  # None becomes NaN
    for name, curve in zip(names, curves, strict=True):
        axes.plot(values, curve, marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="exemplars" if key == "size" else key, ylabel="top-1 accuracy (%)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(rows[0]) - 2, frameon=False)
    _save(figure, path)


def image_rows(rows: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """One row of pictures (n, H, W) or (n, H, W, 3) in [0, 1] a name (paper, Fig. 3)."""
    n = len(next(iter(rows.values())))
    figure = Figure(figsize=(0.9 + 0.9 * n, 1.0 * len(rows)), layout="constrained")
    for panels, (name, pictures) in zip(figure.subplots(len(rows), n, squeeze=False), rows.items(), strict=True):
        for axes, picture in zip(panels, pictures, strict=True):
            axes.imshow(picture, vmin=0, vmax=1, cmap="gray")
            axes.set(xticks=[], yticks=[])
        panels[0].set_ylabel(name)
    _save(figure, path)


def energy_curves(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], path: Path) -> None:
    """One panel a dictionary: reconstruction and sparsity energy (K + 1,) and their sum (paper, Fig. 4)."""
    figure = Figure(figsize=(4.5 * len(curves), 3.8), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (name, (reconstruction, sparsity)) in zip(panels, curves.items(), strict=True):
        axes.plot(reconstruction + sparsity, label="total", color="black")
        axes.plot(reconstruction, label="reconstruction")
        axes.plot(sparsity, label="sparsity")
        axes.set(xlabel="step", title=f"{name} dictionary", ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("energy, average image")
    panels[-1].legend(frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    svg = path.suffix == ".svg"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a class name in another script: boxes
        figure.savefig(path, dpi=120, transparent=svg, metadata={"Date": None} if svg else {"Software": None})
