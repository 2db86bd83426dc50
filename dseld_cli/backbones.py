"""What turns images into features: nothing (pixels), or a torchvision classifier cut at its penultimate layer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from dseld_cli.errors import UserError

RANDOM_SEED = 0


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    Attributes:
        features: images (B) to features (B, N) float32.
        identity: what must be equal for two sets of features to be comparable: name, weights, their hash, transform.

    """

    features: Callable[[Sequence[Image.Image]], NDArray[np.float32]]
    identity: dict[str, str]


def backbone(name: str, weights: str, device: str) -> Backbone:
    """Return the backbone that params.yaml's extract.backbone and extract.weights name.

    Raises:
        UserError: if there is no such backbone, it has no penultimate layer, or its weights are not to be had.

    """
    if name == "none":
        return Backbone(_pixels, {"backbone": "none", "weights": "none", "transform": "pixels / 255"})
    return _torchvision(name, weights, torch.device(device))


def _pixels(batch: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Pixels scaled to [0, 1], row by row: (H * W,) for grey images, (H * W * 3,) for others."""
    grey = ("L", "F", "1")
    flat = [np.asarray(im if im.mode in grey else im.convert("RGB"), np.float32).ravel() / 255 for im in batch]
    if len({len(row) for row in flat}) > 1:
        raise UserError(f"images differ in size ({_sizes(batch)}): pixels need one size; use a backbone instead")
    return np.stack(flat)


def _sizes(batch: Sequence[Image.Image]) -> str:
    found = sorted({f"{im.width} x {im.height} {im.mode}" for im in batch})
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")


def _torchvision(name: str, weights: str, device: torch.device) -> Backbone:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UserError(f"extract.backbone: no backbone {name!r}; none, or a torchvision classifier such as resnet152")
    published = models.get_model_weights(name).DEFAULT
    network = _weighted(name, weights, published)
    digest = _hash(network.state_dict())
    network = penultimate(network, name).eval().to(device)
    transform = published.transforms()

    @torch.inference_mode()
    def features(batch: Sequence[Image.Image]) -> NDArray[np.float32]:
        pixels = torch.stack([transform(image.convert("RGB")) for image in batch])
        found: NDArray[np.float32] = network(pixels.to(device)).flatten(1).cpu().numpy()
        return found

    kind = str(published) if weights == "default" else "random" if weights == "random" else Path(weights).name
    return Backbone(
        features,
        {"backbone": name, "weights": kind, "weights_sha256": digest, "transform": " ".join(repr(transform).split())},
    )


def _weighted(name: str, weights: str, published: Any) -> nn.Module:
    from torchvision import models

    torch.manual_seed(RANDOM_SEED)
    if weights == "random":
        return _module(models.get_model(name, weights=None))
    if weights == "default":
        try:
            return _module(models.get_model(name, weights=published))
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"cannot download {published.url} into TORCH_HOME ({' '.join(str(error).split())}): fetch it where "
                "there is a network, and pass --weights PATH"
            ) from None
    # These two scale their own input when they have published weights, which a local file holds.
    scaled = {"transform_input": True} if name in ("inception_v3", "googlenet") else {}
    network = _module(models.get_model(name, weights=None, **scaled))
    return _load(network, Path(weights).expanduser(), name)


def _module(model: Any) -> nn.Module:
    assert isinstance(model, nn.Module)
    return model


def _load(network: nn.Module, path: Path, name: str) -> nn.Module:
    if not path.is_file():
        raise UserError(f"extract.weights: no file {path}; default, random, or the path of a state dict for {name}")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # unpickling and load_state_dict raise many kinds
        raise UserError(f"extract.weights: {path} does not fit {name}: {' '.join(str(error).split())[:300]}") from None
    return network


def penultimate(network: nn.Module, name: str) -> nn.Module:
    """Cut a classifier so that it returns its penultimate layer's activations, pooled to (B, N).

    One rule for every architecture: `avgpool`, if there is one, pools to one pixel, and the last child is cut at its
    first Linear layer.

    Raises:
        UserError: if the last child has no Linear layer.

    """
    if hasattr(network, "avgpool"):
        network.avgpool = nn.AdaptiveAvgPool2d(1)
    last, head = list(network.named_children())[-1]
    layers = list(head.children()) if isinstance(head, nn.Sequential) else [head]
    linear = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)), None)
    if linear is None:
        raise UserError(f"extract.backbone: {name} does not end in a linear layer, so it has no penultimate one")
    setattr(network, last, nn.Sequential(*layers[:linear]))
    return network


def _hash(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
