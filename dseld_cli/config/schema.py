"""params.yaml, read and validated once: the single source of every default. Each key is commented in params.yaml."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dseld_cli.errors import UserError

PATH = Path("params.yaml")
GIB = 2**30
MINIMUM_MEMORY = 3 * GIB // 2


def parse_count(value: object) -> object:
    """Pass "all" or a whole number of at least 1.

    Raises:
        ValueError: for anything else.

    """
    return _word_or_number(value, "all", 1)


def parse_memory(value: object) -> int:
    """Read a budget such as "4GiB" or "1500MiB" as bytes.

    Raises:
        ValueError: if it is not a size, or less than the 1.5 GiB that Python, torch and one tile take.

    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG])i?B?\s*", str(value))
    size = int(float(match[1]) * {"M": 2**20, "G": GIB}[match[2]]) if match else 0
    if size < MINIMUM_MEMORY:
        raise ValueError("should be a size of at least 1.5GiB, such as 4GiB or 6000MiB")
    return size


def parse_default(value: object) -> object:
    """Pass "default" or a whole number of at least 1.

    Raises:
        ValueError: for anything else.

    """
    return _word_or_number(value, "default", 1)


def parse_workers(value: object) -> object:
    """Pass "auto" or a whole number of at least 0.

    Raises:
        ValueError: for anything else.

    """
    return _word_or_number(value, "auto", 0)


def _word_or_number(value: object, word: str, least: int) -> object:
    if value == word or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return value
    raise ValueError(f"should be {word!r} or a whole number of at least {least}")


Count = Annotated[int | Literal["all"], BeforeValidator(parse_count)]
Memory = Annotated[int, BeforeValidator(parse_memory)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Decoder = Literal["max-activation", "class-sum", "balanced-class-sum", "minimum-residual"]
TrainedDecoder = Literal["shallow-nn"]
Baseline = Literal["nearest-class-mean", "cosine-knn", "logistic-regression"]


class Section(BaseModel):
    """A part of params.yaml: no key beyond these, no type but the right one, no change after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Data(Section):
    """Which images."""

    dataset: Annotated[str, Field(min_length=1)]
    root: Annotated[str, Field(min_length=1)]


class Extract(Section):
    """How images become features."""

    backbone: Annotated[str, Field(min_length=1)]
    weights: Annotated[str, Field(min_length=1)]
    image_size: Annotated[int | Literal["default"], BeforeValidator(parse_default)]
    precision: Literal["float32", "bfloat16"]
    splits: Annotated[list[Literal["train", "val", "test"]], Field(min_length=1)]
    val_share: Annotated[float, Field(gt=0, lt=1)]
    limit_per_class: Count
    seed: Seed
    broken: Literal["fail", "skip"]
    batch_size: Annotated[int, Field(ge=1)]
    workers: Annotated[int | Literal["auto"], BeforeValidator(parse_workers)]


class BuildDict(Section):
    """Which training images become atoms."""

    split: Literal["train", "val", "test"]
    sampling: Literal["random", "balanced"]
    size: Count
    seed: Seed
    duplicates: Literal["keep", "drop"]


class Gramian(Section):
    """How the Gramian is stored."""

    dtype: Literal["float32", "float16"]


class Lca(Section):
    """The recurrence."""

    lambda_: Annotated[float, Field(gt=0, allow_inf_nan=False, alias="lambda")]
    tau: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    steps: Annotated[int, Field(ge=1)]


class Encode(Section):
    """Which images are coded, and by what means."""

    method: Literal["working-set", "direct"]
    inhibition: Literal["atoms", "gramian"]
    energy: bool
    images: Count
    seed: Seed


class TrainDecoder(Section):
    """Which training images are coded to train a decoder on."""

    codes: Literal["leave-one-out", "outside"]
    images: Count
    seed: Seed


class Baselines(Section):
    """Classifiers of the same features and exemplars, without coding."""

    names: list[Baseline]
    neighbours: Annotated[int, Field(ge=1)]


class Reconstruct(Section):
    """What `dseld reconstruct` rebuilds, and at which setting."""

    images: Annotated[int, Field(ge=1)]
    atoms: Annotated[int, Field(ge=2)]
    lambda_: Annotated[float, Field(gt=0, allow_inf_nan=False, alias="lambda")]
    tau: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    steps: Annotated[int, Field(ge=1)]
    seed: Seed


class Classify(Section):
    """What `dseld classify` says about an image."""

    decoder: Literal["max-activation", "class-sum"]
    exemplars: Annotated[int, Field(ge=1)]


class Run(Section):
    """What a command may use."""

    memory: Memory
    device: Literal["cpu", "cuda"]


class Params(Section):
    """The whole of params.yaml."""

    data: Data
    extract: Extract
    build_dict: BuildDict
    additions: list[str]
    removals: list[str]
    compact: bool
    gramian: Gramian
    lca: Lca
    encode: Encode
    decoders: Annotated[list[Decoder], Field(min_length=1)]
    trained_decoders: list[TrainedDecoder]
    train_decoder: TrainDecoder
    baselines: Baselines
    classify: Classify
    reconstruct: Reconstruct
    run: Run


def load(overrides: Mapping[str, object] | None = None, path: Path = PATH) -> Params:
    """Read and validate params.yaml; `overrides` maps dotted keys ("lca.lambda") to what the command line says.

    Raises:
        UserError: naming the key and what is allowed.

    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    raw = _read(path)
    for key, value in given.items():
        section, _, leaf = key.rpartition(".")
        target = raw.setdefault(section, {}) if section else raw
        if isinstance(target, dict):
            target[leaf] = value
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(_explain(error, given, path)) from None
    if params.run.device == "cuda":
        _require_cuda()
    return params


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UserError("run.device: cuda, but torch finds no GPU here: use cpu, or a torch build for your GPU")


def edit(changes: Mapping[str, object], path: Path = PATH) -> None:
    """Change values of params.yaml at its top level, whole or not at all; every other line stays as it is.

    Raises:
        UserError: if a list is laid out otherwise than as one line, or a line an item.

    """
    lines = path.read_text(encoding="utf-8").splitlines()
    for key, value in changes.items():
        lines = _edited(lines, key, value)
    text = "\n".join(lines) + "\n"
    for key, value in changes.items():
        if _value(text, key) != value:
            raise UserError(f"{path}: {key} is laid out in a way that dseld cannot edit: give each item a line, - ITEM")
    draft = path.with_name(path.name + ".partial")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _edited(lines: list[str], key: str, value: object) -> list[str]:
    """Rewrite a key's line; of a list, drop the lines of items that go, and add those that come."""
    start = next((i for i, line in enumerate(lines) if line.startswith(f"{key}:")), None)
    if start is None:
        return lines
    stop = start + 1
    while stop < len(lines) and (_is_item(lines[stop]) or re.match(r"\s+#", lines[stop])):
        stop += 1
    if not isinstance(value, list) or not value:
        return [*lines[:start], f"{key}: {_scalar(value)}", *lines[stop:]]
    stay = [line for line in lines[start + 1 : stop] if not _is_item(line) or _item(line) in value]
    known = [_item(line) for line in stay if _is_item(line)]
    margin = next((line[: line.index("-")] for line in stay if _is_item(line)), "  ")
    come = [f"{margin}- {_scalar(item)}" for item in value if item not in known]
    return [*lines[:start], f"{key}:", *stay, *come, *lines[stop:]]


def _value(text: str, key: str) -> object:
    try:
        return yaml.safe_load(text)[key]
    except yaml.YAMLError:
        return None


def _is_item(line: str) -> bool:
    return line.lstrip().startswith("- ")


def _item(line: str) -> object:
    return yaml.safe_load(line.lstrip()[2:])


def _scalar(value: object) -> str:
    """Write a value on one line."""
    return str(yaml.safe_dump(value, width=math.inf, default_flow_style=True, allow_unicode=True)).splitlines()[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"no {path} in {Path.cwd()}: run dseld in a project's folder, or copy params.yaml there from dseld's"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} should map keys to values; see the commented one that comes with dseld")
    return raw


def _explain(error: ValidationError, given: Mapping[str, object], path: Path) -> str:
    """One line for the first thing wrong: where, which key, what is allowed, what was there."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(part for part in location if not part.startswith("function-"))
    origin = "command line" if key in given else str(path)
    if first["type"] == "missing":
        return f"{origin}: key {key} is missing"
    if first["type"] == "extra_forbidden":
        return f"{origin}: unknown key {key}; allowed here: {', '.join(_allowed(location[:-1]))}"
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return f"{origin}: {key} {message}; got {first['input']!r}"


def _allowed(location: list[str]) -> list[str]:
    model: Any = Params
    for part in location:
        model = model.model_fields[part].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
