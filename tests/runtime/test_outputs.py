"""A command's files change together, or not at all."""

from pathlib import Path

import pytest

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
