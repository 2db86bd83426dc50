"""Versions of a growing dictionary: DVC keeps, restores and replays them, and stores only what is new."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from tests.conftest import image_folder, set_params
from tests.pipeline.test_dvc import PROJECT, ROOT, call, ran

GROWTH = ["add-exemplars", "gramian", "encode", "encode-train", "decode@class-sum", "baselines", "evaluate"]
"""Stages behind the base dictionary, with the one decoder that is enough here."""


def change_params(clone: Path, **changes: object) -> None:
    with contextlib.chdir(clone):
        set_params(**changes)


def commit(clone: Path, message: str) -> None:
    call(clone, "git", "add", "-A")
    call(clone, "git", "commit", "-qm", message)


def fingerprint(clone: Path, kind: str = "dictionary") -> str:
    info = {"dictionary": store.DictionaryInfo, "gramian": store.GramianInfo}[kind]
    return store.open_store(clone / f"data/{kind}.zarr", info).fingerprint


def cache_size(clone: Path) -> int:
    return sum(file.stat().st_size for file in (clone / ".dvc/cache").rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 2,100 images of 6 x 6 in three classes: two blocks of atoms, three tiles."""
    clone = tmp_path_factory.mktemp("growing") / "project"
    for name in PROJECT:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    image_folder(clone / "images", {"ant": 700, "bee": 700, "cat": 700})
    image_folder(clone / "images", {"ant": 2, "bee": 2, "cat": 2}, "test", seed=1)
    image_folder(clone / "data/additions/june", {"bee": 2, "dog": 3}, seed=2)
    change_params(clone, data__dataset="folder:images", lca__steps=2, decoders=["class-sum"], trained_decoders=[])
    change_params(clone, baselines__names=["nearest-class-mean"])
    for command in ("git init -q -b main", "dvc remote add -q -d local ../remote", "git add -A"):
        call(clone, *command.split())
    call(clone, "git", "commit", "-qm", "project")
    return clone


def test_a_grown_dictionary_is_versioned_restored_and_replayed(clone: Path, tmp_path: Path) -> None:
    call(clone, "dvc", "repro")
    commit(clone, "base")
    base, size = fingerprint(clone), cache_size(clone)
    untouched = (clone / "data/gramian.zarr/gramian/c/0/0").stat()

    call(clone, "dseld", "add-exemplars", "folder:data/additions/june")
    grown, gramian = fingerprint(clone), fingerprint(clone, "gramian")
    assert grown != base
    assert sorted(ran(call(clone, "dvc", "repro"))) == sorted(GROWTH), "neither the base nor what is before it"
    assert (fingerprint(clone), fingerprint(clone, "gramian")) == (grown, gramian)
    now = (clone / "data/gramian.zarr/gramian/c/0/0").stat()
    assert (now.st_ino, now.st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)
    tile = 4 * store.spec.ROWS**2
    assert 2 * tile <= cache_size(clone) - size <= 2.1 * tile, "the two ragged tiles, and little beside"
    call(clone, "dvc", "commit", "-f")
    assert "up to date" in call(clone, "dvc", "status")
    commit(clone, "june")
    call(clone, "dvc", "push")

    for version, wanted in (("HEAD~1", base), ("main", grown)):
        call(clone, "git", "checkout", "-q", version)
        call(clone, "dvc", "checkout")
        assert fingerprint(clone) == wanted
        opened = store.open_store(clone / "data/gramian.zarr", store.GramianInfo)
        assert all(opened.intact(name, key) for name, key in opened.all_chunks())

    pulled, replayed = tmp_path / "pulled", tmp_path / "replayed"
    for other in (pulled, replayed):
        call(tmp_path, "git", "clone", "-q", str(clone), str(other))
    call(pulled, "dvc", "remote", "modify", "--local", "local", "url", str(clone.parent / "remote"))
    call(pulled, "dvc", "pull")
    assert fingerprint(pulled) == grown
    assert "up to date" in call(pulled, "dvc", "status")

    call(replayed, "dvc", "repro")
    assert fingerprint(replayed) == grown, "made again from images alone"
    np.testing.assert_array_equal(atoms(replayed), atoms(clone))


def atoms(clone: Path) -> store.Array:
    return store.open_store(clone / "data/dictionary.zarr", store.DictionaryInfo).read("atoms")


def test_another_base_and_a_removal_leave_no_stale_tile(clone: Path) -> None:
    call(clone, "git", "checkout", "-q", "main")
    call(clone, "dvc", "repro")
    if "june" not in (clone / "params.yaml").read_text():  # the test above ran elsewhere
        commit(clone, "base")
        call(clone, "dseld", "add-exemplars", "folder:data/additions/june")
        call(clone, "dvc", "repro")
        commit(clone, "june")
    before = ran(call(clone, "dvc", "exp", "run", "-S", "build_dict.size=2060"))
    assert sorted(before) == sorted(["build-dict", *GROWTH])
    opened = store.open_store(clone / "data/gramian.zarr", store.GramianInfo)
    exact = atoms(clone).astype(np.float64)
    assert len(exact) == 2065
    np.testing.assert_allclose(opened.chunk("gramian", (1, 1)), exact[2048:] @ exact[2048:].T, atol=1e-6)
    np.testing.assert_allclose(opened.chunk("gramian", (1, 0)), exact[2048:] @ exact[:2048].T, atol=1e-6)
    call(clone, "dseld", "remove-exemplars", "folder:data/additions/june:train/dog/0.png")
    assert sorted(ran(call(clone, "dvc", "repro"))) == sorted(GROWTH)
    assert np.flatnonzero(~atoms(clone).any(axis=1)).tolist() == [2062]
