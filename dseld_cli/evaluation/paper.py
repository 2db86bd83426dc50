"""Every figure of the D-SELD paper (Takaghaj and Sampson, arXiv:2406.10066) that ours are set beside.

Facts alone, as printed. Where the paper contradicts itself, or rounds in a way of its own, it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dseld_cli.evaluation.workload import Workload

ATOMS, STEPS, FIRING = 50_000, 100, 200
"""Dictionary, steps, and neurons firing at a step, 0.4 % of them (Sec. 4.5)."""
FEW_STEPS = 10
"""Steps of Table 4's last column."""
DECODERS = ("max-activation", "class-sum", "shallow-nn")
"""Columns of Table 3: Eq. 9, Eq. 10 and the shallow network."""


@dataclass(frozen=True)
class Cost:
    """A row of Table 4 as printed: TFLOPs of the Gramian, GFLOPs of an image at K = 100 and at K = 10."""

    extractor: str
    features: int
    training: str
    image: str
    image_few: str


COST = (
    Cost("Inception", 2048, "5.12", "2.21", "0.41"),
    Cost("ResNet-50", 2048, "5.12", "2.21", "0.41"),
    Cost("ResNet-152", 2048, "5.12", "2.21", "0.41"),
    Cost("EfficientNet", 1280, "3.2", "2.13", "0.33"),
    Cost("DenseNet", 1024, "2.56", "2.11", "0.3"),
    Cost("MobileNet", 960, "2.4", "2.1", "0.29"),
    Cost("VGG-16", 512, "1.28", "2.06", "0.25"),
)
CUT = {("MobileNet", FEW_STEPS)}
"""Figures of Table 4 that were cut where the others were rounded: 0.2965 became 0.29."""


def flops(features: int, steps: int = STEPS) -> float:
    """FLOPs of an image by Eq. 11, in the paper's setting."""
    return Workload(ATOMS, features, steps, FIRING / ATOMS).image


def training_flops(features: int) -> float:
    """FLOPs of the Gramian in the paper's setting."""
    return Workload(ATOMS, features, STEPS, FIRING / ATOMS).dictionary


def papers_firing(exemplars: int) -> float | None:
    """Share of the neurons that fire at a step, on average, in the paper; None for a dictionary of another size."""
    return FIRING / ATOMS if exemplars == ATOMS else None


def printed(value: float) -> str:
    """Round to two digits as the paper prints them: without a zero at the end."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Accuracy:
    """Top-1 in percent of a data set through an extractor, by decoder; `preset` starts a project of it."""

    dataset: str
    extractor: str
    preset: str
    top1: dict[str, float]


def _three(max_activation: float, class_sum: float, shallow: float) -> dict[str, float]:
    return dict(zip(DECODERS, (max_activation, class_sum, shallow), strict=True))


ACCURACY = (
    Accuracy("mnist", "none", "mnist", _three(93.93, 97.48, 98.25)),
    Accuracy("cifar10", "resnet152", "cifar10-resnet152", _three(89.16, 94.98, 95.19)),
    Accuracy("cifar100", "resnet152", "cifar100-resnet152", _three(68.29, 79.32, 79.33)),
    Accuracy("imagenet", "resnet152", "imagenet-resnet152", _three(71.83, 80.75, 21.60)),
    Accuracy("imagenet", "efficientnet_v2_s", "imagenet-efficientnet_v2_s", _three(76.40, 80.68, 21.49)),
    Accuracy("cifar10", "resnet50", "cifar10-resnet50", {"class-sum": 92.00}),
    Accuracy("cifar100", "resnet50", "cifar100-resnet50", {"class-sum": 74.98}),
    Accuracy("cifar100", "efficientnet_v2_s", "cifar100-efficientnet_v2_s", {"class-sum": 75.41}),
    Accuracy("imagenet", "resnet50", "imagenet-resnet50", {"class-sum": 76.64}),
)
"""Table 3, then what Table 6 has beyond it; lambda 2, tau = K = 100, 50,000 random training images."""


@dataclass(frozen=True)
class Other:
    """Top-1 in percent of another spiking network, as Table 6 reports it."""

    dataset: str
    method: str
    architecture: str
    top1: float


OTHERS = (
    Other("cifar10", "IM-Loss", "ResNet-19", 95.49),
    Other("cifar10", "Dspike", "ResNet-18", 94.25),
    Other("cifar10", "OTTT", "VGG", 93.73),
    Other("cifar10", "TrueNorth", "CNN", 89.32),
    Other("cifar100", "Dspike", "ResNet-18", 74.24),
    Other("cifar100", "OTTT", "VGG", 71.05),
    Other("cifar100", "IM-Loss", "VGG-16", 70.18),
    Other("cifar100", "TrueNorth", "CNN", 65.48),
    Other("imagenet", "RMP-SNN", "VGG-16", 73.09),
    Other("imagenet", "S-ResNet", "ResNet-50", 72.75),
    Other("imagenet", "Dspike", "VGG-16", 71.24),
)
SOURCES = {
    "IM-Loss": "Guo et al., NeurIPS 2022",
    "Dspike": "Li et al., NeurIPS 2021",
    "OTTT": "Xiao et al., NeurIPS 2022",
    "TrueNorth": "Esser et al., PNAS 2016",
    "RMP-SNN": "Han et al., CVPR 2020",
    "S-ResNet": "Hu et al., TNNLS 2023",
}

EXTRACTORS = {
    "efficientnet_lite0": (0.41, 1280),
    "efficientnet_lite1": (0.63, 1280),
    "efficientnet_lite2": (0.90, 1280),
    "resnet50": (4.09, 2048),
    "efficientnet_v2_s": (8.37, 1280),
    "resnet152": (11.51, 2048),
}
"""Billions of multiply-adds of an image, as who published the weights says, and number of features."""

RECONSTRUCTION = {
    "training images": {"mse": 92.45, "psnr": 28.47, "ssim": 0.99, "steps": 6},
    "Gaussian": {"mse": 675.3, "psnr": 19.84, "ssim": 0.75, "steps": 40},
}
"""Table 1: an automobile of CIFAR-10."""

TIMES = (
    ("NVIDIA A100", 64, 0.9, 2.52, 0.1, 3.52),
    ("Apple M1 Pro", 1, 138.0, 4689.7, 2.0, 4829.7),
)
"""Table 5, ResNet-152 on CIFAR-100: device, batch, ms an image of extraction, encoding, decoding, and all."""


@dataclass(frozen=True)
class Row:
    """A figure of the paper beside ours: top-1 in percent, of a data set through an extractor, by one decoder.

    `ours` is None where there is no such run, `theirs` where the paper has no such figure; `exemplars` are ours.
    """

    dataset: str
    extractor: str
    decoder: str
    theirs: float | None
    ours: float | None = None
    interval: tuple[float, float] | None = None
    exemplars: int | None = None


def beside(runs: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Every accuracy of the paper, with ours where a run has it, then the runs of other sets and extractors.

    Args:
        runs: what metrics.json has of each; of two of the same set and extractor the one of more exemplars counts.

    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for run in sorted(runs, key=lambda run: int(run["exemplars"])):
        found[run["dataset"], run["backbone"].partition("@")[0]] = run
    rows = []
    for paper in ACCURACY:
        ours = found.get((paper.dataset, paper.extractor))
        rows += [_row(paper.dataset, paper.extractor, decoder, theirs, ours) for decoder, theirs in paper.top1.items()]
    known = {(paper.dataset, paper.extractor) for paper in ACCURACY}
    for (dataset, extractor), other in found.items():
        here = [name for name in DECODERS if name in other["decoders"] and (dataset, extractor) not in known]
        rows += [_row(dataset, extractor, decoder, None, other) for decoder in here]
    return rows


def _row(dataset: str, extractor: str, decoder: str, theirs: float | None, run: Mapping[str, Any] | None) -> Row:
    if run is None or decoder not in run["decoders"]:
        return Row(dataset, extractor, decoder, theirs)
    ours = run["decoders"][decoder]
    interval = (float(ours["low"]), float(ours["high"]))
    return Row(dataset, extractor, decoder, theirs, float(ours["top1"]), interval, int(run["exemplars"]))
