"""No network: pixels scaled to [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dseld_cli.backbones.base import Backbone, Settings
from dseld_cli.errors import UserError


def pixels(name: str, settings: Settings) -> Backbone:
    """Return the backbone `none`; no setting means anything to it."""
    return Backbone(_array, _flat, {"backbone": name, "weights": "none", "transform": "pixels / 255"})


def _array(image: Image.Image) -> NDArray[Any]:
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
