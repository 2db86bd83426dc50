"""Tables at the width of a terminal: figures whole, text folded, nothing lost."""

from collections import Counter
from itertools import product

import pytest
from rich.cells import cell_len

from dseld_cli.runtime.tables import drawn
from dseld_cli.runtime.text import shown

ACCURACY = ["decoder", "top-1, %", "95 % interval", "top-5, %", "mean per class, %", "worst class", "undecided"]
ROWS = [
    ["class-sum", "97.78", "95.69 to 98.87", "100.00", "97.75", "[bold]cat[/b] 12", "0"],
    ["a-decoder-that-somebody-named-at-length", "98.61", "96.79 to 99.41", "100.00", "98.60", "\x1b[31m猫", "-"],
]
VERDICTS = ["image", "class", "score", "share", "exemplar"]
VERDICT_ROWS = [
    [
        "holiday/summer/2024/IMG_20240102_123456_a_panorama_of_the_whole_bay.jpg",
        "lighthouse",
        "0.913",
        "62%",
        "a/b.png",
    ],
    ["", "", "", "12%", "train/lighthouse/an exemplar with a name that goes on and on.png"],
]


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
@pytest.mark.parametrize(("columns", "rows"), [(ACCURACY, ROWS), (VERDICTS, VERDICT_ROWS)])
def test_at_any_width_figures_are_whole_and_lines_fit(width: int, columns: list[str], rows: list[list[str]]) -> None:
    found = drawn("Title", columns, rows, width)
    assert max(map(cell_len, found.splitlines())) <= width
    assert "…" not in found
    assert "\x1b" not in found
    for cell in (cell for row in rows for cell in row if cell[:1].isdigit()):
        assert cell in found
    wanted = Counter("".join(shown(cell) for row in rows for cell in row if not cell[:1].isdigit()).replace(" ", ""))
    assert wanted <= Counter(found)


def test_a_table_that_does_not_fit_goes_on_below_with_its_first_column() -> None:
    found = drawn("Title", ACCURACY, ROWS, 40)
    assert found.count("class-sum") > 1
    assert found.count("97.78") == 1


def test_without_a_terminal_a_row_is_a_line_however_long() -> None:
    found = drawn("Title", VERDICTS, VERDICT_ROWS, None).splitlines()
    assert len(found) == 4
    assert VERDICT_ROWS[0][0] in found[2]
    assert VERDICT_ROWS[1][4] in found[3]


def test_figures_are_right_and_text_is_left() -> None:
    found = drawn("", ["name", "text", "n"], [["a", "b", "1"], ["a", "bbbbbb", "100"]], None).splitlines()
    assert [line.split("a")[1] for line in found[1:]] == ["     b         1", "     bbbbbb  100"]


@pytest.mark.parametrize("rows", [[], [["", "", ""]]])
def test_an_empty_table_is_drawn(rows: list[list[str]]) -> None:
    assert "name" in drawn("", ["name", "a", "b"], rows, 80)


LONG = "Eq. 11: 1295 atoms of 64 features, 100 steps, 35.76 firing"


@pytest.mark.parametrize(("width", "lines"), [(None, 1), (80, 1), (30, 3)])
def test_a_title_folds_where_the_terminal_ends_not_where_the_table_does(width: int | None, lines: int) -> None:
    found = drawn(LONG, ["a", "b"], [["x", "1"]], width).splitlines()
    assert " ".join(found[:lines]) == LONG
    assert found[lines].split() == ["a", "b"]


@pytest.mark.parametrize("width", [70, 50])
def test_parts_have_the_columns_that_tell_their_rows_apart(width: int) -> None:
    columns = ["data set", "extractor", "decoder", "paper", "here", "95 % interval", "exemplars"]
    rows = [
        [of, by, decoder, "97.48", "97.90", "96.90 to 98.90", str(10000 + i)]
        for i, (of, by, decoder) in enumerate(product(["mnist", "cifar100"], ["none", "resnet152"], ["sum", "max"]))
    ]
    last = drawn("Title", columns, rows, width).split("\n\n")[-1].splitlines()
    assert [line.split() for line in last[2:]] == [[*row[:3], row[6]] for row in rows]


def test_columns_that_name_rows_leave_room_for_others() -> None:
    rows = [["the same", f"another text {i}", "1234567890", "1234567890"] for i in range(3)]
    last = drawn("", ["a", "b", "c", "d"], rows, 30).split("\n\n")[-1].splitlines()
    assert last[0].split() == ["a", "d"]
    assert max(map(cell_len, last)) <= 30
