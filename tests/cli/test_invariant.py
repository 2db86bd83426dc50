"""Whatever is in params.yaml or on the command line: success, or one printable line and exit code 2."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from dseld_cli.cli.app import app
from tests.conftest import ROOT

SHIPPED = (ROOT / "params.yaml").read_text()
COMMANDS: dict[str, Any] = {
    name: command
    for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
    if name != "init"  # writes where it is told to
}
KEYS = [
    (key, leaf) for key, part in yaml.safe_load(SHIPPED).items() for leaf in (part if isinstance(part, dict) else [""])
]
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=300)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 2**31, 2**32, 2**63, 10**400, 1e-320, 1e308])
WORDS = st.sampled_from(
    ["all", "auto", "default", "~", "", " ", "-", "--", "²", "1e0", "\x1b[31m", "a" * 5000, "1,2", "-1"]
)
VALUES = st.recursive(
    TEXT | NUMBERS | WORDS | st.none() | st.booleans() | st.dates(),
    lambda of: st.lists(of, max_size=4) | st.dictionaries(TEXT | st.integers(), of, max_size=4),
    max_leaves=20,
)
TRIED = int(os.environ.get("DSELD_FUZZ", "100"))
"""Examples of each test; DSELD_FUZZ=1500 is what docs/design/store.md counts."""
fuzzed = settings(max_examples=TRIED, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def bare(project: Path) -> Path:
    """A project without a store and without images: every command that is spelled well says what is missing."""
    Path("params.yaml").write_text(SHIPPED.replace("dataset: digits", "dataset: folder:nowhere"))
    return project


def hold(*arguments: str) -> None:
    """Run a command line, and demand the invariant."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code in (0, 2), (arguments, result.output)
    if result.exit_code == 2:
        lines = result.stderr.removesuffix("\n").split("\n")
        assert lines[-1].startswith("error: ")
        assert all(line.startswith("warning: ") for line in lines[:-1])
        assert all(line.isprintable() and len(line) <= 500 for line in lines)


@fuzzed
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_of_a_key(bare: Path, key: tuple[str, str], value: object) -> None:
    content = yaml.safe_load(SHIPPED)
    (content[key[0]] if key[1] else content)[key[1] or key[0]] = value
    Path("params.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8", errors="replace")
    hold("workload", "--paper")


@fuzzed
@given(
    start=st.integers(0, len(SHIPPED)),
    length=st.integers(0, 40),
    put=TEXT | st.sampled_from(["[", "{", "&a", "*a", "<<: "]),
)
@example(start=0, length=len(SHIPPED), put="")
def test_any_stretch_of_the_file_written_over(bare: Path, start: int, length: int, put: str) -> None:
    text = SHIPPED[:start] + put + SHIPPED[start + length :]
    Path("params.yaml").write_bytes(text.encode("utf-8", "surrogateescape" if put.isascii() else "replace"))
    hold("workload", "--paper")


@fuzzed
@given(content=st.binary(max_size=200))
def test_any_bytes_as_the_file(bare: Path, content: bytes) -> None:
    Path("params.yaml").write_bytes(content)
    hold("workload", "--paper")


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command line with options that the command has, and values that they need not."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    given = [name]
    for parameter in draw(st.lists(st.sampled_from(COMMANDS[name].params), max_size=3)):
        values = [draw(WORDS | TEXT | NUMBERS.map(repr_of)) for _ in range(max(parameter.nargs, 1))]
        given += [parameter.opts[0], *values] if parameter.param_type_name == "option" else values
    return given


def repr_of(number: float) -> str:
    """Write a number as somebody might type it."""
    return f"{number:e}" if isinstance(number, float) else hex(number) if number > 10**300 else str(number)


@fuzzed
@given(line=lines())
@example(line=["encode", "--images=--5"])
@example(line=["sweep", "tau", "--values", "nan,inf,1e999"])
@example(line=["remove-exemplars", "--index", "9" * 30])
def test_any_command_line(bare: Path, line: list[str]) -> None:
    if "--help" not in line and "--watch" not in line:
        hold(*line)
