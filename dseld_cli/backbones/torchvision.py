"""torchvision's classifiers: NAME, or NAME@WEIGHTS for other weights than its default ones."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from dseld_cli.backbones.base import FAMILIES, Backbone, Settings, installed
from dseld_cli.backbones.penultimate import Network, as_backbone, as_module, centred, does_not_take, penultimate, seeded
from dseld_cli.backbones.weights import State, digest, fill
from dseld_cli.errors import UserError


def classifier(name: str, settings: Settings) -> Backbone:
    """Return the backbone of torchvision's name.

    Raises:
        UserError: if there is no such classifier, it has no penultimate layer, or its weights are not to be had.

    """
    return as_backbone(network(name, settings), settings)


def network(name: str, settings: Settings) -> Network:
    """Return torchvision's classifier, cut."""
    published = published_weights(name)
    preset = published.transforms()
    size = settings.image_size or preset.crop_size[0]
    architecture = name.partition("@")[0]
    with seeded():
        whole = untrained(architecture, size, initialise=settings.weights == "random")

    def download() -> State:
        state: State = published.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
        return state

    fill(whole, settings.weights, name, download, published.url)
    resize = round(preset.resize_size[0] * size / preset.crop_size[0])
    crop, cropped = centred(resize, size, preset.interpolation)
    sha256 = digest(whole)
    module, full_name = penultimate(whole, name), f"{architecture}@{published.name}"
    return Network(full_name, module, sha256, crop, cropped, size, tuple(preset.mean), tuple(preset.std))


def architectures() -> list[str]:
    """Names of torchvision's classifiers."""
    from torchvision import models

    return list(models.list_models(module=models))


def published_weights(name: str) -> Any:
    """Torchvision's entry for "NAME" or "NAME@WEIGHTS".

    Raises:
        UserError: if there is none, naming what comes near.

    """
    from torchvision import models

    architecture, _, tag = name.partition("@")
    known = [*architectures(), *FAMILIES, *installed()]
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UserError(
            f"extract.backbone: no backbone {name!r}; {hint}`dseld extract --list-backbones` lists them, "
            "timm:NAME is one of timm's, none means pixels"
        )
    entries = models.get_model_weights(architecture)
    if tag and tag not in entries.__members__:
        raise UserError(
            f"extract.backbone: {architecture} has no weights {tag!r}; it has {', '.join(e.name for e in entries)}"
        )
    return entries[tag] if tag else entries.DEFAULT


def untrained(architecture: str, size: int, initialise: bool) -> nn.Module:
    """Torchvision's classifier without its weights, as its published weights need it built."""
    from torchvision import models

    extra: dict[str, Any] = {}
    if architecture in ("inception_v3", "googlenet"):
        extra = {"transform_input": True, "init_weights": initialise}
    elif architecture.startswith("vit_"):
        extra = {"image_size": size}
    try:
        return as_module(models.get_model(architecture, weights=None, **extra))
    except AssertionError as error:  # a transformer whose patches do not fill the image
        raise does_not_take(architecture, size, error) from None


def feature_size(name: str) -> int:
    """Features of a torchvision network, (N,), found without holding its weights."""
    size = published_weights(name).transforms().crop_size[0]
    with _Skeleton():
        cut = penultimate(untrained(name, size, initialise=False).to("meta"), name).eval()
    with torch.inference_mode():
        return int(cut(torch.empty(1, 3, size, size, device="meta")).flatten(1).shape[1])


class _Skeleton(TorchFunctionMode):
    """Makes parameters without memory, unlike `torch.device("meta")` nothing else: RegNet plans itself by tensors."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))
