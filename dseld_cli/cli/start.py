"""The command `dseld` from its first moment on: Ctrl-C ends it with one line, whatever is being imported then."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TextIO

INTERRUPTED = 130
"""Exit code of an interruption."""
SAID = "interrupted; the same command goes on"


def run() -> None:
    """Run the command line."""
    sys.stdout, sys.stderr = sys.stdout or nowhere(), sys.stderr or nowhere()  # a shell may have closed them: >&-
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have it ignored
        signal.signal(signal.SIGINT, _end)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looked for in all that is installed, every time
    gc.disable()  # nothing of what is imported is garbage: to look through it takes a tenth of the time
    from dseld_cli.cli.app import app

    gc.freeze()
    gc.enable()
    try:
        app()
    except KeyboardInterrupt:  # a second one, while the first was being handled
        _end()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: only the interpreter has to end
        gc.freeze()  # which would look for garbage again and again: a fifth of a short command's time


def nowhere() -> TextIO:
    """Open what swallows all that is written."""
    return open(os.devnull, "w")  # noqa: PTH123 - as long as the process


def at_work() -> None:
    """From here on, an interruption is an exception, which work is ended by in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, f"{SAID}\n".encode())
    os._exit(INTERRUPTED)
