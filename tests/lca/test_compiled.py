"""Compiled kernels on disk: none outlives a change of what it was compiled from."""

import os
import re
import time
from pathlib import Path

import pytest

from dseld_cli.lca import compiled
from tests.conftest import ROOT


@pytest.mark.parametrize("ago", [100, -(10**6)])
def test_kernels_older_than_any_source_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ago: float) -> None:
    """A source of the future says nothing: else all would be compiled at every start."""
    (tmp_path / "lca").mkdir()
    for name, when in {"callee.py": time.time() - ago, "kernel.py": time.time() - 1000}.items():
        (tmp_path / "lca" / name).touch()
        os.utime(tmp_path / "lca" / name, (when, when))
    ages = {"older.nbi": 500, "newer.nbi": 50, "oldest.nbi": 5000}
    for name, age in ages.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    compiled.drop_stale.__wrapped__(tmp_path)
    left = {file.name for file in tmp_path.glob("*.nbi")}
    assert left == ({"newer.nbi"} if ago > 0 else {"newer.nbi", "older.nbi"})


def test_all_kernels_are_where_changes_are_looked_for() -> None:
    package = ROOT / "dseld_cli"
    rooms = {file.parent.name for file in package.rglob("*.py") if re.search("^@compiled$", file.read_text(), re.M)}
    assert rooms <= set(compiled.ROOMS)
