"""What a backbone is, and how one is found by its name: ours, or a package's that is installed beside ours.

In two steps, so that worker processes can take the first: `prepare` one image, then the `features` of a batch.

A package adds backbones by an entry point of the group `dseld.backbones`: `mine = "my_package:mine"`, where `mine` is
called with the name (`mine`, `mine:LARGE`, `mine@V2`) and `Settings`, and returns a `Backbone`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dseld_cli.errors import UserError

GROUP = "dseld.backbones"
GIVEN = "given"
LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
REQUIRED = ("backbone", "weights", "transform")
"""What every identity says: the name that finds it again, "trained", "random" or "none", and what is done to images."""


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    Attributes:
        prepare: an image to the array that a batch is made of; picklable.
        features: prepared images (B) to features (B, N) float32; called from several threads at once.
        identity: what must be equal for two sets of features to be comparable: name, weights' hash, transform, ...

    """

    prepare: Callable[[Image.Image], NDArray[Any]]
    features: Callable[[Sequence[NDArray[Any]]], NDArray[np.float32]]
    identity: dict[str, str]


@dataclass(frozen=True)
class Settings:
    """How a backbone is wanted.

    Attributes:
        weights: "default" (its published ones), "random", or a file.
        device: where it runs: cpu or cuda.
        image_size: side of the square image that it sees, in pixels; None is its own choice.
        precision: float32 or bfloat16.

    """

    weights: str = "default"
    device: str = "cpu"
    image_size: int | None = None
    precision: str = "float32"


Family = Callable[[str, Settings], Backbone]
"""Makes the backbones of a family: those whose names begin alike, up to a colon or an @."""


def _ours(name: str, module: str) -> EntryPoint:
    return EntryPoint(name, f"dseld_cli.backbones.{module}", GROUP)


FAMILIES = {
    "none": _ours("none", "pixels:pixels"),
    "timm": _ours("timm", "timm:model"),
    **{name: _ours(name, "lite:lite") for name in LITE},
}
OTHERS = _ours("torchvision", "torchvision:classifier")
"""Whose every other name is."""


def backbone(
    name: str,
    weights: str = "default",
    device: str = "cpu",
    image_size: int | str = "default",
    precision: str = "float32",
) -> Backbone:
    """Return the backbone that params.yaml's extract.backbone and its other settings name.

    Raises:
        UserError: if there is no such backbone, it has no penultimate layer, or its weights are not to be had.

    """
    settings = Settings(weights, device, None if image_size == "default" else int(image_size), precision)
    entry = _entry(name)
    found = _made(entry, name, settings)
    identity = getattr(found, "identity", {})
    if missing := [key for key in REQUIRED if not isinstance(identity.get(key), str)]:
        raise UserError(
            f"extract.backbone: {_described(entry)} lacks {missing[0]} in its identity: its author can mend that"
        )
    return found


def installed() -> dict[str, EntryPoint]:
    """Backbones of packages beside ours, by name.

    Raises:
        UserError: if two packages bring the same name, or one brings a name of ours.

    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        twin = found.get(entry.name) or FAMILIES.get(entry.name)
        if twin and twin.value != entry.value:
            raise UserError(
                f"extract.backbone: {entry.name} is brought twice, by {twin.value} and by {entry.value}: uninstall one"
            )
        found[entry.name] = entry
    return found


def _entry(name: str) -> EntryPoint:
    family = re.split("[:@]", name)[0]
    return FAMILIES.get(family) or installed().get(family) or OTHERS


def _made(entry: EntryPoint, name: str, settings: Settings) -> Backbone:
    if entry.value.startswith("dseld_cli."):
        return entry.load()(name, settings)  # type: ignore[no-any-return]
    try:
        family: Family = entry.load()
    except Exception as error:  # a package's import may fail in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"extract.backbone: {_described(entry)} cannot be loaded ({reason[:200]})") from error
    try:
        return family(name, settings)
    except TypeError as error:
        raise UserError(f"extract.backbone: {_described(entry)}: {error}: its author can mend that") from error


def _described(entry: EntryPoint) -> str:
    package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    return f"{entry.name}{package}"


def arguments_of(identity: Mapping[str, str], weights: str, device: str) -> tuple[str, str, str, str, str]:
    """Return what `backbone` takes to make that of an identity; `weights` as for `restored`.

    Raises:
        UserError: if its features were brought along.

    """
    if identity["weights"] == GIVEN:
        raise UserError(
            f"the dictionary's features were brought along, extracted by {identity['backbone']}: dseld cannot extract "
            "those of new images; use a dictionary from `dseld extract --dataset`"
        )
    if identity["weights"] == "random" or weights == "random":
        weights = "random" if identity["weights"] == "random" else "default"
    size, precision = identity.get("image_size", "default"), identity.get("precision", "float32")
    return identity["backbone"], weights, device, size, precision


def restored(identity: Mapping[str, str], weights: str, device: str) -> Backbone:
    """Return the backbone of an identity; `weights` ("default" or a file) says where trained ones come from.

    Raises:
        UserError: if it cannot be had, or is no longer the same.

    """
    found = backbone(*arguments_of(identity, weights, device))
    for key, value in identity.items():
        if found.identity.get(key) != value:
            raise UserError(
                f"the dictionary's features have {key} {value}, this {identity['backbone']} has "
                f"{found.identity.get(key)}: pass the weights that they were extracted with, --weights FILE"
            )
    return found
