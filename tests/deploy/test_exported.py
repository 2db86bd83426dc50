"""What `dseld export` writes, run in the simulators that it is written for, each in an environment of its own.

DSELD_LAVA_PYTHON, DSELD_NEST_PYTHON and DSELD_NORSE_PYTHON name their Pythons; the heads of dseld_cli/deploy/scripts
say how each is made.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, set_params


def foreign(name: str) -> str:
    """Python of a simulator's environment."""
    found = os.environ.get(f"DSELD_{name.upper()}_PYTHON")
    if not found:
        pytest.skip(f"{name} needs a Python of its own: DSELD_{name.upper()}_PYTHON (see dseld_cli/deploy/scripts)")
    return found


@pytest.mark.parametrize(
    ("options", "name", "said"),
    [
        ("--format lava --atoms 300", "lava", "20 of 20 codes equal to the last bit"),
        ("--format nest --atoms 100", "nest", "20 codes, activations up to"),
        ("--format nir --atoms 300", "norse", "of the neurons equal"),
    ],
)
def test_a_foreign_simulator_gives_what_is_expected(
    project: Path, run: Run, options: str, name: str, said: str
) -> None:
    python = foreign(name)
    set_params(extract__splits=["train", "val", "test"])
    for command in ("extract", "build-dict", f"export chip {options} --images 100"):
        run(command)
    done = subprocess.run(
        [python, next(Path("chip").glob("run_*.py"))], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert said in done.stdout
    print(done.stdout)
