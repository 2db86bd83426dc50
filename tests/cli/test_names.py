"""Names of files that no terminal should obey, and that are no text: shown, never obeyed, never a traceback."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dseld_cli.cli.app import app
from tests.conftest import Run, image_folder, set_params

NAMES = [b"caf\xe9.png", b"[bold]x.png", b"a\x1b[31m\nb.png", "\u202egnp.x.png".encode(), b"=1+1.png"]
SHOWN = ["caf\\udce9.png", "[bold]x.png", "a\\x1b[31m\\nb.png", "\\u202egnp.x.png", "=1+1.png"]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a dictionary, and a folder of images with such names."""
    folder, before = tmp_path_factory.mktemp("names"), Path.cwd()
    os.chdir(folder)
    try:
        CliRunner().invoke(app, ["init", "."])
        set_params(data__dataset="folder:images", lca__lambda=0.5, extract__workers=0)
        image_folder(Path("images"), {"[bold]cat": 4, "\x1b[31mred": 4})
        image_folder(Path("images"), {"[bold]cat": 2}, "test", seed=1)
        picture = next(Path("images/test").rglob("*.png")).read_bytes()
        for name in NAMES:
            Path("new").mkdir(exist_ok=True)
            with open(b"new/" + name, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
                file.write(picture)
        for command in ("extract", "build-dict"):
            assert CliRunner().invoke(app, [command]).exit_code == 0
    finally:
        os.chdir(before)
    return folder


def test_names_in_a_table_are_printable(named: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(named)
    said = run("classify new").stdout
    assert all(name in said for name in SHOWN)
    assert all(line.isprintable() for line in said.splitlines())


def test_names_in_json_are_utf_8(named: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(named)
    found = [Path(verdict["image"]).name for verdict in json.loads(run("classify new --json").stdout)]
    assert sorted(found) == sorted(["caf\\udce9.png", *(os.fsdecode(name) for name in NAMES[1:])])


def test_names_in_an_error_are_printable(named: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(named)
    Path("bad").mkdir()
    for name in NAMES:
        with open(b"bad/" + name, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
            file.write(b"no picture")
        said = run("classify bad", ok=False).stderr.removesuffix("\n")
        assert said.isprintable()
        assert SHOWN[NAMES.index(name)] in said
        os.unlink(b"bad/" + name)  # noqa: PTH108
