"""What turns images into features: nothing (pixels), or a pretrained network cut at its penultimate layer.

In two steps, so that worker processes can take the first: `prepare` one image, then the `features` of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dseld_cli.backbones.networks import Network, network
from dseld_cli.errors import UserError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GIVEN = "given"


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    Attributes:
        prepare: an image to the array that a batch is made of; picklable.
        features: prepared images (B) to features (B, N) float32.
        identity: what must be equal for two sets of features to be comparable: name, weights' hash, transform, ...

    """

    prepare: Callable[[Image.Image], NDArray[Any]]
    features: Callable[[Sequence[NDArray[Any]]], NDArray[np.float32]]
    identity: dict[str, str]


def backbone(
    name: str, weights: str, device: str, image_size: int | str = "default", precision: str = "float32"
) -> Backbone:
    """Return the backbone that params.yaml's extract.backbone and its other settings name.

    Raises:
        UserError: if there is no such backbone, it has no penultimate layer, or its weights are not to be had.

    """
    if name == "none":
        return Backbone(_pixels, _flat, {"backbone": "none", "weights": "none", "transform": "pixels / 255"})
    found = network(name, weights, None if image_size == "default" else int(image_size))
    return Backbone(Prepare(found.crop), _forward(found, device, precision), _identity(found, weights, precision))


def restored(identity: Mapping[str, str], weights: str, device: str) -> Backbone:
    """Return the backbone of an identity; `weights` ("default" or a file) says where trained ones come from.

    Raises:
        UserError: if it cannot be had, or is no longer the same.

    """
    if identity["weights"] == GIVEN:
        raise UserError(
            f"the dictionary's features were brought along, extracted by {identity['backbone']}: dseld cannot extract "
            "those of new images; use a dictionary from `dseld extract --dataset`"
        )
    if identity["weights"] == "random" or weights == "random":
        weights = "random" if identity["weights"] == "random" else "default"
    size, precision = identity.get("image_size", "default"), identity.get("precision", "float32")
    found = backbone(identity["backbone"], weights, device, size, precision)
    for key, value in identity.items():
        if found.identity.get(key) != value:
            raise UserError(
                f"the dictionary's features have {key} {value}, this {identity['backbone']} has "
                f"{found.identity.get(key)}: pass the weights that they were extracted with, --weights FILE"
            )
    return found


@dataclass(frozen=True)
class Prepare:
    """Image of any mode to (3, S, S) uint8."""

    crop: Callable[..., Any]

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Crop it."""
        return np.asarray(self.crop(image.convert("RGB")))


def _identity(found: Network, weights: str, precision: str) -> dict[str, str]:
    scaling = f"(x / 255 - {_rounded(found.mean)}) / {_rounded(found.std)}"
    return {
        "backbone": found.name,
        "weights": "random" if weights == "random" else "trained",
        "weights_sha256": found.sha256,
        "image_size": str(found.size),
        "transform": f"{found.cropped}; {scaling}",
        "precision": precision,
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 6) for value in values]


def _forward(found: Network, device: str, precision: str) -> Callable[[Sequence[NDArray[Any]]], NDArray[np.float32]]:
    dtype = PRECISIONS[precision]
    module = found.module.to(device, dtype).to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (found.mean, found.std))

    @torch.inference_mode()
    def features(batch: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(np.stack(batch)).to(device)  # (B, 3, S, S) uint8
        found = module(scaled(pixels, mean, std).to(dtype, memory_format=torch.channels_last)).flatten(1)
        array: NDArray[np.float32] = found.float().cpu().numpy()
        return array

    return features


def scaled(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return (pixels / 255 - mean) / std of images (B, 3, S, S) uint8, as float32."""
    return pixels.float().div_(255).sub_(mean).div_(std)


def _pixels(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image)


def _flat(batch: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Pixels scaled to [0, 1], row by row: (H * W,) for grey images, (H * W * 3,) for others."""
    if len({image.shape for image in batch}) > 1:
        raise UserError(f"images differ in size ({_sizes(batch)}): pixels need one size; use a backbone instead")
    return np.stack([image.astype(np.float32).ravel() / 255 for image in batch])


def _sizes(batch: Sequence[NDArray[Any]]) -> str:
    kinds = {2: "grey", 3: "RGB"}
    found = sorted({f"{image.shape[1]} x {image.shape[0]} {kinds[image.ndim]}" for image in batch})
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
