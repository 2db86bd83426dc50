"""Weights: where they come from, whether they fit, and what tells them apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dseld_cli.errors import UserError
from dseld_cli.runtime.home import expanded
from dseld_cli.runtime.text import told

LEGACY_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Names in DenseNet's published files, which torchvision renames on loading, too."""

State = Mapping[str, torch.Tensor]


def fill(classifier: nn.Module, weights: str, name: str, published: Callable[[], State], url: str) -> None:
    """Load the weights wanted: a file's, the published ones, or none for "random".

    Raises:
        UserError: if they are not to be had, or do not fit.

    """
    if weights == "default":
        load(classifier, _download(published, name, url), "its published weights", name)
    elif weights != "random":
        load(classifier, read(expanded(Path(weights)), name), weights, name)


def _download(published: Callable[[], State], name: str, url: str) -> State:
    try:
        return published()
    except UserError:
        raise
    except Exception as error:  # a network fails in many ways
        raise UserError(
            f"cannot download the weights of {name} ({told(error)[:200]}): fetch {url} where there is a network, "
            f"and pass --weights FILE, or put it into {torch.hub.get_dir()}/checkpoints"
        ) from None


def read(path: Path, name: str) -> State:
    """Read the file of a state dict, without running any code in it.

    Raises:
        UserError: if it is none.

    """
    if not path.is_file():
        raise UserError(f"extract.weights: no file {path}; default, random, or the file of a state dict for {name}")
    try:
        if path.suffix == ".safetensors":
            loaded: object = optional("safetensors.torch", "timm", str(path)).load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises many kinds
        reason = told(error).partition(". ")[0]
        raise UserError(f"extract.weights: {path} holds no state dict that is safe to load ({reason})") from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        kind = "nested values" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise UserError(f"extract.weights: {path} holds {kind}, not a state dict: save model.state_dict() there")
    return loaded


def load(classifier: nn.Module, state: State, source: str, name: str) -> None:
    """Fill a classifier with a state dict that fits it to the last tensor.

    Raises:
        UserError: saying what does not fit.

    """
    given = {LEGACY_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    wanted = classifier.state_dict()
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}  # absent from old files, and not used
    missing = [key for key in wanted if key not in given and key not in counters]
    unknown = [key for key in given if key not in wanted]
    unequal = [key for key in given if key in wanted and given[key].shape != wanted[key].shape]
    for what, keys in (("lacks", missing), ("has a surplus", unknown), ("has another shape of", unequal)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise UserError(f"extract.weights: {source} does not fit {name}: it {what} {keys[0]}{more}")
    classifier.load_state_dict(given, strict=False)


def digest(classifier: nn.Module) -> str:
    """SHA-256 of a network's weights: names and values."""
    digest = hashlib.sha256()
    for key, value in classifier.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def optional(module: str, extra: str, name: str) -> Any:
    """Import a module that an extra of dseld's brings.

    Raises:
        UserError: if it is not installed.

    """
    try:
        return import_module(module)
    except ImportError:
        raise UserError(f"{name} needs {module}: pip install 'dseld[{extra}]'") from None
