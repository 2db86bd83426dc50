"""Kinds of value that params.yaml and the command line hold: parsed strictly, or refused by what they should be."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dseld_cli.decoders import registry
from dseld_cli.runtime.place import LOCAL
from dseld_cli.runtime.text import suggestion

GIB = 2**30
MINIMUM_MEMORY = 3 * GIB // 2
MOST = 2**31 - 1
"""No count of anything is larger: more would not fit an index of the stores."""


def parse_count(value: object) -> object:
    """Pass "all" or a whole number of at least 1.

    Raises:
        ValueError: for anything else.

    """
    return _word_or_number(value, "all", 1)


def parse_whole(value: object) -> object:
    """Pass a whole number that is written as another: 1e2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


def parse_memory(value: object) -> int:
    """Read a budget such as "4GiB" or "1500MiB" as bytes.

    Raises:
        ValueError: if it is not a size, or less than the 1.5 GiB that Python, torch and one tile take.

    """
    text = value if isinstance(value, str) else ""
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([MGT])i?B?\s*", text, re.ASCII)
    size = int(float(match[1]) * {"M": 2**20, "G": GIB, "T": 2**40}[match[2]]) if match else 0
    if size < MINIMUM_MEMORY:
        raise ValueError("should be a size of at least 1.5GiB, such as 4GiB or 6000MiB")
    return size


def parse_place(value: str) -> str:
    """Pass "local" or the URL of a prefix of object storage.

    Raises:
        ValueError: for anything else.

    """
    if value != LOCAL and not re.fullmatch(r"(s3|gs|az|file)://[^\s?#]+", value):
        raise ValueError("should be local or a URL: s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER")
    return value


def parse_decoder(value: str) -> str:
    """Pass the name of a decoder, of ours or of a package that is installed.

    Raises:
        ValueError: for anything else.

    """
    if not registry.exists(value):
        raise ValueError(f"should be a decoder: {', '.join(registry.names())}{suggestion(value, registry.names())}")
    return value


def _word_or_number(value: object, word: str, least: int) -> object:
    value = parse_whole(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value == word or (is_number and least <= value <= MOST):  # type: ignore[operator]
        return value
    raise ValueError(f"should be {word!r} or a whole number of at least {least}")


Name = Annotated[str, Field(min_length=1, max_length=4096)]
Place = Annotated[str, AfterValidator(parse_place)]
Count = Annotated[int | Literal["all"], BeforeValidator(parse_count)]
ImageSize = Annotated[int | Literal["default"], BeforeValidator(parse_default)]
Workers = Annotated[int | Literal["auto"], BeforeValidator(parse_workers)]
Memory = Annotated[int, BeforeValidator(parse_memory)]
Decoder = Annotated[str, AfterValidator(parse_decoder)]
Natural = Annotated[int, BeforeValidator(parse_whole), Field(ge=1, le=MOST)]
Seed = Annotated[int, BeforeValidator(parse_whole), Field(ge=0, lt=2**32)]
Threshold = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
"""Of neurons, in units of the features' norm; a float32 holds all of them."""
TimeConstant = Annotated[float, Field(ge=1, le=1e30, allow_inf_nan=False)]
