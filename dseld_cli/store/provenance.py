"""Where stores come from, typed: one class per kind of store, read strictly, written as the same JSON.

A field that is None is left out of the JSON. Unknown and missing keys are refused, so that nobody reads half of what
another version wrote.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from dseld_cli import __version__

T = TypeVar("T")
Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Info:
    """What every store says of its origin.

    Attributes:
        kind: of the store; not part of the JSON.
        dseld: version that made it.
        inputs: fingerprint of every store that it was made from, by name.

    """

    kind: ClassVar[str]
    dseld: str = __version__
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Numbers that this fixes: of classes, of atoms."""
        return {}


@dataclass(frozen=True, kw_only=True)
class _Classed(Info):
    """Of classes, whose names the labels index."""

    classes: Names

    def sizes(self) -> dict[str, int]:
        """Of classes."""
        return {"class": len(self.classes)}


@dataclass(frozen=True, kw_only=True)
class FeaturesInfo(_Classed):
    """Features of the images of a split.

    Attributes:
        extractor: what must be equal for two sets of features to be comparable: backbone, weights, transform, ...
        dataset: where the images are; "given" if the features were brought along.
        skipped: broken images that were left out, by source.

    """

    kind = "features"
    extractor: Mapping[str, str]
    dataset: str = "given"
    split: str
    limit_per_class: int | str | None = None
    seed: int | None = None
    val_share: float | None = None
    images_sha256: str | None = None
    contents_sha256: str | None = None
    batch_size: int | None = None
    skipped: Names | None = None


@dataclass(frozen=True, kw_only=True)
class BaseInfo(_Classed):
    """A base dictionary, drawn from the features of a split.

    Attributes:
        transform: of the features before they are atoms; None for none.
        transform_sha256: digest of what was fitted.

    """

    kind = "base"
    extractor: Mapping[str, str]
    split: str
    sampling: str
    size: int | str
    seed: int
    duplicates: str
    transform: str | None = None
    transform_sha256: str | None = None


@dataclass(frozen=True)
class SegmentInfo:
    """The base, or one addition: its name in params.yaml, the fingerprint of its store, how many images it has."""

    name: str
    fingerprint: str
    images: int


@dataclass(frozen=True)
class RelabelInfo:
    """A row, over all segments, with the class that it is of instead of its own."""

    row: int
    label: str


@dataclass(frozen=True, kw_only=True)
class DictionaryInfo(_Classed):
    """The current dictionary: its segments in order, what became of their images, and its base's transform.

    Attributes:
        removed: rows, over all segments, that are not used.
        relabelled: rows whose own label is wrong.

    """

    kind = "dictionary"
    extractor: Mapping[str, str]
    segments: tuple[SegmentInfo, ...]
    removed: tuple[int, ...]
    compact: bool
    transform: str | None = None
    relabelled: tuple[RelabelInfo, ...] | None = None


@dataclass(frozen=True)
class ArrayMark:
    """What was committed of an array: shape, type, and the digest of each chunk (`chunks.digest`)."""

    shape: tuple[int, ...]
    dtype: str
    digests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class GramianInfo(Info):
    """Inner products of just these atoms."""

    kind = "gramian"
    atoms: ArrayMark

    def sizes(self) -> dict[str, int]:
        """Of atoms."""
        return {"atom": self.atoms.shape[0]} if self.atoms.shape else {}


@dataclass(frozen=True, kw_only=True)
class _Coded(_Classed):
    """Of codes with these parameters of the recurrence."""

    lambda_: float
    tau: float
    steps: int

    @property
    def dynamics(self) -> dict[str, float]:
        """Parameters of the recurrence, by their names in params.yaml."""
        return {"lambda": self.lambda_, "tau": self.tau, "steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class CodesInfo(_Coded):
    """Codes of the images of a split over `atoms` atoms.

    Attributes:
        images: how many were drawn, or "all".
        codes: how training images are coded: with their own atoms left out, or images outside the dictionary.

    """

    kind = "codes"
    split: str
    images: int | str
    seed: int
    codes: str | None = None
    batch: int
    method: str
    inhibition: str
    energy: bool
    atoms: int

    def sizes(self) -> dict[str, int]:
        """Of classes, atoms and steps."""
        return super().sizes() | {"atom": self.atoms, "step": self.steps}


@dataclass(frozen=True, kw_only=True)
class PredictionsInfo(_Classed):
    """Classes of the coded images of a split, by a decoder, with these options, if it was given any."""

    kind = "predictions"
    decoder: str
    split: str
    options: Mapping[str, str | int | float | bool] | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkInfo(_Coded):
    """A decoder that was trained on codes of these parameters, with these options, if it takes any."""

    kind = "network"
    seed: int
    decoder: str | None = None
    options: Mapping[str, str | int | float | bool] | None = None


@dataclass(frozen=True, kw_only=True)
class BaselineInfo(_Classed):
    """Classes of the images of a split by a classifier that does without coding."""

    kind = "baseline"
    baseline: str
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class CalibrationInfo(_Coded):
    """What the shares of a decoder are worth, learned from images that were coded with these parameters.

    Attributes:
        beta: what shares are multiplied with in the softmax that makes them probabilities.

    """

    kind = "calibration"
    decoder: str
    options: Mapping[str, str | int | float | bool] | None = None
    split: str
    images: int
    seed: int
    beta: float


INFOS: tuple[type[Info], ...] = (
    FeaturesInfo,
    BaseInfo,
    DictionaryInfo,
    GramianInfo,
    CodesInfo,
    PredictionsInfo,
    NetworkInfo,
    BaselineInfo,
    CalibrationInfo,
)


def as_json(info: object) -> dict[str, Any]:
    """Write typed facts as JSON has them."""
    found = ((field.name.rstrip("_"), getattr(info, field.name)) for field in dataclasses.fields(info))  # type: ignore[arg-type]
    return {name: _plain(value) for name, value in found if value is not None}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def parse(wanted: type[T], found: object, where: str = "provenance") -> T:
    """Read typed facts from JSON.

    Raises:
        ValueError: naming the key, what is expected, and what is there.

    """
    if not isinstance(found, dict):
        raise _unexpected(where, "facts", found)
    hints = get_type_hints(wanted)
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(wanted)}  # type: ignore[arg-type]
    if unknown := found.keys() - fields.keys():
        raise ValueError(f"{where}: Expected {', '.join(fields)}. Got {min(unknown)[:80]!r} as well.")
    values = {}
    for name, field in fields.items():
        if name in found:
            values[field.name] = _parsed(hints[field.name], found[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}: Expected {name}. Got none.")
    return wanted(**values)


def _parsed(wanted: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if dataclasses.is_dataclass(wanted):
        return parse(wanted, value, where)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return _either(arguments, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_parsed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: _parsed(arguments[1], item, f"{where}.{key[:80]}") for key, item in value.items()}
    if wanted is float and type(value) is int:
        return value
    if origin is None and type(value) is wanted:
        return value
    raise _unexpected(where, getattr(wanted, "__name__", str(wanted)), value)


def _either(wanted: tuple[Any, ...], value: Any, where: str) -> Any:
    for one in wanted:
        try:
            return _parsed(one, value, where)
        except ValueError:
            continue
    raise _unexpected(where, " or ".join(one.__name__ for one in wanted if one is not types.NoneType), value)


def _unexpected(where: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{where[:160]}: Expected {wanted}. Got {repr(value)[:80]}.")
