"""Changing values of params.yaml in place: every other character of the file, comments above all, stays as it is.

ruamel.yaml says where in the text a value is; only that stretch is written anew. A value in a place where that would
change anything else is refused.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import SequenceNode

from dseld_cli.config.load import PATH, parse, read_text
from dseld_cli.errors import UserError
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import quoted

Splice = tuple[int, int, str]
"""From where to where the text is replaced, and by what."""


def edit(changes: Mapping[str, object], path: Path = PATH) -> None:
    """Change values of params.yaml, whole or not at all; every other line stays as it is.

    Of a list, only the lines of items that go and come change: comments of those that stay, stay.

    Args:
        changes: dotted key ("lca.lambda", "additions") to its new value.
        path: the file; a link to it is followed.

    Raises:
        UserError: if a key is not there, or laid out so that it cannot be changed alone.

    """
    with edited(changes, path):
        pass


@contextmanager
def edited(changes: Mapping[str, object], path: Path = PATH) -> Iterator[None]:
    """Do the same last, once all within has been done, and not at all if that fails; what `edit` refuses, at once.

    What others change in the file meanwhile stays.
    """
    before = read_text(path)
    text = _all_changed(before, changes, path)
    with together() as aside:
        if text != before:
            _write(aside(path), text, path)
        yield
        if (now := read_text(path)) != before:
            _write(aside(path), _all_changed(now, changes, path), path)


def _all_changed(text: str, changes: Mapping[str, object], path: Path) -> str:
    for key, value in changes.items():
        text = _changed(text, key, value, path)
    return text


def _write(draft: Path, text: str, path: Path) -> None:
    draft.write_bytes(text.encode())
    shutil.copymode(path, draft)


def _changed(text: str, key: str, value: object, path: Path) -> str:
    wanted = parse(text, path)
    old = _assign(wanted, key, value, path)
    start, stop, new = _splice(text, key, old, value, path)
    found = text[:start] + new + text[stop:]
    try:
        same = parse(found, path) == wanted
    except UserError:
        same = False
    if not same:
        raise UserError(f"{path}: {key} is laid out in a way that dseld cannot edit: give each item a line, - ITEM")
    return found


def _assign(document: Any, key: str, value: object, path: Path) -> object:
    """Set a value of a parsed file; what it was."""
    *sections, leaf = key.split(".")
    try:
        for section in sections:
            document = document[section]
        old = document[leaf]
    except (KeyError, TypeError):
        raise UserError(f"{path}: key {key} is missing") from None
    document[leaf] = value
    return old


def _splice(text: str, key: str, old: object, value: object, path: Path) -> Splice:
    name: Any = None
    node: Any = YAML(typ="safe", pure=True).compose(text)
    for part in key.split("."):
        name, node = next(item for item in node.value if item[0].value == part)
    lines = node.value if isinstance(node, SequenceNode) and not node.flow_style else []
    colon = text.index(":", name.end_mark.index) + 1
    if not isinstance(old, list) or not isinstance(value, list) or (old and not lines):
        return node.start_mark.index, node.end_mark.index, _written(value, path)
    stay = [item for item in old if item in value]
    if stay and value[: len(stay)] == stay:
        return _lines_spliced(text, list(zip(lines, old, strict=True)), value, len(stay), path)
    end = _line_end(text, lines[-1] if lines else node)
    comment = text[colon : _line_end(text, name)] if lines else text[node.end_mark.index : end]
    if not value:
        return colon, end, f" []{comment}"
    return colon, end, _join(text, [comment, *_items(value, " " * (name.start_mark.column + 2), path)])


def _lines_spliced(text: str, items: list[tuple[Any, object]], value: list[object], stay: int, path: Path) -> Splice:
    """Drop the lines of items that go, and add those that come behind the `stay` first."""
    first, last = items[0][0], items[-1][0]
    start, stop = _line_start(text, first), _line_end(text, last)
    kept, at = "", start
    for node, item in items:
        if item not in value:
            kept += text[at : _line_start(text, node)]
            at = _line_end(text, node) + len(_newline(text))
    kept = (kept + text[at:stop]).removesuffix(_newline(text))
    margin = text[start : text.index("-", start)]
    return start, stop, _join(text, [kept, *_items(value[stay:], margin, path)])


def _items(value: list[object], margin: str, path: Path) -> list[str]:
    return [f"{margin}- {_written(item, path)}" for item in value]


def _join(text: str, lines: list[str]) -> str:
    return _newline(text).join(lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _line_start(text: str, node: Any) -> int:
    return text.rfind("\n", 0, node.start_mark.index) + 1


def _line_end(text: str, node: Any) -> int:
    end = text.find("\n", node.end_mark.index)
    end = len(text) if end < 0 else end
    return end - text[:end].endswith("\r")


def _written(value: object, path: Path) -> str:
    """Write a value on one line.

    Raises:
        UserError: if it has characters that a file of UTF-8 text cannot hold.

    """
    yaml, found = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style, yaml.width = True, sys.maxsize
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = str(value).isprintable()
    try:
        str(value).encode()
        yaml.dump([value], found)
    except (UnicodeEncodeError, YAMLError):
        raise UserError(f"{path} cannot hold {quoted(value)}: rename it") from None
    return found.getvalue().strip()[1:-1]
