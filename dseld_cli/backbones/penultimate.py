"""What all pretrained classifiers have in common: cut at the penultimate layer, a crop and a scaling of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dseld_cli.backbones.base import Backbone, Settings
from dseld_cli.errors import UserError
from dseld_cli.runtime.allocator import keep_freed_memory
from dseld_cli.runtime.text import told

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RANDOM_SEED = 0
AT_ONCE = 4
"""Images per pass on a processor: what a layer puts out stays in its cache, and in the heap (see allocator)."""
LONGEST = 16
"""Times that an image may be longer than wide before its ends are cut off."""


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

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)


def as_backbone(network: Network, settings: Settings) -> Backbone:
    """Make a backbone of a network.

    Raises:
        UserError: if the network does not take images of the size that is asked for.

    """
    if settings.image_size:
        _require_takes(network)
    return Backbone(Prepare(network.crop), _forward(network, settings), _identity(network, settings))


@dataclass(frozen=True)
class Prepare:
    """Image of any mode to (3, S, S) uint8."""

    crop: Callable[..., Any]

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Crop it."""
        return np.asarray(self.crop(_without_ends(image).convert("RGB")))


def _without_ends(image: Image.Image) -> Image.Image:
    """Cut the ends off a picture far longer than wide: only its middle is seen, but all of it would be scaled."""
    most = LONGEST * min(image.size)
    if max(image.size) <= most:
        return image
    left, top = (max(0, (side - most) // 2) for side in image.size)
    return image.crop((left, top, min(left + most, image.width), min(top + most, image.height)))


def _identity(network: Network, settings: Settings) -> dict[str, str]:
    scaling = f"(x / 255 - {_rounded(network.mean)}) / {_rounded(network.std)}"
    return {
        "backbone": network.name,
        "weights": "random" if settings.weights == "random" else "trained",
        "weights_sha256": network.sha256,
        "image_size": str(network.size),
        "transform": f"{network.cropped}; {scaling}",
        "precision": settings.precision,
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 6) for value in values]


def _forward(network: Network, settings: Settings) -> Callable[[Sequence[NDArray[Any]]], NDArray[np.float32]]:
    device, dtype = settings.device, PRECISIONS[settings.precision]
    module = _one_way(network.module).to(device, dtype).to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (network.mean, network.std))
    if device == "cpu":
        keep_freed_memory()

    @torch.inference_mode()
    def passed(batch: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(np.stack(batch)).to(device)  # (B, 3, S, S) uint8
        found = module(scaled(pixels, mean, std).to(dtype, memory_format=torch.channels_last)).flatten(1)
        array: NDArray[np.float32] = found.float().cpu().numpy()
        return array

    def features(batch: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        if device != "cpu":
            return passed(batch)
        parts = [list(batch[i : i + AT_ONCE]) for i in range(0, len(batch), AT_ONCE)]
        return np.concatenate([passed(part * 2)[:1] if len(part) == 1 else passed(part) for part in parts])

    return features


def _one_way(module: nn.Module) -> nn.Module:
    """Let 1 x 1 convolutions on a processor be computed in one way, whatever the batch and the number of threads.

    Below 16 images and with one thread, torch computes them otherwise than above, unless they are dilated, which for a
    single point means nothing. So features of an image are the same bits in any batch of 2 and more; `features` sees to
    it that there is none of 1.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.dilation = (2, 2)
    return module


def scaled(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return (pixels / 255 - mean) / std of images (B, 3, S, S) uint8, as float32."""
    return pixels.float().div_(255).sub_(mean).div_(std)


def penultimate(classifier: nn.Module, name: str) -> nn.Module:
    """Cut a classifier so that it returns its penultimate layer's activations, pooled to (B, N).

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


def centred(resize: int, size: int, interpolation: Any) -> tuple[Callable[..., Any], str]:
    """Return what torchvision's presets do to an image before they scale it, and that in words."""
    from torchvision import transforms

    shorter_side = transforms.Resize(resize, interpolation, antialias=True)
    crop = transforms.Compose([shorter_side, transforms.CenterCrop(size), transforms.PILToTensor()])
    return crop, f"shorter side to {resize} ({interpolation.value}), central {size} x {size}"


@contextmanager
def seeded() -> Iterator[None]:
    """Initialise networks the same way every time, and leave torch's own generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        yield


def as_module(model: Any) -> nn.Module:
    """Pass a network of a library that declares no types."""
    assert isinstance(model, nn.Module)
    return model


def _require_takes(network: Network) -> None:
    with torch.inference_mode():
        try:
            network.module(torch.zeros(1, 3, network.size, network.size))
        except Exception as error:  # every architecture refuses in its own way
            raise does_not_take(network.name, network.size, error) from None


def does_not_take(name: str, size: int, error: Exception) -> UserError:
    """Say that a network refuses images of a size."""
    return UserError(
        f"extract.image_size: {name} does not take images of {size} px ({told(error)[:120]}): leave it at default"
    )
