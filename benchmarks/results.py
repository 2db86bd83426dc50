"""docs/results.md from the figures in benchmarks/figures, and those figures from runs.

    python benchmarks/results.py                       # the page, from what is there
    python benchmarks/results.py WORK --run accuracy-mnist gramian
    python benchmarks/results.py WORK --run all        # hours, on two cores

WORK holds projects in which `dseld extract` has run: mnist, cifar10 (EfficientNet-Lite0 at 160 px, float32) and digits;
in cifar10-val, train is all 50,000 training images, and 2,000 of the test images, drawn at random, are val; mnist-val
has a val drawn from train. In cifar10-val10 and mnist-val10 the dictionary has 10,000 exemplars of those.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
FIGURES = HERE / "figures"
TEMPLATE = HERE / "results.md.j2"
PAGE = ROOT / "docs" / "results.md"

RUNS = {
    "accuracy-mnist": "accuracy.py {work}/mnist --settings none:2 --sizes 50000 10000 1568",
    "accuracy-cifar10": "accuracy.py {work}/cifar10 --settings none:2 within-class:0.6 --sizes 50000",
    "accuracy-cifar10-all": "accuracy.py {work}/cifar10 --settings none:2 --sizes 50000 --taught 50000",
    "accuracy-cifar10-few": "accuracy.py {work}/cifar10 --settings none:2 within-class:0.6 --sizes 10000 1000 "
    "--per-class 5 10",
    "accuracy-cifar10-faint": "accuracy.py {work}/cifar10 --settings none:0.2 --per-class 5 10",
    "accuracy-cifar10-one": "accuracy.py {work}/cifar10 --settings none:2 none:0.2 --per-class 1",
    "accuracy-digits": "accuracy.py {work}/digits --settings none:1 within-class:0.3 --sizes 1437 1000 "
    "--per-class 5 10",
    "encoder-mnist": "encode.py --features-train {work}/mnist-train.npz --features-test {work}/mnist-test.npz",
    "encoder-cifar10": "encode.py --features-train {work}/cifar10-train.npz --features-test {work}/cifar10-test.npz "
    "--screening int16 --gramian {work}/gramian",
    "encoder-cifar10-float32": "encode.py --features-train {work}/cifar10-train.npz --features-test "
    "{work}/cifar10-test.npz --screening float32 --direct-images 256",
    "encoder-cifar10-avx2": "encode.py --features-train {work}/cifar10-train.npz --features-test "
    "{work}/cifar10-test.npz --screening float32",
    "regress": "regress.py 077a890 --cases start repro encode encode-gramian --train {work}/cifar10-train.npz "
    "--test {work}/cifar10-test.npz",
    "regress-start": "regress.py 077a890 --cases repro start",
    "regress-avx512": "regress.py 077a890 --cases encode encode-gramian --train {work}/cifar10-train.npz "
    "--test {work}/cifar10-test.npz",
    "gramian": "gramian.py {work}/full --repeats 3",
    "growth": "grow.py {work}/full --scratch",
    "durability": "durability.py {work}/durability --pairs 5",
    "memory": "memory.py {work}/memory --atoms 20000 --images 300",
    "extraction": "extract.py rate",
    "accuracy-lite1": "accuracy.py {work}/cifar10-lite1 --settings none:2 --sizes 50000 10000 1000",
    "accuracy-lite2": "accuracy.py {work}/cifar10-lite2 --settings none:2 --sizes 50000 10000 1000",
    "settings-cifar10": "settings.py {work}/cifar10-val10 --images 500",
    "settings-mnist": "settings.py {work}/mnist-val10 --images 500",
    "half": "half.py {work}/half {work}/cifar10-train.npz {work}/cifar10-test.npz",
    "kill": "kill.py {work}/kill",
    "reconstruction-mnist": "said.py {work}/mnist reconstruct",
    "reconstruction-cifar10": "said.py {work}/cifar10-pixels reconstruct",
    "scale": "scale.py {work}/scale --memory 6GiB --images 200 --lambda 25",
    "scale-model": "scale_model.py",
    "cluster": "cluster.py {work}/cluster",
    "engines": "engines.py {work}/cifar10-val --images 6000 --repeats 2",
    "condense-mnist": "condense.py --train {work}/mnist-train.npz --test {work}/mnist-test.npz --lambda 2 "
    "--sizes 25000 10000 5000 2000",
    "condense-cifar10": "condense.py --train {work}/cifar10-train.npz --test {work}/cifar10-test.npz --lambda 2 "
    "--sizes 25000 10000 5000 2000",
    "condense-lose-mnist": "said.py {work}/mnist-val condense --lose 0.3",
    "condense-lose-cifar10": "said.py {work}/cifar10-val condense --lose 0.3",
    "novelty-mnist": "novelty.py --train {work}/mnist-train.npz --test {work}/mnist-test.npz --lambda 2 --others "
    "{work}/fashion-mnist.npz {work}/digits.npz --sets",
    "novelty-cifar10": "novelty.py --train {work}/cifar10-train.npz --test {work}/cifar10-test.npz --lambda 2 "
    "--unknown 0,1,2,3,4 5,6,7,8,9 0,2,4,6,8 --sets",
    "deploy-mnist": "deploy.py {work}/mnist --atoms 10000 --memory 6GiB",
    "deploy-cifar10": "deploy.py {work}/cifar10-val --images 2000 --memory 15GiB --quick",
    "audit": "audit.py --train {work}/cifar10-train.npz --test {work}/cifar10-test.npz --lambda 2",
}
"""What makes each figure."""

TITLES = {
    "max-activation": "max-activation",
    "class-sum": "class-sum",
    "minimum-residual": "minimum residual (SRC)",
    "ridge": "ridge",
    "shallow-nn": "shallow network",
    "logistic-regression": "logistic regression, its strength chosen on held-out exemplars",
    "cosine-knn": "cosine 20-nearest neighbours",
    "nearest-class-mean": "nearest class mean",
}
"""Decoders, then baselines, as tables name them."""


def percent(cell: list[float | None] | float | None) -> str:
    """Write top-1 as a table does, with its interval if there is one."""
    if cell is None:
        return "-"
    if not isinstance(cell, list):
        return f"{cell:.1f} %"
    top1, low, high = cell
    return f"{top1:.2f} %" + (f" ({low:.1f} to {high:.1f})" if low is not None else "")


def row_of(figure: dict[str, Any], setting: str, exemplars: int) -> dict[str, Any]:
    """Look up the run of a setting with so many exemplars."""
    return next(
        row
        for row in figure["rows"]
        if (row["setting"], row["exemplars"], row["per_class"]) == (setting, exemplars, None)
    )


def mean_of(figure: dict[str, Any], setting: str, per_class: int) -> dict[str, Any]:
    """Look up the average over draws of so many exemplars per class."""
    return next(row for row in figure["means"] if (row["setting"], row["per_class"]) == (setting, per_class))


def said(figure: dict[str, Any]) -> str:
    """Say when and on what a figure was measured."""
    versions = ", ".join(f"{name} {found}" for name, found in figure["versions"].items())
    return f"*{figure['date']}, {figure['cores']} cores of {figure['processor']}; {versions}.*"


METHODS = ("representative", "random", "k-means", "herding", "condensed")
"""How a small dictionary's exemplars are chosen."""


def smaller(figure: dict[str, Any], decoder: str) -> list[tuple[int, list[str]]]:
    """Read what benchmarks/condense.py found: for each size, top-1 by each of METHODS; random draws averaged."""
    rows = figure["rows"]
    sizes = sorted({row["exemplars"] for row in rows if row["method"] != "all"}, reverse=True)
    found = []
    for size in sizes:
        of = {m: [row[decoder] for row in rows if (row["exemplars"], row["method"]) == (size, m)] for m in METHODS}
        found.append((size, [f"{statistics.mean(values):.2f} %" if values else "-" for values in of.values()]))
    return found


def swept(row: dict[str, float | None]) -> str:
    """Write what class-sum, and in brackets minimum residual, have at a setting."""
    top1 = (row["class-sum"], row["minimum-residual"])
    return "diverges" if None in top1 else f"{top1[0]:.1f} ({top1[1]:.1f})"


def within(figure: dict[str, Any]) -> str:
    """Half the 95 % interval of class-sum at the first setting of a sweep, in points."""
    share = figure["sweeps"]["lambda"][0]["class-sum"] / 100
    return f"{196 * math.sqrt(share * (1 - share) / figure['val_images']):.1f}"


def encoders(found: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Read what benchmarks/encode.py found, in the words of the table."""
    titles = {
        "encoder_cifar10": "CIFAR-10, Lite0 (N 1280), Gramian stored",
        "encoder_cifar10_float32": "the same, no Gramian, all products in float32",
        "encoder_cifar10_avx2": "the same on another machine, AVX2 alone",
        "encoder_mnist": "MNIST pixels (N 784), no Gramian",
    }
    rows = []
    for name, title in titles.items():
        one = found[name]
        direct = next(cost for what, cost in one["seconds_per_image"].items() if what.startswith("direct"))
        row = {
            "ms": 1e3 * one["seconds_per_image"]["encoder"],
            "passes": one["passes_per_image"],
            "direct": 1e3 * direct,
            "difference": one["largest_difference"],
            "one": one["one_image_ms_float32"],
            "half": one["one_image_ms_half_size_copy"],
            "read": one["one_read_of_the_atoms_ms"],
        }
        rows.append((title, row))
    return rows


def page(figures: Path = FIGURES) -> str:
    """Write the page from figures."""
    found = {file.stem.replace("-", "_"): json.loads(file.read_text()) for file in sorted(figures.glob("*.json"))}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["zip"] = zip
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        **found,
        titles=TITLES,
        percent=percent,
        row_of=row_of,
        mean_of=mean_of,
        said=said,
        encoders=encoders(found),
        smaller=smaller,
        swept=swept,
        within=within,
        median=statistics.median,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?", help="folder of projects, and room for others")
    parser.add_argument("--run", nargs="+", default=[], choices=[*RUNS, "all"], metavar="NAME")
    options = parser.parse_args()
    if options.run and not options.work:
        parser.error("--run needs WORK")
    for name in RUNS if "all" in options.run else options.run:
        script, *arguments = shlex.split(RUNS[name].format(work=options.work))
        command = [sys.executable, str(HERE / script), *arguments, "--json", str(FIGURES / f"{name}.json")]
        subprocess.run(command, check=True)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
