"""Settings of the paper's experiments by name: a data set and a backbone, 50,000 exemplars, lambda 2, tau = K = 100.

A preset bears the names of its data set and of its backbone: `cifar100-resnet152`. The rows of the paper's Tables 3 and
6 are among them, and the other networks of its Fig. 6 on each of its data sets.
"""

from __future__ import annotations

from collections.abc import Mapping

from dseld_cli.errors import UserError
from dseld_cli.runtime.text import quoted, suggestion

DATASETS = ("cifar10", "cifar100", "imagenet")
BACKBONES = {
    "resnet152": "resnet152@IMAGENET1K_V2",
    "resnet50": "resnet50@IMAGENET1K_V2",
    "efficientnet_v2_s": "efficientnet_v2_s@IMAGENET1K_V1",
    "densenet121": "densenet121@IMAGENET1K_V1",
    "mobilenet_v3_large": "mobilenet_v3_large@IMAGENET1K_V2",
    "inception_v3": "inception_v3@IMAGENET1K_V1",
    "vgg16": "vgg16@IMAGENET1K_V1",
    "efficientnet_lite0": "efficientnet_lite0",
}
"""Name in a preset, and the backbone with its weights."""

COMMON: Mapping[str, object] = {
    "build_dict.size": 50_000,
    "build_dict.seed": 0,
    "lca.lambda": 2.0,
    "lca.tau": 100.0,
    "lca.steps": 100,
}

PRESETS: dict[str, dict[str, object]] = {
    "digits": {},
    **{name: {"data.dataset": name, **COMMON} for name in ("mnist", "fashion-mnist")},
    **{
        f"{dataset}-{name}": {"data.dataset": dataset, "extract.backbone": backbone, **COMMON}
        for dataset in DATASETS
        for name, backbone in BACKBONES.items()
    },
}
"""Changes to the shipped params.yaml, by the preset's name: dotted key to value."""


def preset(name: str) -> dict[str, object]:
    """Return the changes that a preset makes.

    Raises:
        UserError: if there is no such preset, naming those there are.

    """
    if name not in PRESETS:
        raise UserError(
            f"--preset {quoted(name)}: no such preset{suggestion(name, PRESETS)}; there are digits, mnist, "
            f"fashion-mnist, and DATASET-BACKBONE with DATASET one of {', '.join(DATASETS)} and BACKBONE one of "
            f"{', '.join(BACKBONES)}"
        )
    return PRESETS[name]
