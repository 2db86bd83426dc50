"""Nothing of the user's is deleted or replaced, two writers never mix, and no failure of the disk is swallowed."""

import errno
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.store import disk
from dseld_cli.store import project as paths
from tests.conftest import Run

INFO = store.NetworkInfo(classes=("a", "b", "c"), lambda_=1.0, tau=100.0, steps=100, seed=0)


def arrays(value: int) -> dict[str, store.Array]:
    return {"weights": np.full((5, 3), value, np.float32), "bias": np.zeros(3, np.float32)}


def put(path: Path, value: int = 1) -> None:
    """Commit a small store."""
    store.write(path, INFO, arrays(value))


def fill(draft: store.Draft[store.NetworkInfo]) -> None:
    for name, content in arrays(1).items():
        draft.put(name, content)


def value(path: Path) -> int:
    return int(store.open_store(path, store.NetworkInfo).read("weights")[0, 0])


def files(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder; a store's lock, which is empty, aside."""
    found = (p for p in sorted(folder.rglob("*")) if not p.name.endswith(".zarr.lock"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in found}


def photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "x.jpg").write_text("a photograph")


def test_a_folder_of_photographs_is_never_an_output(project: Path, run: Run) -> None:
    photos(project / "photos")
    assert "ends in .zarr" in run("extract --split test --output photos", ok=False).stderr
    photos(project / "photos.zarr")
    before = files(project)
    said = run("extract --split test --output photos.zarr", ok=False).stderr
    assert "photos.zarr holds files that are no store of dseld's" in said
    assert files(project) == before


@pytest.mark.parametrize("output", ["data", ".", "..", "/", "data/features"])
def test_no_folder_of_stores_is_an_output(project: Path, run: Run, output: str) -> None:
    put(paths.features("train"))
    before = files(project)
    run(f"extract --split test --output {output}", ok=False)
    assert files(project) == before


def test_a_store_of_another_kind_is_no_output(project: Path, run: Run) -> None:
    put(paths.DICTIONARY)
    before = files(project)
    said = run(f"extract --split test --output {paths.DICTIONARY}", ok=False).stderr
    assert "data/dictionary.zarr holds a network store" in said
    assert files(project) == before


@pytest.mark.parametrize("ending", [".partial", ".retired"])
def test_what_lies_beside_a_store_and_is_not_ours_stays(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "x.zarr")
    photos(tmp_path / f"x.zarr{ending}")
    before = files(tmp_path)
    for change in (lambda: put(tmp_path / "x.zarr", 2), lambda: store.tidy(tmp_path / "x.zarr")):
        with pytest.raises(UserError, match="none of dseld's drafts"):
            change()
        assert {k: v for k, v in files(tmp_path).items() if k in before} == before


def test_a_file_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "x.zarr").write_text("mine")
    with pytest.raises(UserError, match="is no store"):
        put(tmp_path / "x.zarr")
    assert (tmp_path / "x.zarr").read_text() == "mine"


def test_an_empty_folder_is_one(tmp_path: Path) -> None:
    for name in ("x.zarr", "x.zarr.partial", "x.zarr.retired"):
        (tmp_path / name).mkdir()
    put(tmp_path / "x.zarr")
    assert value(tmp_path / "x.zarr") == 1
    assert not (tmp_path / "x.zarr.partial").exists()


def test_what_comes_to_lie_there_during_the_work_stays(tmp_path: Path) -> None:
    with store.Draft(tmp_path / "x.zarr", INFO) as draft:
        fill(draft)
        photos(tmp_path / "x.zarr")
        with pytest.raises(UserError, match="holds files"):
            draft.commit()
    assert (tmp_path / "x.zarr/x.jpg").read_text() == "a photograph"


def test_a_lock_that_is_a_link_does_not_empty_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "x.zarr.lock").symlink_to("mine")
    with pytest.raises(OSError):
        put(tmp_path / "x.zarr")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_store_that_was_moved_and_linked_back_is_changed_where_it_is(tmp_path: Path) -> None:
    disk_, here = tmp_path / "disk", tmp_path / "x.zarr"
    disk_.mkdir()
    put(here)
    here.rename(disk_ / "moved")
    here.symlink_to(disk_ / "moved")
    for i in (2, 3):
        put(here, i)
        assert here.is_symlink()
        assert value(here) == value(disk_ / "moved") == i
    assert sorted(p.name for p in disk_.iterdir()) == ["moved", "moved.lock"]


def test_a_link_to_where_a_store_will_be_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "x.zarr").symlink_to(tmp_path / "disk/x.zarr")
    put(tmp_path / "x.zarr")
    assert value(tmp_path / "disk/x.zarr") == 1


@pytest.mark.parametrize("target", ["gone/x.zarr", "x.zarr"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "x.zarr").symlink_to(tmp_path / target)
    with pytest.raises(UserError, match="is a link"):
        put(tmp_path / "x.zarr")
    assert not (tmp_path / "gone").exists()


def test_a_second_writer_is_refused_while_the_first_works(tmp_path: Path) -> None:
    path, refused = tmp_path / "x.zarr", []

    def second() -> None:
        try:
            put(path, 2)
        except UserError as error:
            refused.append(str(error))

    with store.Draft(path, INFO) as draft:
        fill(draft)
        other = threading.Thread(target=second)
        other.start()
        other.join()
        draft.commit()
    assert refused == [f"another dseld is changing {path}: run this again when it is done"]
    assert value(path) == 1
    put(path, 2)


def test_who_holds_the_lock_may_take_it_again(tmp_path: Path) -> None:
    with store.locked(tmp_path / "x.zarr"):
        put(tmp_path / "x.zarr")
        with pytest.raises(UserError), store.locked(Path(os.path.relpath(tmp_path)) / "x.zarr"):
            raise UserError("inside")
        put(tmp_path / "x.zarr", 2)
    put(tmp_path / "x.zarr", 3)


def test_a_lock_whose_file_was_deleted_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when DVC deletes the folder of an output just then."""
    flock, deleted = disk.fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not deleted:
            (tmp_path / "x.zarr.lock").unlink()
            deleted.append(True)
        flock(handle, how)

    monkeypatch.setattr(disk.fcntl, "flock", late)
    with store.locked(tmp_path / "x.zarr"):
        assert (tmp_path / "x.zarr.lock").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk.fcntl, "flock", none)
    with pytest.raises(UserError, match="cannot lock"):
        put(tmp_path / "x.zarr")


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_no_failure_of_a_rename_or_a_deletion_is_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, exchange: bool
) -> None:
    """Each in turn fails: either the failure is told, or the newer store is in force; the older one is never lost."""
    if not exchange:
        monkeypatch.setattr(disk, "_exchange", lambda one, other: False)
    names = ["rename", "replace", "unlink", "rmdir", "link", "fsync", "mkdir", "scandir"]
    for k in itertools.count():
        path = tmp_path / f"{k}.zarr"
        put(path)
        count = itertools.count()

        def failing(function: Callable[..., object], count: Iterator[int] = count, k: int = k) -> object:
            def step(*args: object, **options: object) -> object:
                if next(count) == k:
                    raise OSError(number, os.strerror(number))
                return function(*args, **options)

            return step

        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(os, name, failing(getattr(os, name)))
            try:
                put(path, 2)
                told = False
            except OSError as error:
                assert error.errno == number
                told = True
        assert value(path) in ((1, 2) if told else (2,))
        put(path, 3)
        assert value(path) == 3
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(f"{k}.zarr.") and p.suffix != ".lock"]
        if next(count) <= k:
            break
    assert k > 20


def test_between_the_two_renames_readers_find_the_older_store_and_a_writer_puts_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system knows no exchange."""
    path, seen = tmp_path / "x.zarr", []
    put(path)
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            seen.append(value(path))
            raise KeyboardInterrupt  # as a kill
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(disk, "_exchange", lambda one, other: False)
        patch.setattr(Path, "rename", watched)
        put(path, 2)
    assert seen == [1]
    assert not path.exists()
    assert value(path) == 1
    with store.Draft(path, INFO) as draft:
        assert path.exists()
        draft.discard()
    assert value(path) == 1


def test_after_a_store_was_deleted_no_older_draft_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.zarr"
    put(path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(disk, "_exchange", interrupted)
        put(path, 2)
    assert disk.kind_of(disk.beside(path, ".partial")) == "network"
    shutil.rmtree(path)
    with pytest.raises(StoreMissing):
        value(path)


def interrupted(*args: object) -> bool:
    raise KeyboardInterrupt
