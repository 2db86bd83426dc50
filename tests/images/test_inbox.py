"""Images that come into a folder while it is watched, however they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dseld_cli.errors import UserError
from dseld_cli.images.inbox import PATIENCE, POLL, Inbox

Look = Callable[[float], list[str]]


def read(file: Path) -> str:
    text = file.read_text()
    if not text.endswith("."):
        raise UserError("half")
    return text


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Look at the folder for so many seconds of the test's own clock; what was answered, as name: answer."""
    inbox, now = Inbox(tmp_path, read), 0.0

    def for_seconds(seconds: float) -> list[str]:
        nonlocal now
        found = []
        for _ in range(round(seconds / POLL)):
            found += [f"{file.relative_to(tmp_path)}: {answer}" for file, answer in inbox.look(now)]
            now += POLL
        return found

    return for_seconds


def test_a_link_into_itself_ends_nothing(tmp_path: Path, look: Look) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    (tmp_path / "sub/a.png").write_text("a.")
    assert look(1) == ["sub/a.png: a."]


def test_what_can_be_read_is_answered_at_once_and_once(tmp_path: Path, look: Look) -> None:
    (tmp_path / "a.png").write_text("a.")
    assert look(2 * POLL) == ["a.png: a."]
    (tmp_path / "b.png").write_text("b.")
    assert look(2 * POLL) == ["b.png: b."]
    assert look(2 * PATIENCE) == []


def test_a_file_that_is_written_anew_is_answered_anew(tmp_path: Path, look: Look) -> None:
    file = tmp_path / "shot.png"
    file.write_text("one.")
    assert look(1) == ["shot.png: one."]
    file.write_text("other.")
    assert look(1) == ["shot.png: other."]
    file.unlink()
    assert look(1) == []
    file.write_text("other.")
    assert look(1) == ["shot.png: other."]


def test_a_writer_may_pause(tmp_path: Path, look: Look) -> None:
    file = tmp_path / "slow.png"
    file.write_text("first ha")
    assert look(PATIENCE / 2) == []
    file.write_text("first half, then the rest.")
    assert look(2 * POLL) == ["slow.png: first half, then the rest."]


def test_what_stays_half_is_said_once_and_answered_when_it_is_whole(tmp_path: Path, look: Look) -> None:
    file = tmp_path / "half.png"
    file.write_text("first ha")
    assert look(2 * PATIENCE) == ["half.png: half"]
    file.write_text("first half, then the rest.")
    assert look(2 * PATIENCE) == ["half.png: first half, then the rest."]


def test_what_is_no_image_is_ignored_as_in_any_folder_of_images(tmp_path: Path, look: Look) -> None:
    for name in ("notes.txt", "Thumbs.db", "x.part", "y.jpg.part", "z.png.crdownload", ".hidden.png"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "nowhere.png").symlink_to("nobody.png")
    assert look(2 * PATIENCE) == []
    (tmp_path / "y.jpg.part").write_text("y.")
    (tmp_path / "y.jpg.part").rename(tmp_path / "y.jpg")
    assert look(1) == ["y.jpg: y."]


def test_folders_in_it_are_looked_into(tmp_path: Path, look: Look) -> None:
    (tmp_path / "deep/deeper").mkdir(parents=True)
    (tmp_path / "deep/deeper/a.png").write_text("a.")
    assert look(1) == ["deep/deeper/a.png: a."]


def test_a_folder_that_goes_while_it_is_read_has_nothing_answered_twice(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_text("a.")
    assert look(1) == ["a.png: a."]
    with monkeypatch.context() as patch:
        patch.setattr("dseld_cli.images.inbox.files_below", lambda folder, **_: list((folder / "gone").iterdir()))
        assert look(1) == []
    assert look(1) == []


def test_a_watched_folder_that_goes_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    inbox = Inbox(folder, read)
    assert list(inbox.look(0)) == []
    folder.rmdir()
    with pytest.raises(UserError, match="the folder is gone"):
        list(inbox.look(1))
