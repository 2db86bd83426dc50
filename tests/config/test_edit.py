"""Editing params.yaml: what is asked for changes, and not a character more."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseld_cli.config.edit import edit
from dseld_cli.config.load import read
from dseld_cli.errors import UserError

FILE = Path("params.yaml")


def test_editing_lists_touches_no_other_line_and_can_be_taken_back(project: Path) -> None:
    before = FILE.read_text()
    steps: list[dict[str, object]] = [
        {"additions": ["data/june.zarr"]},
        {"removals": ["a.png", "folder:x: y/#1.png"]},
        {"additions": ["data/june.zarr", "folder:data/july"], "compact": True},
        {"removals": ["folder:x: y/#1.png"], "additions": ["folder:data/july"]},
    ]
    for changes in steps:
        edit(changes)
        assert {key: yaml.safe_load(FILE.read_text())[key] for key in changes} == changes
        comments = [line for line in FILE.read_text().splitlines() if line.lstrip().startswith("#")]
        assert comments == [line for line in before.splitlines() if line.lstrip().startswith("#")]
    edit({"additions": [], "removals": [], "compact": False})
    assert FILE.read_text() == before


WANTED = ["a.zarr", "b.zarr", "c.zarr"]
LAYOUTS = {
    "additions:\n  - a.zarr  # May\n  # june\n  - b.zarr": (
        "additions:\n  - a.zarr  # May\n  # june\n  - b.zarr\n  - c.zarr"
    ),
    "additions:\n- a.zarr  # May\n# why\n  # june\n- b.zarr": (
        "additions:\n- a.zarr  # May\n# why\n  # june\n- b.zarr\n- c.zarr"
    ),
    "additions: # all\n    - x.zarr # gone\n    # stays\n    - a.zarr": (
        "additions: # all\n    # stays\n    - a.zarr\n    - b.zarr\n    - c.zarr"
    ),
    "additions:\n  - a.zarr\n  - 'x.zarr' # gone": "additions:\n  - a.zarr\n  - b.zarr\n  - c.zarr",
    "additions: # all\n    - c.zarr # gone\n    - a.zarr": "additions: # all\n  - a.zarr\n  - b.zarr\n  - c.zarr",
    "additions: [a.zarr]  # flow": "additions: [a.zarr, b.zarr, c.zarr]  # flow",
    "additions: [a.zarr,\n  b.zarr]": "additions: [a.zarr, b.zarr, c.zarr]",
    "additions: []  # none yet": "additions:  # none yet\n  - a.zarr\n  - b.zarr\n  - c.zarr",
    '"additions": []': '"additions":\n  - a.zarr\n  - b.zarr\n  - c.zarr',
    "additions  :   []": "additions  :\n  - a.zarr\n  - b.zarr\n  - c.zarr",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_however_a_list_is_laid_out_only_its_items_change(project: Path, layout: str, end: str) -> None:
    text = FILE.read_text().replace("\n", end)
    FILE.write_bytes(text.replace("additions: []", layout.replace("\n", end)).encode())
    edit({"additions": WANTED})
    assert FILE.read_bytes() == text.replace("additions: []", LAYOUTS[layout].replace("\n", end)).encode()
    assert read()["additions"] == WANTED


def test_values_of_sections_change_in_place(project: Path) -> None:
    before = FILE.read_text()
    edit({"lca.lambda": 2.0, "extract.backbone": "timm:x", "data.root": "a: b # c", "build_dict.size": 50_000})
    after = before.replace("lambda: 1.0", "lambda: 2.0").replace("backbone: none", "backbone: timm:x")
    after = after.replace("root: data/raw", "root: 'a: b # c'").replace("size: all", "size: 50000")
    assert FILE.read_text() == after


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("additions:\n  - |\n    a\n    b\n  - c", "additions is laid out"),
        ("additions:\n  -\n    a\n  - c", "additions is laid out"),
        ("", "key additions is missing"),
    ],
)
def test_what_cannot_be_changed_alone_is_refused_and_stays(project: Path, layout: str, said: str) -> None:
    FILE.write_text(FILE.read_text().replace("additions: []", layout))
    before = FILE.read_bytes()
    with pytest.raises(UserError, match=said):
        edit({"compact": True, "additions": ["c", "d"]})
    assert FILE.read_bytes() == before
    assert not FILE.with_name("params.yaml.partial").exists()


def test_a_name_that_is_no_unicode_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match=r"cannot hold 'caf\\udce9'"):
        edit({"removals": ["caf\udce9"]})


def test_a_linked_file_is_written_through(project: Path) -> None:
    target = FILE.rename("real.yaml")
    FILE.symlink_to(target)
    target.chmod(0o640)
    edit({"compact": True})
    assert FILE.is_symlink()
    assert "compact: true" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o640


names = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), unique=True, max_size=5)


@given(before=names, after=names)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_any_names_are_read_as_they_were_written(project: Path, before: list[str], after: list[str]) -> None:
    FILE.write_text("removals: []  # none\nnext: 1\n")
    for wanted in (before, after, before + after, after[::-1], []):
        edit({"removals": wanted})
        assert read()["removals"] == wanted
