"""Settings of the paper's experiments by name: a data set and a backbone, 50,000 exemplars, lambda 2, tau = K = 100.

The paper's classification table crosses data sets with pretrained networks; so do these, whichever rows it has.
"""

from __future__ import annotations

from collections.abc import Mapping

from dseld_cli.errors import UserError
from dseld_cli.runtime.text import quoted, suggestion

DATASETS = ("cifar10", "cifar100", "imagenet")
BACKBONES = {
    "resnet152": "resnet152",
    "resnet50": "resnet50",
    "efficientnet": "efficientnet_v2_s",
    "densenet121": "densenet121",
    "mobilenet": "mobilenet_v3_large",
    "inception": "inception_v3",
    "vgg16": "vgg16",
    "efficientnet_lite0": "efficientnet_lite0",
}
"""Name in a preset, and the backbone that it stands for."""

COMMON: Mapping[str, object] = {"build_dict.size": 50_000, "lca.lambda": 2.0, "lca.tau": 100.0, "lca.steps": 100}

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
