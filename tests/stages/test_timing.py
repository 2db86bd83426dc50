"""`dseld timing`: every part is timed at every batch size."""

import json
from pathlib import Path

import pytest

from dseld_cli.stages import timing
from tests.conftest import Run


def test_every_part_takes_some_time_and_they_add_up(project: Path, run: Run) -> None:
    for command in ("extract", "build-dict --size 100", "encode --images 20"):
        run(command)
    rows = json.loads(run("timing --batch 1 --batch 10 --json").stdout)
    assert [row["batch"] for row in rows] == [1, 10]
    for row in rows:
        assert all(row[part] > 0 for part in ("extraction", "encoding", "decoding"))
        assert row["total"] == pytest.approx(row["extraction"] + row["encoding"] + row["decoding"])
    assert "Milliseconds per image" in run("timing --batch 5").stdout
    assert [row["batch"] for row in json.loads(run("timing --json").stdout)] == [1, 20], "no more than there are"
    assert "from 1 to the 20 test images" in run("timing --batch 21", ok=False).stderr


def test_the_time_is_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    seen: list[slice] = []
    assert timing.milliseconds(seen.append, 4, 20) == 250, "one second for four images"
    assert all(part.stop - part.start == 4 and part.stop <= 20 for part in seen)
    assert len(seen) == timing.REPEATS + 1
