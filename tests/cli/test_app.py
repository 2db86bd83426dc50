"""The command line as a stranger meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

import dseld_cli
from tests.conftest import Run

COMMANDS = ["extract", "build-dict", "gramian", "encode", "decode", "evaluate", "add-exemplars"]
COMMANDS += ["remove-exemplars", "classify"]
COMMANDS += ["train-decoder", "baselines", "workload", "reconstruct", "report", "sweep", "init", "timing"]


def test_help_shows_every_command_and_an_example(run: Run) -> None:
    said = run("--help").stdout
    assert all(command in said for command in COMMANDS)
    assert "dvc repro" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_and_says_where_defaults_are(run: Run, command: str) -> None:
    said = run(f"{command} --help").stdout
    assert f"dseld {command}" in said.split("Example:")[1]
    assert "params.yaml" in said


def test_version(run: Run) -> None:
    assert run("--version").stdout.strip() == f"dseld {dseld_cli.__version__}"


def test_an_unknown_option_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from dseld_cli.cli.app import app; app()", "encode", "--lamda", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--lamda" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = "import sys; from dseld_cli.cli.app import app; assert not {'torch', 'zarr', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
