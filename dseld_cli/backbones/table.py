"""The backbones to choose from, as `dseld extract --list-backbones` prints them: their libraries' own metadata."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from dseld_cli.backbones import lite, torchvision
from dseld_cli.backbones.base import LITE, installed
from dseld_cli.errors import UserError

Row = list[str]

COLUMNS = ["backbone", "weights", "features", "pixels", "parameters", "GFLOPs", "top-1"]


def rows() -> list[Callable[[], list[Row]]]:
    """Return what makes the rows of each architecture in turn: one for each set of its weights."""
    ours = [partial(_lite, name) for name in LITE]
    published = [partial(_torchvision, name) for name in torchvision.architectures()]
    return [*ours, *published, _installed]


def _lite(name: str) -> list[Row]:
    return [_row(name, "packaged *", lite.N_FEATURES, lite.SIZES[name], *lite.PUBLISHED[name])]


def _torchvision(name: str) -> list[Row]:
    """Rows of a network; none if it has no penultimate linear layer."""
    from torchvision import models

    try:
        n_features = torchvision.feature_size(name)
    except UserError:
        return []
    entries = [entry for entry in models.get_model_weights(name) if math.isfinite(_top1(entry))]
    return [_torchvision_row(name, entry, n_features) for entry in entries]


def _torchvision_row(name: str, entry: Any, n_features: int) -> Row:
    meta = entry.meta
    default = " *" if entry is type(entry).DEFAULT else ""
    size = entry.transforms().crop_size[0]
    return _row(name, entry.name + default, n_features, size, meta["num_params"] / 1e6, meta["_ops"], _top1(entry))


def _installed() -> list[Row]:
    """Backbones of other packages, which say no more than their names."""
    unknown = [""] * (len(COLUMNS) - 2)
    return [[name, f"of {entry.dist.name}" if entry.dist else "", *unknown] for name, entry in installed().items()]


def _top1(entry: Any) -> float:
    """Return the published accuracy in percent; NaN for weights without a classifier."""
    return float(entry.meta["_metrics"]["ImageNet-1K"]["acc@1"])


def _row(name: str, weights: str, n_features: int, size: int, millions: float, gflops: float, top1: float) -> Row:
    return [name, weights, str(n_features), str(size), f"{millions:.1f} M", f"{gflops:.2f}", f"{top1:.1f} %"]
