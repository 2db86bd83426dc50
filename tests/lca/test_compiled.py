"""Compiled kernels on disk: none outlives a change of what it was compiled from."""

import ast
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dseld_cli.lca import compiled, knots, path
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


SIMULATE = """
import numpy as np
from hashlib import sha256
from dseld_cli.lca.path import simulate
rng = np.random.default_rng(0)
Phi = np.abs(rng.standard_normal((40, 60))).astype(np.float32)
Phi /= np.linalg.norm(Phi, axis=1, keepdims=True)
b = 9.0 * (Phi @ Phi[0]).astype(np.float64)
found = simulate(Phi @ Phi.T, b, np.arange(40), 9.0, 1e-5, 2.0, 100.0, 100, 16)
print(sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in found)).hexdigest())
"""


def test_a_run_that_compiles_has_the_bits_of_the_next(tmp_path: Path) -> None:
    """What the certificate rests on, too: how far a path may leave its knots is a sum in a function that is called."""
    place = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", SIMULATE], env=place, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert any(tmp_path.rglob("*.nbi"))
    assert runs[0] == runs[1]


INHIBIT = """
import numpy as np
from dseld_cli.lca.path import inhibit
rng = np.random.default_rng(0)
for w in range(8, 80):
    gram = np.repeat(rng.standard_normal((w, 1)).astype(np.float32), w, axis=1)
    for firing in range(w):
        found = np.empty(w, np.float32)
        inhibit(gram, rng.standard_normal(w), np.arange(firing), found)
        assert len(np.unique(found)) == 1, (w, firing, found)
"""


@pytest.mark.parametrize(
    "processor",
    [
        {},
        pytest.param(
            {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
            marks=pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another architecture"),
        ),
    ],
    ids=["this", "x86-64 of 2003"],
)
def test_a_neuron_is_inhibited_alike_wherever_it_stands(tmp_path: Path, processor: dict[str, str]) -> None:
    """Where it stands depends on who else is in the working set. Without AVX2 the last ones of a vector were others."""
    place = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | processor
    done = subprocess.run([sys.executable, "-c", INHIBIT], env=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_kernels_are_where_changes_are_looked_for() -> None:
    package = ROOT / "dseld_cli"
    rooms = {file.parent.name for file in package.rglob("*.py") if re.search("^@compiled", file.read_text(), re.M)}
    assert rooms <= set(compiled.ROOMS)


KERNELS = [
    (file.stem, node)
    for room in compiled.ROOMS
    for file in sorted((ROOT / "dseld_cli" / room).glob("*.py"))
    for node in ast.walk(ast.parse(file.read_text()))
    if isinstance(node, ast.FunctionDef) and any("compiled" in ast.unparse(d) for d in node.decorator_list)
]


@pytest.mark.parametrize(("module", "kernel"), KERNELS, ids=[f"{module}.{kernel.name}" for module, kernel in KERNELS])
def test_no_kernel_calls_float(module: str, kernel: ast.FunctionDef) -> None:
    """To numba float() of a float32 is no float64: a product of two of them was rounded."""
    assert "float" not in [ast.unparse(call.func) for call in ast.walk(kernel) if isinstance(call, ast.Call)]


def test_what_is_said_to_be_float64_is() -> None:
    """Against NumPy's float64: driving input, and the inner products that norms and distances are made of."""
    rng = np.random.default_rng(0)
    rows, image = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 300), 300))
    expected = rows.astype(np.float64) @ image.astype(np.float64)
    places = rng.permutation(9)
    np.testing.assert_allclose(path.driving_input(image, rows, places), expected[places], rtol=0, atol=1e-13)
    np.testing.assert_allclose([knots.dot64(row, image) for row in rows], expected, rtol=0, atol=1e-13)
