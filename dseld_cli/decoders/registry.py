"""Which decoders there are: our own, and what packages installed beside ours register as `dseld.decoders`.

    [project.entry-points."dseld.decoders"]
    power-sum = "my_package:PowerSum"

in such a package's pyproject.toml is all that `--decoder power-sum` takes. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, get_type_hints

from dseld_cli.errors import UserError
from dseld_cli.runtime.text import quoted, suggestion

if TYPE_CHECKING:
    from dseld_cli.decoders.base import Decoder

GROUP = "dseld.decoders"
BUILT_IN = {
    "max-activation": "dseld_cli.decoders.max_activation:MaxActivation",
    "class-sum": "dseld_cli.decoders.class_sum:ClassSum",
    "balanced-class-sum": "dseld_cli.decoders.balanced_class_sum:BalancedClassSum",
    "minimum-residual": "dseld_cli.decoders.minimum_residual:MinimumResidual",
    "ridge": "dseld_cli.decoders.ridge:Ridge",
    "shallow-nn": "dseld_cli.decoders.shallow_nn:ShallowNN",
}
"""Our own, whose names no package can take."""


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a decoder."""

    name: str
    kind: type
    default: object
    help: str


def names() -> list[str]:
    """Names of all decoders, our own first."""
    return [*BUILT_IN, *sorted(_installed().keys() - BUILT_IN.keys())]


def exists(name: str) -> bool:
    """Whether there is a decoder of this name; packages are searched only for names that are not our own."""
    return name in BUILT_IN or name in _installed()


def require(name: str) -> str:
    """Return the name of a decoder.

    Raises:
        UserError: if there is none, with the names that there are.

    """
    if exists(name):
        return name
    raise UserError(f"there is no decoder {quoted(name)}: there are {', '.join(names())}{suggestion(name, names())}")


def decoder(name: str, options: Mapping[str, object] | None = None) -> Decoder:
    """Make a decoder with some of its options; text is read as what the option is.

    Raises:
        UserError: if there is no such decoder or option, or a value is not of the option's kind.

    """
    cls, known = decoder_class(name), {option.name: option for option in options_of(name)}
    for key in options or {}:
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(f"decoder {name} has no option {quoted(key)}: {there}")
    try:
        made: Decoder = cls(**{key: _parsed(value, known[key]) for key, value in (options or {}).items()})
    except (TypeError, ValueError) as error:
        if name in BUILT_IN and isinstance(error, TypeError):  # a stranger's class may be made in other ways; ours, not
            raise
        raise UserError(f"decoder {name}: {error}") from error
    if not callable(getattr(made, "scores", None)):
        raise UserError(f"decoder {name} has no scores(codes, given): its author can mend that")
    return made


def decoders(names: Iterable[str], options: Mapping[str, Mapping[str, object]]) -> dict[str, Decoder]:
    """Make decoders by name, each with its options of params.yaml (`decoder_options`).

    Raises:
        UserError: as `decoder` does.

    """
    return {name: decoder(name, options.get(name, {})) for name in names}


def help_of(name: str) -> str:
    """First line of a decoder's documentation."""
    return (decoder_class(name).__doc__ or "").strip().partition("\n")[0]


def options_of(name: str) -> list[Option]:
    """Options of a decoder, in order."""
    cls = decoder_class(name)
    if not dataclasses.is_dataclass(cls):
        return []
    kinds = get_type_hints(cls)
    return [Option(f.name, kinds[f.name], f.default, str(f.metadata.get("help", ""))) for f in dataclasses.fields(cls)]


def decoder_class(name: str) -> type[Any]:
    """Import a decoder.

    Raises:
        UserError: if there is none of this name, or its package is broken.

    """
    require(name)
    try:
        if name not in BUILT_IN:
            return _installed()[name].load()  # type: ignore[no-any-return]
    except Exception as error:  # whatever a stranger's module raises
        where = _installed()[name].value
        raise UserError(f"decoder {name} ({where}) cannot be imported: {type(error).__name__}: {error}") from None
    module, _, attribute = BUILT_IN[name].partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _parsed(value: object, option: Option) -> object:
    """Read a value, or text from the command line, as an option's kind.

    Raises:
        ValueError: if it is none.

    """
    kind = option.kind
    if isinstance(value, str) and kind is bool:
        value = {"true": True, "false": False}.get(value.lower(), value)
    elif (isinstance(value, str) and kind in (int, float)) or (type(value) is int and kind is float):
        with contextlib.suppress(ValueError):
            value = kind(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"option {option.name} should be a finite number; got {value}")
    if kind in (int, float, str, bool) and type(value) is not kind:
        raise ValueError(f"option {option.name} should be of type {kind.__name__}; got {quoted(value)}")
    return value
