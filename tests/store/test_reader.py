"""Stores: what is committed is what is read, anything else is refused by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dseld_cli import store
from dseld_cli.errors import UserError
from dseld_cli.store import ROWS, Draft, Spec, Store, blocks, open_store, write

FACTS = {"classes": ["a", "b"], "inputs": {}}


@pytest.fixture
def committed(tmp_path: Path) -> Store:
    path = tmp_path / "x.zarr"
    rng = np.random.default_rng(0)
    arrays = {
        "features": rng.random((ROWS + 10, 3), np.float32),
        "labels": rng.integers(0, 2, ROWS + 10),
        "source": np.array([f"train/ä {i}.png" for i in range(ROWS + 10)], dtype=np.dtypes.StringDType()),
    }
    write(path, "features", FACTS, arrays)
    return open_store(path, "features")


def test_what_was_written_is_read(committed: Store) -> None:
    rng = np.random.default_rng(0)
    features = rng.random((ROWS + 10, 3), np.float32)
    np.testing.assert_array_equal(committed.read("features"), features)
    np.testing.assert_array_equal(committed.rows("features", slice(5, ROWS + 2)), features[5 : ROWS + 2])
    np.testing.assert_array_equal(np.concatenate([b for _, b in committed.stream("features")]), features)
    assert committed.read("source")[ROWS] == f"train/ä {ROWS}.png"
    assert committed.provenance == FACTS


def test_same_content_has_the_same_fingerprint_and_bytes(committed: Store, tmp_path: Path) -> None:
    arrays = {name: committed.read(name) for name in committed.arrays}
    write(tmp_path / "y.zarr", "features", FACTS, arrays)
    assert open_store(tmp_path / "y.zarr", "features").fingerprint == committed.fingerprint
    for file in committed.path.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "y.zarr" / file.relative_to(committed.path)).read_bytes()
    arrays["labels"][0] ^= 1
    write(tmp_path / "y.zarr", "features", FACTS, arrays)
    assert open_store(tmp_path / "y.zarr", "features").fingerprint != committed.fingerprint


def refused(path: Path, *words: str, kind: str = "features") -> None:
    """Opening or reading the store is refused in one line that has these words."""
    with pytest.raises(UserError) as error:
        opened = open_store(path, kind)
        for name in opened.arrays:
            opened.read(name)
    assert "\n" not in str(error.value)
    for word in (str(path), *words):
        assert word in str(error.value)


def test_a_missing_store_names_the_command_that_makes_it(tmp_path: Path) -> None:
    refused(tmp_path / "x.zarr", "dseld extract")


def test_another_kind_of_store_is_refused(committed: Store) -> None:
    refused(committed.path, "holds features", "gramian", kind="gramian")


@pytest.mark.parametrize("file", ["features/c/1/0", "labels/c/0"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "zero", "empty", "delete"])
def test_a_damaged_chunk_is_refused(committed: Store, file: str, damage: str) -> None:
    chunk = committed.path / file
    content = bytearray(chunk.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[3] ^= 1
    elif damage == "zero":
        content = bytearray(len(content))
    elif damage == "empty":
        content = bytearray()
    chunk.unlink() if damage == "delete" else chunk.write_bytes(content)
    refused(committed.path, "damaged", file.split("/")[0])


def test_an_array_edited_through_zarr_is_refused(committed: Store) -> None:
    array = zarr.open_group(committed.path, mode="r+")["labels"]
    array[7] = 1 - array[7]
    refused(committed.path, "damaged", "labels", "not what was committed")


@pytest.mark.parametrize("name", ["features", "labels", "source"])
def test_a_resized_or_deleted_array_is_refused(committed: Store, name: str) -> None:
    group = zarr.open_group(committed.path, mode="r+")
    group[name].resize((ROWS, *group[name].shape[1:]))
    refused(committed.path, "damaged", name)
    shutil.rmtree(committed.path / name)
    refused(committed.path, "damaged", name)


def test_edited_provenance_is_refused(committed: Store) -> None:
    file = committed.path / "zarr.json"
    file.write_text(file.read_text().replace('"a"', '"c"'))
    refused(committed.path, "attributes were changed")


@pytest.mark.parametrize("content", ["", "{}", "no json", "[]"])
def test_a_group_that_is_no_store_is_refused(committed: Store, content: str) -> None:
    (committed.path / "zarr.json").write_text(content)
    refused(committed.path, "not a committed store")


def test_a_store_without_its_mark_is_refused(committed: Store) -> None:
    file = committed.path / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"] = {}
    file.write_text(json.dumps(content))
    refused(committed.path, "not a committed store")


def test_a_store_of_another_format_is_refused(committed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FORMAT", 9)
    refused(committed.path, "format 2", "reads 9")


def draft(path: Path, **facts: object) -> Draft:
    return Draft(path, "features", {"inputs": {}, **facts}, {"features": Spec.rows("float32", 3 * ROWS, 2)})


def test_a_killed_draft_goes_on_where_it_stopped_and_ends_the_same(tmp_path: Path) -> None:
    content = np.random.default_rng(1).random((3 * ROWS, 2), np.float32)
    parts = list(blocks(3 * ROWS))
    for name, stops in (("whole", [3]), ("killed", [1, 2, 3])):
        for stop in stops:  # each a process of its own
            assert not (tmp_path / f"{name}.zarr").exists()
            with draft(tmp_path / f"{name}.zarr") as work:
                for part in parts[work.done : stop]:
                    work["features"][part] = content[part]
                    work.checkpoint(work.done + 1)
                if stop == 3:
                    work.commit()
    whole, killed = (open_store(tmp_path / f"{name}.zarr", "features") for name in ("whole", "killed"))
    assert whole.fingerprint == killed.fingerprint
    np.testing.assert_array_equal(killed.read("features"), content)


def test_a_draft_with_another_plan_starts_afresh(tmp_path: Path) -> None:
    with draft(tmp_path / "x.zarr") as work:
        work.checkpoint(2)
    with draft(tmp_path / "x.zarr") as work:
        assert work.done == 2
    with draft(tmp_path / "x.zarr", seed=1) as work:
        assert work.done == 0


def test_a_commit_replaces_the_older_store(tmp_path: Path) -> None:
    for value in (1, 2):
        write(tmp_path / "x.zarr", "features", FACTS, {"labels": np.full(3, value)})
    assert open_store(tmp_path / "x.zarr", "features").read("labels").tolist() == [2, 2, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zarr", "x.zarr.lock"]


@given(n=st.integers(0, 5000), size=st.integers(1, 3000))
@settings(max_examples=50)
def test_blocks_cover_every_row_once_in_order(n: int, size: int) -> None:
    assert [i for part in blocks(n, size) for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= size for part in blocks(n, size))
