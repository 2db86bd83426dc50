"""timm's classifiers: timm:NAME, or timm:NAME.TAG for other weights than its default ones."""

from __future__ import annotations

import difflib
from typing import Any

from dseld_cli.backbones.base import Backbone, Settings
from dseld_cli.backbones.penultimate import Network, as_backbone, as_module, seeded
from dseld_cli.backbones.weights import State, digest, fill, optional
from dseld_cli.errors import UserError
from dseld_cli.runtime.text import told


def model(name: str, settings: Settings) -> Backbone:
    """Return the backbone of timm's name.

    Raises:
        UserError: if timm is not installed or has no such model, or its weights are not to be had.

    """
    return as_backbone(network(name, settings), settings)


def network(name: str, settings: Settings) -> Network:
    """Return timm's model, cut by its own `reset_classifier`."""
    timm = optional("timm", "timm", name)
    known = name.partition(":")[2]
    try:
        with seeded():
            classifier = as_module(timm.create_model(known))
    except RuntimeError as error:
        raise _unknown(timm, known, error) from None
    published: Any = classifier.pretrained_cfg
    where = (published.get("hf_hub_id") and f"https://huggingface.co/{published['hf_hub_id']}") or published.get("url")

    def download() -> State:
        if not where:
            raise UserError(f"extract.weights: timm publishes none for {known}: pass --weights FILE, or random")
        state: State = timm.create_model(known, pretrained=True).state_dict()
        return state

    fill(classifier, settings.weights, name, download, where or "")
    sha256 = digest(classifier)
    classifier.reset_classifier(0)  # type: ignore[operator]
    size = {"input_size": (3, settings.image_size, settings.image_size)} if settings.image_size else {}
    config = timm.data.resolve_data_config(size, model=classifier)
    crop = timm.data.create_transform(**config, use_prefetcher=True)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Network(name, classifier, sha256, crop, " ".join(repr(crop).split()), config["input_size"][-1], mean, std)


def _unknown(timm: Any, model: str, error: Exception) -> UserError:
    near = difflib.get_close_matches(model, timm.list_models(), n=3)
    hint = f"; did you mean {' or '.join(f'timm:{name}' for name in near)}?" if near else ""
    return UserError(f"extract.backbone: timm has no {model} ({told(error)[:120]}){hint}")
