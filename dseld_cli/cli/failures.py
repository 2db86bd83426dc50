"""What is said when a command fails: one printable line that names what to do, and the exit code that goes with it."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from dseld_cli.cli.start import INTERRUPTED, SAID
from dseld_cli.errors import UserError
from dseld_cli.runtime.text import line, shown

USER, UNEXPECTED, BROKEN_PIPE = 2, 70, 1
"""Exit codes: the user's to mend (and so is what the system refuses); a fault of dseld's; nobody reads on."""
AGAIN = "then run the same command again; it goes on where it can"
REMEDIES = {
    ("ENOSPC", "EDQUOT"): "make room",
    ("EACCES", "EPERM", "EROFS"): "grant access",
    ("EMFILE", "ENFILE"): "allow more open files, ulimit -n 4096",
    ("EFBIG",): "its file system, or ulimit -f, takes no file of this size: allow it, or keep the project elsewhere",
    ("ENOLCK", "ENOSYS", "EOPNOTSUPP"): "its file system lacks what dseld needs: keep the project on a local disk",
    ("EIO", "ESTALE", "ENXIO", "ENODEV", "EREMOTEIO", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN"): (
        "the disk or the way to it failed: nothing was deleted; see that it can be read"
    ),
    ("ENOMEM",): "free memory, or lower run.memory",
    ("ENAMETOOLONG",): "choose a shorter name",
    ("ELOOP",): "the link leads in a circle: mend it",
    ("EBUSY", "ETXTBSY", "EAGAIN"): "something else is using it: wait for that",
}
"""What to do, by the names of errno's codes, of which a system need not have all."""


def explained(error: BaseException) -> tuple[str, int]:
    """One printable line about a failure, and the exit code."""
    if _is_interruption(error):
        return SAID, INTERRUPTED
    if isinstance(error, UserError):
        return line(f"error: {error}"), USER
    if isinstance(error, MemoryError):
        return "error: out of memory: lower --memory (params.yaml, run.memory), or close other programs", USER
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return line(f"error: {_of_the_system(error)}"), USER
    return line(f"error: {_unexpected(error)}"), UNEXPECTED


def _is_interruption(error: BaseException | None) -> bool:
    """Whether a person interrupted: within compiled code Python calls that an error of its own."""
    while isinstance(error, SystemError):
        error = error.__cause__
    return isinstance(error, KeyboardInterrupt)


def _of_the_system(error: OSError) -> str:
    name = errno.errorcode[error.errno or 0]
    where = _named(error.filename) or f"below {Path.cwd()}"
    remedy = next((remedy for names, remedy in REMEDIES.items() if name in names), "see what is wrong there")
    return f"{error.strerror}, {line(where, 200)}: {remedy}, {AGAIN}"


def _named(path: object) -> str:
    return shown(path.decode(errors="backslashreplace") if isinstance(path, bytes) else path or "")


def _unexpected(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "dseld_cli" in f.filename]
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    what = line(f"{type(error).__name__}: {error}", 250)
    return f"unexpected {what}{where}. This is a fault of dseld: please report this line; --debug shows more"
