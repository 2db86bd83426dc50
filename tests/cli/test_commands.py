"""Commands are found by name, and none is made that nobody asks for."""

import subprocess
import sys
from importlib import import_module

import pytest

from dseld_cli.cli.commands import FILES


@pytest.mark.parametrize("file", FILES)
def test_the_table_has_what_a_file_declares_in_its_order(file: str) -> None:
    assert tuple(import_module(f"dseld_cli.cli.{file}").commands) == FILES[file]


@pytest.mark.parametrize(("command", "loads"), [("--version", set()), ("gramian --help", {"pipeline"})])
def test_a_command_needs_no_file_but_its_own(command: str, loads: set[str]) -> None:
    code = (
        "import sys\nfrom dseld_cli.cli.app import app\ntry: app(sys.argv[1:])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert {file for file in FILES if f"dseld_cli.cli.{file}" in modules} == loads
    assert ("pydantic" in modules) == bool(loads)
