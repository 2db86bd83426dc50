"""Lines and progress, with and without a terminal."""

import re
import time

import pytest

from dseld_cli.runtime import console


def test_names_are_escaped_in_lines_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\x1b[31m\nb [/b] caf\udce9")
    console.warn("c\x1b]0;title\x07")
    shown = capsys.readouterr()
    assert shown.out == "a\\x1b[31m\\nb [/b] caf\\udce9\n"
    assert shown.err == "warning: c\\x1b]0;title\\x07\n"


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 6))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    assert list(console.track([3, 4, 5, 6], 20, "tiles[/b]\n", done=2, length=lambda n: n)) == [3, 4, 5, 6]
    assert capsys.readouterr().err == "tiles[/b]\\n: 9 of 20, 19 s left\n"


def test_progress_on_a_terminal_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert list(console.track(range(3), 3, "[/b] tiles\x1b", unit="tiles")) == [0, 1, 2]
    assert "[/b] tiles\\x1b" in capsys.readouterr().err


def test_nothing_to_do_shows_no_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(console.track([], 0, "looking at images")) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0 s"), (59, "59 s"), (95, "2 min"), (7600, "2 h 7 min")])
def test_durations_read_as_a_person_writes_them(seconds: float, said: str) -> None:
    assert console.duration(seconds) == said


@pytest.mark.parametrize(
    ("terminal", "takes", "said"), [(True, 0.3, "loading \\x1b ...\n"), (True, 0, ""), (False, 0.3, "")]
)
def test_what_takes_long_and_has_no_steps_is_named_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, takes: float, said: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(console, "MOMENT", 0.05)
    with console.doing("loading \x1b"):
        time.sleep(takes)
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("width", "what", "total", "unit", "label"),
    [
        (80, "coding over the training images dictionary", 300, "", "coding over the training images dictionary"),
        (80, "encoding batches", 123_456, "tiles", "encoding batches"),
        (80, "a label of such a length that it has to lose its middle", 9, "", "a label of such a lengt"),
        (200, "short", 3, "", "short"),
    ],
)
def test_label_and_bar_have_what_the_figures_leave(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    what: str,
    total: int,
    unit: str,
    label: str,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    list(console.track([total], total, what, length=lambda n: n, unit=unit))
    drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", capsys.readouterr().err)
    first = next(line for line in re.split(r"[\r\n]+", drawn) if line.strip())
    assert first.startswith(label)
    assert "left" in first, "on one line"
    assert len(first) <= width
    assert 5 <= len(re.findall("[━╸╺]", first)) <= 40
    assert width - len(first.rstrip()) < 4 + (len(f" 12345 {unit}/s") if unit else 0) or width == 200, "no room is left"
