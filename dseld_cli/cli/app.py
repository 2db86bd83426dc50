"""The command line: options in, one stage call, errors out as one line and an exit code. No logic."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dseld_cli import __version__
from dseld_cli.cli.commands import Made, plain_flag
from dseld_cli.cli.failures import BROKEN_PIPE, USER, explained
from dseld_cli.cli.start import INTERRUPTED, SAID, at_work, nowhere
from dseld_cli.runtime.text import line


class Commands(TyperGroup):
    """Runs a command; whatever fails is one line on standard error, and an exit code."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Made()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all, in order."""
        return list(self.commands)

    def main(self, args: Any = None, **settings: Any) -> Any:  # type: ignore[override]
        """Run what the arguments say, and exit."""
        given = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in given or os.environ.get("DSELD_DEBUG", "0") not in ("", "0")
        given = [argument for argument in given if argument != "--debug"]
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # what the terminal cannot show becomes escapes
        at_work()
        try:
            code = super().main(given, **{**settings, "prog_name": "dseld", "standalone_mode": False})
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stdout = nowhere()  # so that the last flush is quiet, too
            code = BROKEN_PIPE
        except Exception as error:
            code = _fail(error, debug)
        if code == INTERRUPTED:
            print(SAID, file=sys.stderr)
        sys.exit(code if isinstance(code, int) else 0)

    def get_help_option(self, ctx: Any) -> Any:
        """Give -h without a kind of value."""
        return plain_flag(super().get_help_option(ctx))


def _fail(error: Exception, debug: bool) -> int:
    if hasattr(error, "format_message"):  # Typer's own, about how the command was spelled
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "dseld"
        said = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
        print(line(f"error: {said}; `{where} --help` tells more"), file=sys.stderr)
        return USER
    if debug:
        import traceback

        traceback.print_exception(error)
    said, code = explained(error)
    print(said, file=sys.stderr)
    return code


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dseld {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, exit.", metavar="")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the code an error arose (also DSELD_DEBUG=1).", metavar="")
    ] = False,
) -> None:
    """Classify images by sparse coding over exemplars (D-SELD): no training by gradients, and it grows by appending.

    Images become features (extract), some of them atoms of a dictionary
    (build-dict); a test image is coded over the dictionary by a network of
    competing neurons (encode), and a decoder reads its class off the code
    (decode).

    Every default is in [bold]params.yaml[/bold], where each key is explained; an option
    overrides it for one run. Every intermediate is a store below [bold]data/[/bold]
    that knows what it was made from.

    [dim]Example:[/dim]  dseld init digits && cd digits && dvc repro
    [dim]Example:[/dim]  dseld encode --lambda 2 && dseld decode && dseld evaluate
    """
    if context.invoked_subcommand is None:
        print(context.get_help())
