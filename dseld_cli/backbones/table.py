"""The backbones to choose from, as `dseld extract --list-backbones` prints them: torchvision's own metadata."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from dseld_cli.backbones.networks import LITE, penultimate, published_weights, untrained
from dseld_cli.errors import UserError

Row = list[str]

COLUMNS = ["backbone", "weights", "features", "pixels", "parameters", "GFLOPs", "top-1"]
PUBLISHED_LITE = {
    "efficientnet_lite0": (4.7, 0.407, 75.1),
    "efficientnet_lite1": (5.4, 0.631, 76.7),
    "efficientnet_lite2": (6.1, 0.899, 77.6),
}
"""Millions of parameters, GFLOPs (multiply-adds, as torchvision counts them) and top-1 that their authors publish."""


def architectures() -> list[str]:
    """Names of the networks there are, in the order of the table."""
    from torchvision import models

    return [*LITE, *models.list_models(module=models)]


def rows_of(name: str) -> list[Row]:
    """Return a row for each set of weights of a network; none if it has no penultimate linear layer."""
    from torchvision import models

    if name in LITE:
        return [_row(name, "packaged *", 1280, LITE[name], *PUBLISHED_LITE[name])]
    try:
        n_features = feature_size(name)
    except UserError:
        return []
    entries = [entry for entry in models.get_model_weights(name) if math.isfinite(_top1(entry))]
    return [_torchvision_row(name, entry, n_features) for entry in entries]


def feature_size(name: str) -> int:
    """Features of a torchvision network, (N,), found without holding its weights."""
    size = published_weights(name).transforms().crop_size[0]
    with _Skeleton():
        network = penultimate(untrained(name, size, initialise=False).to("meta"), name).eval()
    with torch.inference_mode():
        return int(network(torch.empty(1, 3, size, size, device="meta")).flatten(1).shape[1])


class _Skeleton(TorchFunctionMode):
    """Makes parameters without memory, unlike `torch.device("meta")` nothing else: RegNet plans itself by tensors."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))


def _torchvision_row(name: str, entry: Any, n_features: int) -> Row:
    meta = entry.meta
    default = " *" if entry is type(entry).DEFAULT else ""
    size = entry.transforms().crop_size[0]
    return _row(name, entry.name + default, n_features, size, meta["num_params"] / 1e6, meta["_ops"], _top1(entry))


def _top1(entry: Any) -> float:
    """Return the published accuracy in percent; NaN for weights without a classifier."""
    return float(entry.meta["_metrics"]["ImageNet-1K"]["acc@1"])


def _row(name: str, weights: str, n_features: int, size: int, millions: float, gflops: float, top1: float) -> Row:
    return [name, weights, str(n_features), str(size), f"{millions:.1f} M", f"{gflops:.2f}", f"{top1:.1f} %"]
