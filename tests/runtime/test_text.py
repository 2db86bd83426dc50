"""Text that others wrote, shown without being obeyed."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseld_cli.runtime.text import cell, json_text, line, quoted, shown, suggestion, unshown

ANY = st.text(st.characters(exclude_categories=[]))
"""Any characters: control characters, lone surrogates, marks that turn the writing round."""


@given(ANY)
def test_what_is_shown_is_printable_and_printable_text_is_itself(text: str) -> None:
    assert shown(text).isprintable()
    assert shown(shown(text)) == shown(text)
    if text.isprintable():
        assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[/b] [bold]cat $\\foo$ <b>&", "[/b] [bold]cat $\\foo$ <b>&"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines", "two\\nlines"),
        ("caf\udce9", "caf\\udce9"),
        ("\u202eexe.txt", "\\u202eexe.txt"),
        ("Käse 中文 🐈", "Käse 中文 🐈"),
    ],
)
def test_unprintable_characters_become_escapes(text: str, seen: str) -> None:
    assert shown(text) == seen


@given(ANY, st.integers(40, 500))
def test_a_line_is_printable_and_not_too_long(text: str, most: int) -> None:
    assert line(text, most).isprintable()
    assert len(line(text, most)) <= most


def test_a_line_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    found = line("start " + "x" * 1000 + " the remedy")
    assert (found.startswith("start"), found.endswith("the remedy"), len(found)) == (True, True, 500)


@given(st.recursive(ANY | st.integers() | st.floats(), lambda of: st.lists(of) | st.dictionaries(ANY, of)))
def test_any_value_is_quoted_in_80_characters(value: object) -> None:
    assert quoted(value).isprintable()
    assert len(quoted(value)) <= 80


@given(ANY)
def test_no_cell_is_a_formula_and_a_csv_has_one_line_for_each_row(text: str) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow([cell(text)])
    assert cell(text)[:1] not in ("=", "+", "-", "@")
    assert written.getvalue().count("\n") == 1
    assert next(csv.reader([written.getvalue()]), [""])[0].lstrip("'") == shown(text).lstrip("'")


@given(st.recursive(ANY | st.integers() | st.floats() | st.none(), lambda of: st.lists(of) | st.dictionaries(ANY, of)))
def test_json_is_utf_8_and_strict(value: object) -> None:
    found = json_text(value).encode("utf-8")
    json.loads(found, parse_constant=lambda name: pytest.fail(name))


def test_close_names_are_suggested_and_others_not() -> None:
    known = ["digits", "mnist", "cifar10"]
    assert suggestion("minst", known) == " (did you mean mnist?)"
    assert suggestion("MNIST", known) == " (did you mean mnist?)"
    assert suggestion("imagenet22k", known) == ""


@given(st.lists(st.text(st.sampled_from("a\\u202f\u202f\n n"), max_size=8), unique=True))
def test_what_was_shown_names_what_it_is_of(known: list[str]) -> None:
    """Unless two are shown alike, or another one is called that."""
    for one in known:
        alike = [other for other in known if shown(other) == shown(one)]
        assert unshown([shown(one)], known) == [one if alike == [one] else shown(one)]
    assert unshown(known, known) == known
    assert unshown(["x\\ny", "y"], known) == ["x\\ny", "y"]
