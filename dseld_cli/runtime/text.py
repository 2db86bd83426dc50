r"""The border for text that others wrote: names of files, classes and sources, and messages of libraries.

`shown` is for screens, plots, HTML and error lines; `cell` for CSV; `json_text` for JSON. Text is shown as it is, but
for what no screen should act on: control characters, escape sequences, line breaks, characters that turn the writing
round, bytes of file names that are no UTF-8. Those become escapes such as \x1b, \n, \u202e, \udce9.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence

from dseld_cli.errors import UserError

LONGEST_LINE = 500
"""Characters of an error line at most."""
LONGEST_VALUE = 80
"""Characters of a value quoted in it at most."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def told(error: Exception) -> str:
    """Return what an error says, on one line; if it says nothing, its kind."""
    return " ".join(str(error).split()) or type(error).__name__


def shown(text: object) -> str:
    """Text as it may appear on a screen, in a plot or a page: one line, every unprintable character as its escape."""
    found = str(text)
    return found if found.isprintable() else "".join(map(_escaped, found))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def counted(n: int, one: str) -> str:
    """So many of something: 1 image, 2 images, 3 classes."""
    return f"{n} {one}" + ("" if n == 1 else "es" if one.endswith("s") else "s")


def line(text: object, most: int = LONGEST_LINE) -> str:
    """Text as one line of at most `most` characters: if too long it loses its middle, since remedies are at the end."""
    found = shown(text)
    if len(found) <= most:
        return found
    tail = most // 3
    return f"{found[: most - tail - 5]} ... {found[-tail:]}"


def require_text(what: str, text: str) -> None:
    """Refuse bytes that are no UTF-8, as the command line and files hand them over.

    Raises:
        UserError: if there are some.

    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{what}: {line(text, LONGEST_VALUE)} is no text: it has bytes that are no UTF-8") from None


def unshown(texts: Iterable[str], known: Iterable[str]) -> list[str]:
    """Texts of which a person has seen what `shown` makes of them, where one of those known is; else as they are."""
    given, own = list(texts), set(known)
    if all(text in own or "\\" not in text for text in given):
        return given
    seen: dict[str, list[str]] = {}
    for one in own:
        seen.setdefault(shown(one), []).append(one)
    return [seen[text][0] if text not in own and len(seen.get(text, ())) == 1 else text for text in given]


def quoted(value: object, most: int = LONGEST_VALUE) -> str:
    """Represent any value in at most `most` characters, however large or deep it is."""
    short = _Short()
    short.maxstring = short.maxother = most
    short.maxlevel = 3
    found = short.repr(value)
    return shown(found if len(found) <= most else f"{found[: most - 3]}...")


class _Short(reprlib.Repr):
    """Python's own, but for integers of more digits than it writes out."""

    def repr_int(self, x: int, level: int) -> str:
        """Show an integer, or how long it is."""
        return str(x) if x.bit_length() < 256 else f"a number of {x.bit_length()} bits"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Ask " (did you mean X?)" for the known word closest to one that is not among them; nothing if none is close."""
    from difflib import get_close_matches

    names = {name.lower(): name for name in known}
    close = get_close_matches(word[:LONGEST_VALUE].lower(), names, 1, 0.7)
    return f" (did you mean {names[close[0]]}?)" if close else ""


def cell(text: object) -> str:
    """Text as a cell of a CSV file: one line, and quoted by an apostrophe where a spreadsheet would compute it."""
    found = str(text)
    return f"'{shown(found)}" if found.startswith(FORMULA) else shown(found)


def uncell(text: str) -> str:
    """Take back the apostrophe that `cell` put before a formula."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def json_text(value: object, indent: int | None = 2) -> str:
    """Write JSON that any reader takes: valid UTF-8, undecodable bytes as escapes, NaN and infinities as null."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, Sequence) else value
