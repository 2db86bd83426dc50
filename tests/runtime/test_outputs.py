"""A command's files change together, or not at all."""

from pathlib import Path

import pytest

from dseld_cli.runtime import outputs
from dseld_cli.runtime.outputs import together


def test_files_change_together_at_the_end(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "new/two.txt"
    one.write_text("old")
    with together() as aside:
        aside(one).write_text("1")
        aside(two).write_text("2")
        assert one.read_text() == "old"
        assert not two.exists()
    assert (one.read_text(), two.read_text()) == ("1", "2")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["new", "one.txt", "two.txt"]


def test_a_failure_changes_nothing(tmp_path: Path) -> None:
    one = tmp_path / "one.txt"
    one.write_text("old")
    with pytest.raises(ZeroDivisionError), together() as aside:
        aside(one).write_text("1")
        aside(tmp_path / "two.txt").write_text(str(1 / 0))
    assert [p.name for p in tmp_path.iterdir()] == ["one.txt"]
    assert one.read_text() == "old"


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/moved.txt").write_text("old")
    (tmp_path / "one.txt").symlink_to("disk/moved.txt")
    with together() as aside:
        aside(tmp_path / "one.txt").write_text("new")
    assert (tmp_path / "one.txt").is_symlink()
    assert (tmp_path / "disk/moved.txt").read_text() == "new"


def test_a_file_of_the_users_with_any_name_is_left_alone(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in ("report.partial.html", ".report.html.partial", "report.html.aside")]
    for file in mine:
        file.write_text("mine")
    with together() as aside:
        aside(tmp_path / "report.html").write_text("new")
    with pytest.raises(ZeroDivisionError), together() as aside:
        aside(tmp_path / "report.html").write_text(str(1 / 0))
    assert [file.read_text() for file in mine] == ["mine"] * 3


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with together() as one, together() as two:
        one(file).write_text("one")
        two(file).write_text("two")
    assert file.read_text() == "one", "whoever ends last"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_what_a_killed_run_left_is_deleted_and_what_another_writes_is_not(tmp_path: Path) -> None:
    left = tmp_path / f"{outputs.DRAFTS}1"
    left.mkdir()
    (left / "x.html").write_text("half")
    with together() as other:
        written = other(tmp_path / "y.html")
        written.write_text("y")
        with together() as aside:
            aside(tmp_path / "x.html").write_text("x")
        assert not left.exists()
        assert written.read_text() == "y"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.html", "y.html"]
