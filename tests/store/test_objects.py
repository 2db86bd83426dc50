"""Chunks on object storage, on a folder and on an S3 server: the same stores, and nothing half made ever counts."""

import errno
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import obstore
import pytest
import zarr
from moto.server import ThreadedMotoServer
from obstore.store import from_url

from dseld_cli import store
from dseld_cli.errors import StoreDamaged, UserError
from dseld_cli.runtime.place import LOCAL, write_to
from dseld_cli.stages import gc
from dseld_cli.store import bucket, disk, mirror, spec
from dseld_cli.store import project as paths
from dseld_cli.store.objects import Objects
from tests.conftest import Run, image_folder, set_params
from tests.store.test_draft import CONTENT, INFO, ROWS, committed, draft, work


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server on this machine, with a bucket."""
    there = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    there.start()
    host, port = there.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ALLOW_HTTP", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"))
        yield "s3://bucket"
    there.stop()


@pytest.fixture(autouse=True)
def mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep mirrors in a folder of the test's, and let what comes after write where it always does."""
    monkeypatch.setenv("DSELD_CACHE", str(tmp_path / "mirrors"))
    yield tmp_path / "mirrors"
    write_to(LOCAL)


@pytest.fixture(params=["folder", "S3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for objects that nothing is in yet."""
    found = f"file://{tmp_path}/objects"
    if request.param == "S3":
        found = f"{request.getfixturevalue('server')}/{tmp_path.name}"
    return found


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "ROWS", ROWS)


def beneath(folder: Path) -> set[str]:
    return {file.name for file in folder.rglob("*") if file.is_file()}


def lost(mirrors: Path) -> None:
    """Another machine, which has mirrored nothing."""
    shutil.rmtree(mirrors, ignore_errors=True)


@pytest.mark.usefixtures("small_chunks")
def test_a_store_is_the_same_with_its_chunks_elsewhere(root: str, tmp_path: Path, mirrors: Path) -> None:
    work(tmp_path / "here.zarr")
    write_to(root)
    work(tmp_path / "there.zarr")
    lost(mirrors)
    here, there = committed(tmp_path / "here.zarr"), committed(tmp_path / "there.zarr")
    assert there.fingerprint == here.fingerprint
    assert beneath(tmp_path / "there.zarr") == {"zarr.json"}
    np.testing.assert_array_equal(there.read("features"), CONTENT)
    assert {name.split("/")[0] for name in bucket.listed(root)} == {"features"}, "no draft is left"


@pytest.mark.usefixtures("small_chunks")
def test_zarr_opens_what_lies_elsewhere(root: str, tmp_path: Path) -> None:
    write_to(root)
    work(tmp_path / "there.zarr")
    url = committed(tmp_path / "there.zarr").url or ""
    group = zarr.open_group(zarr.storage.ObjectStore(from_url(url), read_only=True), mode="r")
    np.testing.assert_array_equal(group["features"][:], CONTENT)


@pytest.mark.usefixtures("small_chunks")
def test_a_machine_that_has_only_the_address_opens_a_store(root: str, tmp_path: Path, mirrors: Path) -> None:
    write_to(root)
    work(tmp_path / "there.zarr")
    here = committed(tmp_path / "there.zarr")
    lost(mirrors)
    there = store.open_store(store.folder_of(here.url or ""), store.FeaturesInfo)
    assert there.fingerprint == here.fingerprint
    np.testing.assert_array_equal(there.read("features"), CONTENT)


@pytest.mark.parametrize(
    "mark",
    ["", "[]", "{}", '{"attributes": {"dseld": []}}', '{"attributes": {"dseld": {"arrays": {"../../evil": {}}}}}'],
)
def test_what_an_address_holds_lies_in_its_folder_or_is_refused(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objects, "read", lambda self, name: mark.encode())
    with pytest.raises(StoreDamaged, match="makes no sense"):
        store.folder_of(f"file://{tmp_path}/features/1")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("moved", [False, True])
def test_a_killed_draft_goes_on(root: str, tmp_path: Path, mirrors: Path, moved: bool) -> None:
    write_to(root)
    wrote: list[int] = []
    for stop in (1, 3, None):
        if moved:
            lost(mirrors)
        work(tmp_path / "killed.zarr", stop, wrote)
    assert wrote == [0, 1, 2, 3]
    np.testing.assert_array_equal(committed(tmp_path / "killed.zarr").read("features"), CONTENT)


@pytest.mark.usefixtures("small_chunks")
def test_a_draft_that_began_elsewhere_starts_afresh(root: str, tmp_path: Path) -> None:
    wrote: list[int] = []
    for place in (LOCAL, root, LOCAL, root):
        write_to(place)
        work(tmp_path / "x.zarr", 2, wrote)
    work(tmp_path / "x.zarr", None, wrote)
    assert wrote == [0, 1, 0, 1, 0, 1, 0, 1, 2, 3]
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


def flip(data: bytes) -> bytes:
    return data[:9] + bytes([data[9] ^ 1]) + data[10:]


def cut(data: bytes) -> bytes:
    return data[:-7]


def harm(root: str, name: str, how: str) -> None:
    """Damage the one object whose name ends so."""
    path = next(path for path in bucket.listed(root) if path.endswith(name))
    its = Objects(root, path.removesuffix(name).rstrip("/"))
    if how == "missing":
        obstore.delete(bucket._opened(root), path)
    else:
        its.put(name, {"flipped": flip, "cut": cut}[how](its.read(name)))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("how", ["missing", "cut", "flipped"])
def test_a_damaged_object_is_named_and_made_again(root: str, tmp_path: Path, mirrors: Path, how: str) -> None:
    write_to(root)
    work(tmp_path / "x.zarr")
    harm(root, "features/c/1/0", how)
    assert committed(tmp_path / "x.zarr").chunk("features", (1, 0)) is not None, "this machine has a mirror"
    with pytest.raises(StoreDamaged, match="chunk 1/0"):
        committed(tmp_path / "x.zarr").reread("features", (1, 0))
    lost(mirrors)
    with pytest.raises(StoreDamaged, match="chunk 1/0"):
        committed(tmp_path / "x.zarr").read("features")
    shutil.rmtree(tmp_path / "x.zarr")
    work(tmp_path / "x.zarr")
    lost(mirrors)
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


@pytest.mark.usefixtures("small_chunks")
def test_a_damaged_mirror_is_fetched_again(root: str, tmp_path: Path, mirrors: Path) -> None:
    write_to(root)
    work(tmp_path / "x.zarr")
    for file in mirrors.rglob("c/*/0"):
        file.write_bytes(flip(file.read_bytes()))
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("how", ["missing", "cut", "flipped"])
def test_a_damaged_object_of_a_draft_is_made_again(root: str, tmp_path: Path, mirrors: Path, how: str) -> None:
    write_to(root)
    wrote: list[int] = []
    work(tmp_path / "x.zarr", 3, wrote)
    harm(root, "features/c/1/0", how)
    lost(mirrors)
    work(tmp_path / "x.zarr", None, wrote)
    assert wrote == [0, 1, 2, 1, 3]
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


@pytest.mark.usefixtures("small_chunks")
def test_nothing_is_committed_whose_objects_went_missing(root: str, tmp_path: Path) -> None:
    write_to(root)
    with draft(tmp_path / "x.zarr") as going:
        for i, part in enumerate(store.blocks(len(CONTENT))):
            going.write("features", (i, 0), CONTENT[part])
        harm(root, "features/c/1/0", "missing")
        going.put("labels", np.zeros(len(CONTENT), np.int64))
        going.put("source", np.array(["x"] * len(CONTENT), dtype=np.dtypes.StringDType()))
        with pytest.raises(StoreDamaged, match="features/c/1/0 is cut or missing: run the same command again"):
            going.commit()
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.usefixtures("small_chunks")
def test_runs_that_race_for_a_commit_do_not_meet(root: str, tmp_path: Path, mirrors: Path) -> None:
    write_to(root)
    other = CONTENT + 1
    with draft(tmp_path / "one.zarr") as one, draft(tmp_path / "two.zarr") as two:
        for i, part in enumerate(store.blocks(len(CONTENT))):
            one.write("features", (i, 0), CONTENT[part])
            two.write("features", (i, 0), other[part])
        for going in (two, one):
            going.put("labels", np.zeros(len(CONTENT), np.int64))
            going.put("source", np.array(["x"] * len(CONTENT), dtype=np.dtypes.StringDType()))
            going.commit()
    work(tmp_path / "again.zarr")
    lost(mirrors)
    for name, content in (("one", CONTENT), ("two", other), ("again", CONTENT)):
        np.testing.assert_array_equal(committed(tmp_path / f"{name}.zarr").read("features"), content)
    assert committed(tmp_path / "one.zarr").url == committed(tmp_path / "again.zarr").url, "equal stores are one"


@pytest.mark.usefixtures("small_chunks")
def test_a_writer_that_comes_late_touches_nothing(root: str, tmp_path: Path, mirrors: Path) -> None:
    write_to(root)
    with draft(tmp_path / "x.zarr") as going:
        where = going.parts_url or ""
        soon = store.set_aside(where, {"rows": CONTENT})
        going.adopt(0, soon)
        np.testing.assert_array_equal(next(going.parts())["rows"], CONTENT)
    work(tmp_path / "x.zarr")
    before = bucket.listed(root, "features")
    store.set_aside(where, {"rows": CONTENT})
    lost(mirrors)
    assert bucket.listed(root, "features") == before
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("before, after", [("local", "root"), ("root", "local"), ("root", "root")])
def test_chunks_are_taken_over_from_wherever_they_lie(
    root: str, tmp_path: Path, mirrors: Path, before: str, after: str
) -> None:
    write_to(root if before == "root" else LOCAL)
    work(tmp_path / "old.zarr")
    old = committed(tmp_path / "old.zarr")
    lost(mirrors)
    write_to(root if after == "root" else LOCAL)
    kept = {name: list(its.keys) for name, its in old.specs.items()}
    with store.Draft(tmp_path / "new.zarr", INFO, dict(old.specs), old, kept) as going:
        assert all(going.finished(name, key) for name, keys in kept.items() for key in keys)
        going.commit()
    lost(mirrors)
    assert committed(tmp_path / "new.zarr").fingerprint == old.fingerprint
    np.testing.assert_array_equal(committed(tmp_path / "new.zarr").read("features"), CONTENT)


@pytest.mark.usefixtures("small_chunks")
def test_the_oldest_mirrors_make_room(tmp_path: Path, mirrors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_to(f"file://{tmp_path}/objects")
    work(tmp_path / "x.zarr")
    there = list(mirrors.rglob("c/*/0"))
    free = iter([0, mirror.SPARE, 3 * mirror.SPARE])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    mirror.make_room()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4 * mirror.SPARE))
    assert 0 < sum(file.exists() for file in there) < len(there)
    np.testing.assert_array_equal(committed(tmp_path / "x.zarr").read("features"), CONTENT)


def test_what_cannot_be_used_is_said_in_one_line(server: str, project: Path, run: Run) -> None:
    for place, said in (
        ("s3://nobucket/x", "make the bucket first"),
        ("ftp://x/y", "should be local or a URL"),
        ("gs://", "should be local or a URL"),
    ):
        set_params(data__store=place)
        assert said in run("extract --split test", ok=False).stderr


def test_storage_that_does_not_answer_is_no_damage(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore import exceptions

    write_to(f"{server}/{tmp_path.name}")
    work(tmp_path / "x.zarr")
    lost(tmp_path / "mirrors")

    class Down:
        def get(self, *_: object) -> None:
            raise exceptions.GenericError("Generic S3 error: connection refused")

    monkeypatch.setattr(bucket, "_obstore", Down)
    with pytest.raises(OSError, match="no object storage answers") as raised:
        committed(tmp_path / "x.zarr").read("features")
    assert raised.value.errno == errno.EREMOTEIO


def test_every_stage_makes_the_same_store_there(server: str, quickstart: Path, run: Run, project: Path) -> None:
    set_params(data__store=f"{server}/{project.name}")
    for line in ("extract", "build-dict", "gramian", "encode", "encode --split train --for-training"):
        run(line)
    for line in ("train-decoder", "decode", "baselines", "evaluate"):
        run(line)
    marks = [file for file in quickstart.rglob("data/**/zarr.json") if disk.kind_of(file.parent)]
    assert len(marks) > 9
    for file in marks:
        here = project / file.relative_to(quickstart)
        found = [json.loads(mark.read_bytes())["attributes"]["dseld"]["fingerprint"] for mark in (here, file)]
        assert found[0] == found[1], file
    assert not list((project / "data").rglob("c/0*"))
    assert (project / "metrics.json").read_bytes() == (quickstart / "metrics.json").read_bytes()
    assert "0 damaged" in run("verify").output


def test_a_dictionary_grows_there_and_gc_leaves_what_is_named(server: str, project: Path, run: Run) -> None:
    image_folder(project / "images", {"ant": 8, "bee": 8})
    image_folder(project / "images", {"ant": 2, "bee": 2}, "test", seed=1)
    image_folder(project / "more", {"cat": 6})
    root = f"{server}/{project.name}"
    set_params(data__store=root, data__dataset="folder:images", extract__workers=0)
    for line in ("extract", "build-dict", "gramian", "add-exemplars folder:more"):
        run(line)
    alone = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    assert alone.shape("atoms")[0] == 22
    assert "2 unused" in run("gc --older-than 0").output, "the dictionary and the Gramian that were smaller"
    assert "2 unused but younger than 30 days, 0 unused" in run("gc").output
    n = len(bucket.listed(root))
    assert "2 deleted" in run("gc --older-than 0 --yes").output
    assert 0 < len(bucket.listed(root)) < n
    shutil.rmtree(project / "mirrors")
    assert "0 damaged" in run("verify").output
    run("remove-exemplars train/ant/2.png")
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("labels").shape == (22,)


@pytest.mark.usefixtures("small_chunks")
def test_gc_keeps_drafts_and_what_dvc_can_go_back_to(project: Path, run: Run) -> None:
    root = f"file://{project}/objects"
    set_params(data__store=root)
    write_to(root)
    paths.DATA.mkdir()
    work(paths.features("train"))
    work(paths.features("test"), 1)
    cache = project / ".dvc/cache/files/md5/aa"
    cache.mkdir(parents=True)
    shutil.copy(paths.features("train") / "zarr.json", cache / "bb")
    (project / ".dvc/config").touch()
    shutil.rmtree(paths.features("train"))
    assert "2 in use, 0 unused" in run("gc --older-than 0").output
    (cache / "bb").unlink()
    assert "1 unused" in run("gc --older-than 0").output


def test_gc_of_a_project_on_the_disk_is_refused(project: Path, run: Run) -> None:
    assert "data.store is local" in run("gc", ok=False).stderr


def test_refused_access_names_the_credentials() -> None:
    from obstore import exceptions

    with pytest.raises(UserError, match="AWS_ACCESS_KEY_ID"), bucket._said("s3://bucket/x"):
        raise exceptions.PermissionDeniedError("<Code>AccessDenied</Code>")


@pytest.mark.parametrize("sign, said", bucket.WITHOUT.items())
def test_what_the_environment_lacks_is_said(sign: str, said: str) -> None:
    from obstore import exceptions

    with pytest.raises(UserError, match=said.split(":")[0]), bucket._said("s3://bucket/x"):
        raise exceptions.GenericError(f"Error performing PUT http://{sign}/latest")


@pytest.mark.usefixtures("small_chunks")
def test_gc_keeps_additions_elsewhere_and_large_marks(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, june = f"file://{project}/objects", tmp_path_factory.mktemp("shared") / "june.zarr"
    write_to(root)
    work(june)
    set_params(data__store=root, additions=[str(june)])
    assert "1 in use, 0 unused" in run("gc --older-than 0").output
    cached = project / "cached"
    group = json.loads((june / "zarr.json").read_bytes())
    group["attributes"] = {"a": "x" * 2**17} | group["attributes"]
    cached.write_text(json.dumps(group))
    monkeypatch.setattr(gc, "_cached", lambda: [cached])
    set_params(additions=[])
    assert "1 in use, 0 unused" in run("gc --older-than 0").output, "a mark names a chunk a line: it may be long"


def test_gc_deletes_nothing_while_a_store_does_not_tell_what_it_has(project: Path, run: Run) -> None:
    root = f"file://{project}/objects"
    set_params(data__store=root)
    write_to(root)
    work(paths.features("train"))
    (paths.features("train") / "zarr.json").write_text("{")
    assert "does not tell what it has there" in run("gc --older-than 0 --yes", ok=False).stderr
    assert bucket.listed(root)
