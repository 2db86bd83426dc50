"""Whatever fails, one printable line and the right exit code."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseld_cli.cli.failures import explained
from dseld_cli.errors import UserError
from tests.conftest import Run, interruptible


@pytest.mark.parametrize("code", errno.errorcode)
def test_whatever_the_system_refuses_is_named_with_a_remedy_and_no_deletion(code: int) -> None:
    said, status = explained(OSError(code, os.strerror(code), b"data/\xff\x1b[31m\n.zarr"))
    if code not in (errno.EPIPE,):
        assert status == 2
        assert "data/\\xff\\x1b[31m\\n.zarr" in said
        assert os.strerror(code) in said
        assert "then run the same command again" in said
        assert "delete it" not in said


@given(st.text(st.characters(exclude_categories=[]), max_size=2000))
def test_every_message_is_one_printable_line(text: str) -> None:
    for error in (UserError(text), ValueError(text), OSError(5, text, text), KeyError(text), MemoryError(text)):
        said, _ = explained(error)
        assert said.isprintable()
        assert len(said) <= 500


def test_an_unexpected_error_asks_for_a_report(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    from typer.testing import CliRunner

    from dseld_cli.cli.app import app

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("\x1b[31mno\nway" * 500)

    monkeypatch.setattr("dseld_cli.stages.workload.run", broken)
    monkeypatch.delenv("DSELD_DEBUG", raising=False)
    result = CliRunner().invoke(app, ["workload", "--paper"])
    assert result.exit_code == 70
    assert result.stderr.startswith("error: unexpected ZeroDivisionError: \\x1b[31mno")
    assert result.stderr.endswith("please report this line; --debug shows more\n")
    assert result.stderr.rstrip("\n").isprintable()
    for debugged in (
        CliRunner().invoke(app, ["--debug", "workload", "--paper"]),
        CliRunner().invoke(app, ["workload", "--paper", "--debug"]),
        CliRunner().invoke(app, ["workload", "--paper"], env={"DSELD_DEBUG": "1"}),
    ):
        assert debugged.exit_code == 70
        assert "in broken" in debugged.stderr


def test_an_interruption_says_that_the_same_command_goes_on(run: Run, project: Path) -> None:
    code = (
        "import os, signal\nfrom dseld_cli.cli.app import app\nimport dseld_cli.stages.workload as stage\n"
        "stage.run = lambda *_: os.kill(os.getpid(), signal.SIGINT)\napp(['workload', '--paper'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, preexec_fn=interruptible
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "interrupted; the same command goes on\n")


def test_an_interruption_of_compiled_code_is_one_too() -> None:
    """There Python says that a function "returned a result with an exception set", and one around it says so again."""
    error: BaseException = KeyboardInterrupt()
    for _ in range(2):
        outer = SystemError("<function f> returned a result with an exception set")
        outer.__cause__, error = error, outer
        assert explained(error) == ("interrupted; the same command goes on", 130)
    assert explained(SystemError("no"))[1] == 70


def test_nobody_reading_on_is_no_error(project: Path) -> None:
    code = "from dseld_cli.cli.app import app\napp(['--help'])"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_interruption_before_the_work_is_one_line_too() -> None:
    program = """
import os, signal
from dseld_cli.cli import start
import dseld_cli.cli.app as there
there.app = lambda: os.kill(os.getpid(), signal.SIGINT)
start.run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=interruptible, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted; the same command goes on\n")


def test_a_second_interruption_while_the_first_is_handled_is_no_traceback() -> None:
    program = """
import os, signal
from dseld_cli.cli import start
import dseld_cli.cli.app as there
def app():
    start.at_work()
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
there.app = app
start.run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=interruptible, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted; the same command goes on\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_shell_may_have_closed_what_is_written_to(closed: str) -> None:
    command = f"{sys.executable} -m dseld_cli --version {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interruption_after_the_work_changes_nothing() -> None:
    program = """
import atexit, os, signal
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
from dseld_cli.cli.start import run
import sys
sys.argv = ["dseld", "--version"]
run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=interruptible, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
