"""Pictures: figures of an evaluation, as PNG files (`dvc plots` shows those without a network) or SVG (the report).

Text in them is text: no name of a class is read as a formula.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.runtime.text import line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dseld_cli.evaluation.metrics import Confusion
    from dseld_cli.evaluation.paper import Row

WIDTHS = (8.0, 4.2)
"""Of a figure on a wide screen and on a narrow one, in inches."""
DPI = 120
"""Pixels of a PNG per inch."""
MOST_NAMED = 40
"""Classes beyond which their names do not fit below an axis."""
MOST_CELLS = 500
"""Of a confusion matrix along a side: there are no more pixels."""
LONGEST = 40
"""Characters of a name there, at most: what is longer loses its middle."""
LETTERS_ABREAST = 11
"""Letters per inch that fit below it side by side, every class taking the room of the longest name."""
BLUE = (0.13, 0.42, 0.78)
"""Of shares: the paler, the more the ground shows through, white or dark."""


def png(draw: Callable[..., Figure], *content: object) -> bytes:
    """Draw one of the figures below as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    file = io.BytesIO()
    with _plain(draw.__name__):
        figure = draw(*content)
        figure.set_dpi(DPI)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()  # once: savefig would draw it twice, to have its layout before
        Image.fromarray(np.asarray(canvas.buffer_rgba())).save(file, "png", dpi=(DPI, DPI))
    return file.getvalue()


def svg(draw: Callable[..., Figure], *content: object) -> str:
    """Draw one of the figures below as an SVG element without a background."""
    file = io.StringIO()
    with _plain(draw.__name__):
        draw(*content).savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _plain(name: str) -> Iterator[None]:
    """Text is text, and a picture drawn again has the same bytes."""
    from matplotlib import rc_context

    plain: Any = {"text.parse_math": False, "text.usetex": False, "svg.hashsalt": name}
    with rc_context(plain), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a class name in another script: boxes
        yield


def per_class_accuracy(accuracy: Mapping[str, Mapping[str, float]], width: float = 8.0) -> Figure:
    """One bar per class and decoder: `accuracy[decoder][class]` in percent."""
    figure = _figure((width, 4.5))
    axes = figure.subplots()
    names = [line(name, LONGEST) for name in next(iter(accuracy.values()))]
    bar = 0.8 / len(accuracy)
    for i, (decoder, by_class) in enumerate(accuracy.items()):
        axes.bar(np.arange(len(names)) + (i + 0.5) * bar - 0.4, list(by_class.values()), bar, label=decoder)
    if len(names) <= MOST_NAMED:
        fit = len(names) * max(map(len, names)) <= LETTERS_ABREAST * width
        axes.set_xticks(range(len(names)), names, rotation=0 if fit else 90)
    else:
        axes.set_xlabel(f"{len(names)} classes")
    axes.set(ylabel="top-1 accuracy (%)", ylim=(0, 100))
    _legend(figure, len(accuracy), width)
    return figure


def confusion_matrices(confusion: Mapping[str, Confusion], classes: Sequence[str], width: float = 8.0) -> Figure:
    """One panel per decoder: share of a true class's images (row) by predicted class, undecided last."""
    from matplotlib.colors import LinearSegmentedColormap

    named, classes = len(classes) <= MOST_NAMED, [line(name, LONGEST) for name in classes]
    side = min(8.0, 3.2 + 0.2 * len(classes)) if named else 5.0
    lines = -(-len(confusion) // max(1, int(2 * width / side)))
    abreast = -(-len(confusion) // lines)
    side = min(side, width) if abreast == 1 else side
    figure = _figure((0.8 + side * abreast, (side + 0.4) * lines + (0.8 if abreast == 1 else 0)))
    panels = figure.subplots(lines, abreast, squeeze=False).ravel()
    for spare in panels[len(confusion) :]:
        spare.set_axis_off()
    shades = LinearSegmentedColormap.from_list("shares", [(*BLUE, 0.0), (*BLUE, 1.0)])
    for axes, (decoder, its) in zip(panels, confusion.items(), strict=False):
        counts = its.matrix(MOST_CELLS)
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(share, vmin=0, vmax=100, cmap=shades)
        axes.set_title(decoder)
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_xticks(range(len(classes) + 1) if named else [], [*classes, "?"] if named else [], rotation=90)
        axes.set_yticks(range(len(classes)) if named else [], classes if named else [])
    side_of_bar = "right" if abreast > 1 else "top"
    figure.colorbar(image, ax=list(panels), label="images of the true class (%)", location=side_of_bar, aspect=30)
    return figure


def firing_curve(share: NDArray[np.float64], paper: float | None, ever: float | None, width: float = 8.0) -> Figure:
    """Share of neurons firing after each step, (K,), averaged over images (Fig. 7), beside the paper's average.

    `ever` is the share that fires at any step.
    """
    figure = _figure((width, 0.56 * width))
    axes = figure.subplots()
    axes.plot(np.arange(1, len(share) + 1), 100 * share, label="each step")
    average = 100 * share.mean()
    axes.axhline(average, color="C0", linestyle=":", label=f"average, {average:.2f} %")
    if ever is not None:
        axes.axhline(100 * ever, color="C2", linestyle="-.", label=f"at any step, {100 * ever:.2f} %")
    if paper is not None:
        axes.axhline(100 * paper, color="C1", linestyle="--", label=f"the paper's average, {100 * paper:g} %")
    axes.set(xlabel="step", ylabel="neurons firing (%)", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def energy_curve(energy: NDArray[np.floating], width: float = 8.0) -> Figure:
    """Energy above silence after each step, (K + 1,), averaged over images (paper, Fig. 4)."""
    figure = _figure((width, 0.56 * width))
    axes = figure.subplots()
    axes.plot(energy)
    axes.set(xlabel="step", ylabel="energy above silence")
    axes.grid(alpha=0.3)
    return figure


def sweep(key: str, rows: Sequence[Mapping[str, float | None]]) -> Figure:
    """Top-1 of each decoder against the value of a key, one row per value (paper, Fig. 5); gaps where it diverges."""
    figure = _figure((8, 4.5))
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
    _legend(figure, len(rows[0]) - 2, 8.0)
    return figure


def against_effort(rows: Sequence[Mapping[str, Any]], width: float = 8.0) -> Figure:
    """Top-1 of each decoder against steps, and against messages per image: of activations, and of spikes (dashed)."""
    wide = width > WIDTHS[1]
    figure = _figure((width, 3.6 if wide else 7.0))
    panels = figure.subplots(1, 2, sharey=True) if wide else figure.subplots(2, 1, sharey=True)
    steps = sorted({row["steps"] for row in rows})
    most = max(row["messages"] for row in rows)
    ticks = {"steps": steps, "messages": [10**i for i in range(9) if 10**i <= most]}
    for axes, (key, values) in zip(panels, ticks.items(), strict=True):
        for form, dashes in (("float", "-"), ("spikes", "--")):
            mine = [row for row in rows if row["form"] == form and row[key] >= 1]
            for i, name in enumerate(rows[0]["top1"]):
                label = name if form == "float" else f"{name}, spikes"
                curve = [row["top1"][name] for row in mine]
                axes.plot([row[key] for row in mine], curve, dashes, marker="o", color=f"C{i}", label=label)
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:,}" for value in values])
        axes.set_xticks([], minor=True)
        axes.set(xlabel=key if key == "steps" else "messages per image", ylabel="top-1 accuracy (%)")
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def by_extractor(rows: Sequence[Row], width: float = 8.0) -> Figure:
    """Top-1 by extractor, a panel per data set: the paper's as rings, ours as dots (paper, Fig. 6)."""
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    figure = _figure((width, 3.6))
    for axes, dataset in zip(figure.subplots(1, len(datasets), squeeze=False, sharey=True)[0], datasets, strict=True):
        mine = [row for row in rows if row.dataset == dataset]
        names = list(dict.fromkeys(row.extractor for row in mine))
        for color, decoder in enumerate(dict.fromkeys(row.decoder for row in rows)):
            some = [row for row in mine if row.decoder == decoder]
            places = [names.index(row.extractor) for row in some]
            look = {"color": f"C{color}", "linestyle": "none", "label": decoder}
            axes.plot(places, _found(row.theirs for row in some), marker="o", fillstyle="none", **look)
            axes.plot(places, _found(row.ours for row in some), marker="o", **look | {"label": f"{decoder}, here"})
        axes.set(title=dataset, xlim=(-0.6, len(names) - 0.4))
        axes.set_xticks(range(len(names)), [name.replace("_", "\n", 1) for name in names], rotation=40, ha="right")
        axes.grid(alpha=0.3)
        axes.margins(x=0.2)
    figure.axes[0].set_ylabel("top-1 accuracy (%)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def by_cost(rows: Sequence[Row], extractors: Mapping[str, tuple[float, int]], width: float = 8.0) -> Figure:
    """Top-1 of class-sum against what an extractor costs, and against its number of features (paper, Fig. 2)."""
    figure = _figure((width, 3.6))
    some = [row for row in rows if row.decoder == "class-sum" and row.extractor in extractors]
    titles = ("multiply-adds of the extractor (billions)", "features")
    for which, (axes, title) in enumerate(zip(figure.subplots(1, 2, sharey=True), titles, strict=True)):
        for color, dataset in enumerate(dict.fromkeys(row.dataset for row in some)):
            mine = [row for row in some if row.dataset == dataset]
            places = [extractors[row.extractor][which] for row in mine]
            look = {"color": f"C{color}", "linestyle": "none", "label": dataset}
            axes.plot(places, _found(row.theirs for row in mine), marker="o", fillstyle="none", **look)
            axes.plot(places, _found(row.ours for row in mine), marker="o", **look | {"label": f"{dataset}, here"})
        axes.set(xlabel=title)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("top-1 of class-sum (%)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _found(values: Iterable[float | None]) -> NDArray[np.float64]:
    """Values with gaps where there are none."""
    return np.array(list(values), np.float64)


def image_rows(rows: Mapping[str, NDArray[np.float32]]) -> Figure:
    """One row of pictures (n, H, W) or (n, H, W, 3) in [0, 1] per name (paper, Fig. 3)."""
    n = len(next(iter(rows.values())))
    figure = _figure((0.9 + 0.9 * n, 1.0 * len(rows)))
    for panels, (name, pictures) in zip(figure.subplots(len(rows), n, squeeze=False), rows.items(), strict=True):
        for axes, picture in zip(panels, pictures, strict=True):
            axes.imshow(picture, vmin=0, vmax=1, cmap="gray")
            axes.set(xticks=[], yticks=[])
        panels[0].set_ylabel(name)
    return figure


def energy_curves(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Figure:
    """One panel per dictionary: reconstruction and sparsity energy (K + 1,) and their sum (paper, Fig. 4)."""
    figure = _figure((4.5 * len(curves), 3.8))
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (name, (reconstruction, sparsity)) in zip(panels, curves.items(), strict=True):
        axes.plot(reconstruction + sparsity, label="total", color="black")
        axes.plot(reconstruction, label="reconstruction")
        axes.plot(sparsity, label="sparsity")
        axes.set(xlabel="step", title=f"{name} dictionary", ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("energy, average image")
    panels[-1].legend(frameon=False)
    return figure


def _figure(figsize: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=figsize, layout="constrained")


def _legend(figure: Figure, n: int, width: float) -> None:
    """Name n curves above the figure, as many side by side as there is room for."""
    figure.legend(loc="outside upper center", ncols=min(n, max(1, int(width / 1.6))), frameon=False)
