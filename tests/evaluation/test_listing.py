"""Images that a file lists, as people and their spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dseld_cli.errors import UserError
from dseld_cli.evaluation.listing import classes_in, names_in


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_whatever_a_spreadsheet_puts_between_its_cells(tmp_path: Path, separator: str) -> None:
    rows = [["image", "class", "exemplar"], ["a,b;c.png", "cat", "yes"], ["d.png", '"a ""cat"""', "yes"]]
    rows[1][0] = f'"{rows[1][0]}"'
    table = tmp_path / "labels.csv"
    table.write_text("".join(separator.join(row) + "\n" for row in rows))
    assert classes_in(table) == {"a,b;c.png": "cat", "d.png": 'a "cat"'}
    assert names_in(table) == ["a,b;c.png", "d.png"]


def test_names_one_a_line_may_have_separators(tmp_path: Path) -> None:
    names = ["a;b.png", "c,d.png", "image;1.png"]
    listed = tmp_path / "names.txt"
    listed.write_text("\n".join(names))
    assert names_in(listed) == names


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--from .*nosuch\.csv: there is no such file$"):
        names_in(tmp_path / "nosuch.csv")
