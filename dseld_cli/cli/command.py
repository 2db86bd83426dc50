"""A command: a function of what was given on the command line, with options derived from the keys that it overrides."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from dseld_cli.cli.commands import plain_flag
from dseld_cli.cli.options import arranged, field, option_name, parameter_name, setting, told, value_of
from dseld_cli.runtime.text import line

if TYPE_CHECKING:
    from dseld_cli.config.schema import Params

Declared = dict[str, Callable[[], Any]]
"""Commands of a file: name to what makes the command, when it is wanted."""

LATE = ("run.memory", "run.device", "run.engine", "run.scheduler")
"""Settings that come last on a help page."""


@dataclass(frozen=True)
class Given:
    """What one call of a command was given."""

    command: str
    settings: Mapping[str, object]
    """Dotted key to the text of the option that overrides it; None where it was not given."""
    others: Mapping[str, object]
    """Parameters of its own."""
    loaded: dict[str, object] = dataclass_field(default_factory=dict)
    """Dotted key to the value that was given for it, once params.yaml has been read."""

    def load(self, quiet: bool = False, sections: Mapping[str, str] | None = None) -> Params:
        """Read params.yaml with what was given instead, and say what the command is about to do.

        Args:
            quiet: whether standard output belongs to a program, and nothing is said on it.
            sections: section to the one whose key an option overrides instead, if that has the key, too.

        Raises:
            UserError: naming the option or key, and what is allowed.

        """
        from dseld_cli.config.load import load
        from dseld_cli.runtime.place import write_to

        moved = {key: _moved(key, sections or {}) for key in self.settings}
        given = {moved[key]: value_of(key, value) for key, value in self.settings.items()}
        params = load(given, options={moved[key]: option_name(key) for key in self.settings})
        write_to(params.data.store)
        self.loaded.update({key: value for key, value in given.items() if value is not None})
        if not (quiet or self.others.get("as_json")):
            print(line(f"dseld {self.command}: {self._told(params, list(given))}".removesuffix(": ")), flush=True)
        return params

    def _told(self, params: Params, keys: Sequence[str]) -> str:
        own = {name: "" if value is True else _plain(value) for name, value in self.others.items() if value}
        said = [key for key in keys if key != "run.scheduler" or params.run.engine == "dask"]
        settings = {option_name(key).lstrip("-"): _set(params, key) for key in said}
        return ", ".join(f"{name.replace('_', '-')} {value}".rstrip() for name, value in (own | settings).items())


def _moved(key: str, sections: Mapping[str, str]) -> str:
    section, _, leaf = key.partition(".")
    other = f"{sections.get(section, section)}.{leaf}"
    try:
        field(other)
    except StopIteration:
        return key
    return other


def _set(params: Params, key: str) -> str:
    found: Any = params
    for part in key.split("."):
        found = getattr(found, "lambda_" if part == "lambda" else part)
    return f"{found / 2**30:g}GiB" if key == "run.memory" else _plain(found)


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


class Command(TyperCommand):
    """A command whose help page tells the current values."""

    settings: Mapping[str, str] = {}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page; in a project's folder with the value of each key."""
        keys = {parameter_name(key): key for key in self.settings}
        values = _here() if keys else {}
        for param in self.params:
            if param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: ""  # type: ignore[attr-defined]
            if key := keys.get(param.name or ""):
                param.help = told(key, _value(values, key))  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what follows; a mistake says whose it is, which Typer leaves out where an option lacks its value."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def get_help_option(self, ctx: Any) -> Any:
        """Give -h without a kind of value."""
        return plain_flag(super().get_help_option(ctx))


def _here() -> Mapping[str, object]:
    """Read this folder's params.yaml, if there is a readable one."""
    from dseld_cli.config.load import read
    from dseld_cli.errors import UserError

    try:
        return read()
    except (UserError, OSError):
        return {}


def _value(values: Any, key: str) -> str | None:
    try:
        for part in key.split("."):
            values = values[part]
    except (KeyError, TypeError):
        return None
    return line(_plain(values), 80)


def command(
    commands: Declared,
    panel: str,
    settings: Sequence[str] | Mapping[str, Sequence[str]] = (),
    can_save: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function as the command of its name.

    Args:
        commands: what it joins.
        panel: where the overview lists it.
        settings: dotted keys of params.yaml that it overrides, each by an option that the schema tells all about;
            grouped by the panel of the help page, if it has several.
        can_save: whether --save keeps what was given in params.yaml, for a stage that `dvc repro` runs from there.

    """
    panels = arranged(settings)

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        name = function.__name__.replace("_", "-")
        commands[name] = lambda: _made(name, function, panel, panels, can_save)
        return function

    return declare


def _made(
    name: str, function: Callable[..., None], panel: str, panels: Mapping[str, str], can_save: bool
) -> Any:  # fmt: skip
    """Make a command of a function, and of the settings that it overrides, each with the panel of its help page."""
    derived = [setting(key, *([panel] if panel else [])) for key, panel in panels.items()]
    late = [option for option in derived if option.name in map(parameter_name, LATE)]
    early = [option for option in derived if option not in late]
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

    def call(**values: object) -> None:
        save = bool(values.pop("save", False))
        given = Given(name, {key: values.pop(parameter_name(key)) for key in panels}, values)
        function(given, **values)
        if can_save:
            _keep(given.loaded, save)

    late += [SAVE] if can_save else []
    call.__signature__ = inspect.Signature([*early, *own, *late])  # type: ignore[attr-defined]
    call.__annotations__, call.__name__, call.__doc__ = {}, function.__name__, function.__doc__
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    kind = type("Command", (Command,), {"settings": panels})
    alone.command(name, cls=kind, rich_help_panel=panel)(call)
    return typer.main.get_command(alone)


SAVE = inspect.Parameter(
    "save",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--save", help="Afterwards, keep what was given here in params.yaml.", metavar="")
    ],
)


def _keep(given: Mapping[str, object], save: bool) -> None:
    """Write what was given to params.yaml, or say that it is not there, so that `dvc repro` will not use it."""
    from dseld_cli.config.edit import edit
    from dseld_cli.runtime.console import say

    here = _here()
    other = {
        key: value
        for key, value in given.items()
        if not key.startswith("run.") and _value(here, key) != line(_plain(value), 80)
    }
    listed = ", ".join(f"{key} {_plain(value)}" for key, value in other.items())
    if other and save:
        edit(other)
        say(f"params.yaml: {listed}")
    elif other:
        say(f"not in params.yaml, from which dvc repro runs: {listed}; --save keeps it there")
