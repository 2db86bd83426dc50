"""What the machine has room for, and what it has in memory already."""

import errno
import os
from pathlib import Path

import pytest

from dseld_cli.runtime.budget import cached


def written(place: Path) -> list[Path]:
    for name in "abc":
        (place / name).write_bytes(bytes(10**5))
    return [place / name for name in "abc"]


def test_what_was_just_written_is_in_the_page_cache(tmp_path: Path) -> None:
    assert cached(written(tmp_path)) == 1.0


def test_what_would_have_to_be_read_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says that for each page, by refusing to wait."""
    asked = []

    def preadv(_: int, into: list[bytearray], place: int, flags: int) -> int:
        asked.append(place)
        if len(asked) % 4:
            raise BlockingIOError(errno.EAGAIN, "would wait")
        return len(into)

    monkeypatch.setattr(os, "preadv", preadv)
    assert cached(written(tmp_path)) == 0.25
    assert len(set(asked)) > 20, "what is asked for is read, so that asking again says nothing"


@pytest.mark.parametrize("refusal", [OSError(errno.EOPNOTSUPP, "not here"), AttributeError("RWF_NOWAIT")])
def test_where_the_system_does_not_tell_nothing_is_held_against_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def preadv(*_: object) -> int:
        raise refusal

    monkeypatch.setattr(os, "preadv", preadv)
    assert cached(written(tmp_path)) == 1.0
