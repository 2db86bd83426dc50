"""Drafts: a killed run goes on, what is damaged is made again, and nothing but what was written is committed."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dseld_cli import store
from dseld_cli.errors import StoreDamaged
from dseld_cli.store import disk, spec

ROWS = 16
N = 3 * ROWS + 5
INFO = store.FeaturesInfo(split="train", classes=("a",), extractor={"backbone": "none"})
CONTENT = np.random.default_rng(1).random((N, 2), np.float32)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "ROWS", ROWS)


def draft(path: Path, info: store.FeaturesInfo = INFO) -> store.Draft[store.FeaturesInfo]:
    return store.Draft(path, info, {"features": store.Spec.rows("float32", N, 2)})


def work(path: Path, stop: int | None = None, wrote: list[int] | None = None) -> None:
    """Write what is missing, up to some chunk; without a stop, commit."""
    with draft(path) as going:
        for i, part in enumerate(store.blocks(N)):
            if i == stop:
                return
            if not going.finished("features", (i, 0)):
                going.write("features", (i, 0), CONTENT[part])
                (wrote if wrote is not None else []).append(i)
        going.put("labels", np.zeros(N, np.int64))
        going.put("source", np.array(["x"] * N, dtype=np.dtypes.StringDType()))
        going.commit()


def committed(path: Path) -> store.Features:
    return store.open_store(path, store.FeaturesInfo)


def content(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_killed_draft_goes_on_where_it_stopped_and_ends_the_same(tmp_path: Path) -> None:
    work(tmp_path / "whole.zarr")
    wrote: list[int] = []
    for stop in (1, 2, None):
        assert not (tmp_path / "killed.zarr").exists()
        work(tmp_path / "killed.zarr", stop, wrote)
    assert wrote == [0, 1, 2, 3]
    assert content(tmp_path / "whole.zarr") == content(tmp_path / "killed.zarr")
    np.testing.assert_array_equal(committed(tmp_path / "killed.zarr").read("features"), CONTENT)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["killed.zarr", "whole.zarr"]


def delete(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    found = bytearray(file.read_bytes())
    found[len(found) // 3] ^= 1
    file.write_bytes(found)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGES = [delete, empty, flip, zero]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_chunk_of_a_draft_that_is_not_what_was_written_is_made_again(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """FAULTS A2, B2."""
    path, wrote = tmp_path / "x.zarr", list[int]()
    work(path, 3)
    damage(tmp_path / "x.zarr.partial/features/c/0/0")
    work(path, wrote=wrote)
    assert wrote == [0, 3]
    np.testing.assert_array_equal(committed(path).read("features"), CONTENT)


def test_chunks_that_were_swapped_are_made_again(tmp_path: Path) -> None:
    path, wrote = tmp_path / "x.zarr", list[int]()
    work(path, 3)
    one, two = (tmp_path / f"x.zarr.partial/features/c/{i}/0" for i in (0, 1))
    swap(one, two)
    work(path, wrote=wrote)
    assert wrote == [0, 1, 3]


def swap(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [disk.PLAN, disk.JOURNAL])
def test_a_damaged_plan_or_journal_is_said_and_what_it_said_is_made_again(
    tmp_path: Path, name: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.zarr"
    work(path, 3)
    damage(tmp_path / "x.zarr.partial" / name)
    work(path)
    np.testing.assert_array_equal(committed(path).read("features"), CONTENT)
    said = capsys.readouterr().err
    if damage is flip and name == disk.JOURNAL:
        assert "journal are damaged" in said
    if damage in (empty, zero) and name == disk.PLAN:
        assert "x.zarr.partial is damaged: started afresh" in said


@pytest.mark.parametrize("cut", [1, 20, 90])
def test_a_line_that_a_kill_tore_is_dropped_and_the_next_one_is_whole(
    tmp_path: Path, cut: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path, wrote = tmp_path / "x.zarr", list[int]()
    work(path, 2)
    journal = tmp_path / "x.zarr.partial" / disk.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    work(path, 3, wrote)
    assert wrote == [1, 2]
    work(path, None, wrote)
    assert wrote == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_a_draft_of_the_format_before_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Its journal has digests of SHA-256, which does not say so."""
    work(tmp_path / "x.zarr", 2)
    journal = tmp_path / "x.zarr.partial" / disk.JOURNAL
    lines = []
    for i in range(2):
        part = CONTENT[i * ROWS : (i + 1) * ROWS]
        digest = hashlib.sha256(f"{part.dtype}{part.shape}".encode() + part.tobytes()).hexdigest()
        text = json.dumps(["chunk", "features", [i, 0], digest], separators=(",", ":"))
        lines.append(f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n")
    journal.write_text("".join(lines))
    wrote: list[int] = []
    work(tmp_path / "x.zarr", None, wrote)
    assert wrote == [2, 3]
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


def test_a_draft_with_another_plan_starts_afresh(tmp_path: Path) -> None:
    work(tmp_path / "x.zarr", 2)
    with draft(tmp_path / "x.zarr") as going:
        assert going.finished("features", (0, 0))
    with draft(tmp_path / "x.zarr", store.FeaturesInfo(split="val", classes=("a",), extractor={})) as going:
        assert not going.finished("features", (0, 0))


def test_a_store_is_not_committed_without_all_its_chunks(tmp_path: Path) -> None:
    with draft(tmp_path / "x.zarr") as going:
        going.write("features", (1, 0), CONTENT[ROWS : 2 * ROWS])
        with pytest.raises(StoreDamaged, match="features/c/0/0 is missing or damaged: run the same command again"):
            going.commit()
    assert not (tmp_path / "x.zarr").exists()


def test_a_chunk_lost_during_the_work_is_not_committed(tmp_path: Path) -> None:
    work(tmp_path / "x.zarr", 3)
    with draft(tmp_path / "x.zarr") as going:
        going.write("features", (3, 0), CONTENT[3 * ROWS :])
        assert going.finished("features", (0, 0))
        (tmp_path / "x.zarr.partial/features/c/0/0").unlink()
        with pytest.raises(StoreDamaged):
            going.commit()


def test_a_disk_error_leaves_the_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B4."""
    work(tmp_path / "x.zarr", 3)
    read = Path.read_bytes

    def failing(self: Path) -> bytes:
        if self.name in (disk.PLAN, disk.JOURNAL):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return read(self)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output error"):
        patch.setattr(Path, "read_bytes", failing)
        work(tmp_path / "x.zarr")
    wrote: list[int] = []
    work(tmp_path / "x.zarr", wrote=wrote)
    assert wrote == [3]


def test_a_finished_draft_is_put_in_force_by_the_next_run_without_making_anything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS A5: a kill between the mark and the rename."""

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(disk, "replace", killed)
            work(tmp_path / "x.zarr")
        assert disk.kind_of(tmp_path / "x.zarr.partial") == "features"
    wrote: list[int] = []
    work(tmp_path / "x.zarr", wrote=wrote)
    assert wrote == []
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)
    assert not (tmp_path / "x.zarr.partial").exists()


def test_chunks_taken_over_are_never_written_through(tmp_path: Path) -> None:
    """A hard link shares its bytes with the older store."""
    work(tmp_path / "x.zarr")
    old = committed(tmp_path / "x.zarr")
    before = content(tmp_path / "x.zarr")
    with store.Draft(tmp_path / "x.zarr", INFO, dict(old.specs), old, {"features": [(0, 0)]}) as going:
        assert going.finished("features", (0, 0))
        going.write("features", (0, 0), CONTENT[:ROWS] + 1)
    assert content(tmp_path / "x.zarr") == before


def test_a_chunk_that_cannot_be_taken_over_is_not_finished(tmp_path: Path) -> None:
    work(tmp_path / "x.zarr")
    old = committed(tmp_path / "x.zarr")
    (tmp_path / "x.zarr/features/c/1/0").unlink()
    kept = {"features": [(0, 0), (1, 0)]}
    with store.Draft(tmp_path / "x.zarr", INFO, dict(old.specs), old, kept) as going:
        assert [going.finished("features", (i, 0)) for i in range(3)] == [True, False, False]


@pytest.mark.parametrize("damage", [*DAMAGES, swap])
def test_a_part_that_is_not_what_was_kept_is_missing(tmp_path: Path, damage: Callable[..., None]) -> None:
    """FAULTS A2: 260 codes for 360 rows, or wrong ones."""
    with draft(tmp_path / "x.zarr") as going:
        for number in range(3):
            going.keep(number, {"values": np.full(number + 1, number)})
    folder = tmp_path / "x.zarr.partial" / disk.PARTS
    if damage is swap:
        swap(folder / "1.npz", folder / "2.npz")
    else:
        damage(folder / "1.npz")
    with draft(tmp_path / "x.zarr") as going:
        assert [going.has_kept(n) for n in range(3)] == [True, False, damage is not swap]
        for number in range(3):
            if not going.has_kept(number):
                going.keep(number, {"values": np.full(number + 1, number)})
        assert [part["values"].tolist() for part in going.parts()] == [[0], [1, 1], [2, 2, 2]]


@given(sizes=st.lists(st.integers(0, 40), max_size=8), stops=st.lists(st.integers(0, 8), max_size=3))
@settings(max_examples=60, deadline=None)
def test_rows_that_come_in_blocks_of_any_length_end_the_same_after_any_kills(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], stops: list[int]
) -> None:
    folder, n = tmp_path_factory.mktemp("rows"), sum(sizes)
    whole = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    for stop in [*stops, None]:
        with store.Draft(folder / "x.zarr", INFO, {"features": store.Spec.rows("float32", n + 7, 2)}) as going:
            rows = store.Rows(going, "features")
            done, came = next((note for note in reversed(going.notes) if note[1] <= rows.came), (0, 0))
            assert came == rows.came, "a kill loses nothing that was noted"
            for i in range(done, len(sizes)):
                if i == stop:
                    break
                rows.add(whole[came : came + sizes[i]])
                rows.hold()
                came += sizes[i]
                going.note([i + 1, came])
            if stop is None:
                rows.end()
                going.put("labels", np.zeros(n, np.int64))
                going.put("source", np.array(["x"] * n, dtype=np.dtypes.StringDType()))
                going.commit()
    np.testing.assert_array_equal(committed(folder / "x.zarr").read("features"), whole)
    shutil.rmtree(folder)


@given(n=st.integers(0, 5000), size=st.integers(1, 3000))
@settings(max_examples=50)
def test_blocks_cover_every_row_once_in_order(n: int, size: int) -> None:
    assert [i for part in store.blocks(n, size) for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= size for part in store.blocks(n, size))
