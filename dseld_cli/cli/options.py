"""Options that override a key of params.yaml, derived from its field in the schema: name, kind, help and validation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from dseld_cli.config.schema import Params
from dseld_cli.config.values import MOST
from dseld_cli.errors import UserError
from dseld_cli.runtime.text import quoted

PANEL = "Options that override params.yaml for this run"
NAMES = {"data.root": "--data-root", "baselines.names": "--baseline", "train_decoder.images": "--train-images"}
"""Options that are not called as the key's last part."""
METAVARS = {
    "data.root": "DIR",
    "extract.image_size": "PIXELS",
    "lca.lambda": "L",
    "lca.tau": "TAU",
    "lca.steps": "K",
    "reconstruct.lambda": "L",
    "reconstruct.tau": "TAU",
    "reconstruct.steps": "K",
    "build_dict.size": "M",
    "run.memory": "SIZE",
}
"""What stands for the value in the help, where it is neither a number N nor a NAME."""


def field(key: str) -> FieldInfo:
    """Field of the schema that a dotted key names."""
    section, name = _place(key)
    found: FieldInfo = section.model_fields[name]
    return found


def _place(key: str) -> tuple[Any, str]:
    """Part of the schema, and name there, of a dotted key."""
    section: Any = Params
    *parts, leaf = key.split(".")
    for part in parts:
        section = section.model_fields[part].annotation
    return section, next(name for name, its in section.model_fields.items() if (its.alias or name) == leaf)


def option_name(key: str) -> str:
    """How the option is called that overrides a key."""
    return NAMES.get(key, f"--{key.rpartition('.')[2].replace('_', '-')}")


def parameter_name(key: str) -> str:
    """Name of the key's parameter of a function."""
    return key.replace(".", "__")


def setting(key: str, panel: str = PANEL) -> inspect.Parameter:
    """Derive the parameter of a command that overrides a key."""
    kind = _bare(field(key).annotation)
    is_flag, is_list = kind is bool, get_origin(kind) is list
    names = [option_name(key)] if not is_flag else [f"{option_name(key)}/{option_name(key).replace('--', '--no-')}"]
    option = typer.Option(
        *names,
        help=f"({key})",  # a help page tells all
        metavar="" if is_flag else METAVARS.get(key, "N" if takes_numbers(key) else "NAME"),
        rich_help_panel=panel,
    )
    value: Any = bool if is_flag else list[str] if is_list else str
    return inspect.Parameter(
        parameter_name(key), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[value | None, option]
    )


def told(key: str, value: str | None = None) -> str:
    """Tell what a key is, its name and its value, for a help page; brackets are not taken for markup."""
    from rich.markup import escape

    from dseld_cli.config.described import descriptions

    section, name = _place(key)
    text = descriptions(section).get(name, "")
    again = " May be given again." if get_origin(_bare(section.model_fields[name].annotation)) is list else ""
    return f"{escape(text)} [dim]{escape(f'({key})' if value is None else f'({key}: {value})')}[/dim]{again}"


def value_of(key: str, text: object) -> object:
    """Read an option's text: a number where the key takes numbers and it is one; else the text."""
    if not isinstance(text, str) or not takes_numbers(key):
        return text
    if re.fullmatch(r"[+-]?\d{1,300}", text, re.ASCII):
        return int(text)
    try:
        return float(text) if text.isascii() else text
    except ValueError:
        return text


def takes_numbers(key: str) -> bool:
    """Whether a key's value may be a number."""
    kind = _bare(field(key).annotation)
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return bool({int, float} & {_bare(each) for each in kinds}) and key != "run.memory"


def _bare(kind: Any) -> Any:
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def arranged(settings: Sequence[str] | Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Key of each setting of a command to the panel of its help page."""
    panels = settings if isinstance(settings, Mapping) else {PANEL: settings}
    return {key: panel for panel, keys in panels.items() for key in keys}


Split = Literal["train", "val", "test"]
CodedSplit = Annotated[Split, typer.Option("--split", help="Which images.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.", metavar="")]
Decoders = Annotated[
    list[str] | None,
    typer.Option(
        "--decoder",
        metavar="NAME",
        help="Which (dseld decode --list-decoders); may be given again. Without it, all of params.yaml.",
    ),
]
DecoderOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="An option of the decoder; may be given again. (decoder_options)",
    ),
]


def chosen_decoders(names: list[str] | None) -> list[str] | None:
    """Pass names of decoders.

    Raises:
        UserError: if there is no such decoder, naming those there are.

    """
    from dseld_cli.decoders import registry

    for name in names or ():
        registry.require(name)
    return names


def decoder_options(given: list[str] | None, decoders: list[str] | None) -> dict[str, str]:
    """Read KEY=VALUE options of one decoder.

    Raises:
        UserError: if no decoder is named whose they are, or there is no =.

    """
    if given and len(decoders or ()) != 1:
        raise UserError("--option takes one --decoder NAME, whose option it is")
    if bad := [text for text in given or () if "=" not in text]:
        raise UserError(f"--option {quoted(bad[0])}: should be KEY=VALUE")
    return dict(text.split("=", 1) for text in given or ())


def require_count(option: str, value: int | None) -> None:
    """Demand a number of things.

    Raises:
        UserError: if it is less than 1, or more than there can be.

    """
    if value is not None and not 1 <= value <= MOST:
        raise UserError(f"{option} should be at least 1, and at most {MOST}; got {quoted(value)}")


def count(option: str, value: str) -> int | None:
    """Read a number of things; None for "all".

    Raises:
        UserError: if it is neither, less than 1, or more than there can be.

    """
    if value == "all":
        return None
    try:
        found = int(value)
    except ValueError:
        raise UserError(f"{option} {quoted(value)}: should be a number, or all") from None
    require_count(option, found)
    return found


def require_share(option: str, value: float | None) -> None:
    """Demand a share, more than none and less than all.

    Raises:
        UserError: if it is not.

    """
    if value is not None and not 0 < value < 1:
        raise UserError(f"{option} should be above 0 and below 1, such as 0.95; got {value:g}")


def numbers(option: str, text: str | None) -> list[float] | None:
    """Read numbers with commas between them.

    Raises:
        UserError: if that is not what they are.

    """
    try:
        return [float(part) for part in text.split(",")] if text is not None else None
    except ValueError:
        raise UserError(f"{option} {quoted(text)}: should be numbers with commas between them, such as 1,2,4") from None
