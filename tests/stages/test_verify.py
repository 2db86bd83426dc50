"""`dseld verify` looks at every byte that counts, and its exit code says whether all is as committed."""

import random
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dseld_cli import store
from dseld_cli.cli.app import app
from dseld_cli.store import disk
from dseld_cli.store import project as paths
from dseld_cli.store.check import check
from tests.conftest import Run, as_format_2, image_folder, set_params


def verify(*options: str) -> Result:
    return CliRunner().invoke(app, ["verify", *options])


@pytest.fixture
def small(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of a few atoms, in chunks of 16 rows."""
    monkeypatch.setattr(store.spec, "ROWS", 16)
    for line in ("extract --limit-per-class 3", "build-dict --size 25", "gramian"):
        run(line)
    return project


def test_a_project_that_is_whole_is_said_to_be(small: Path) -> None:
    found = verify()
    assert found.exit_code == 0, found.output
    assert "data/gramian.zarr: gramian, all 3 chunks as committed" in found.stdout
    assert "5 stores and drafts, 0 damaged" in found.stdout


def test_an_empty_project_is_whole(project: Path) -> None:
    assert verify().exit_code == 0


def test_every_file_of_every_store_counts(small: Path) -> None:
    files = [path for path in paths.DATA.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(files) > 30
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        found = verify()
        assert found.exit_code == 1, file
        lines = [line for line in found.stdout.splitlines() if line.startswith("DAMAGED")]
        assert len(lines) == 1, lines
        assert str(file).split(".zarr")[0] in lines[0]
        file.write_bytes(content)
    assert verify().exit_code == 0


def test_a_bit_that_flips_anywhere_in_metadata_is_seen(small: Path) -> None:
    draw = random.Random(0)
    stores = [paths.features("train"), paths.BASE, paths.DICTIONARY, paths.GRAMIAN]
    for path in stores:
        assert not check(path).damaged
    for file in [file for path in stores for file in path.rglob("zarr.json")]:
        path, content = next(path for path in stores if path in file.parents), file.read_bytes()
        for at in draw.sample(range(len(content)), 24):
            flipped = bytearray(content)
            flipped[at] ^= 1 << draw.randrange(8)
            file.write_bytes(flipped)
            assert check(path).damaged, (file, at, bytes(flipped[max(0, at - 20) : at + 20]))
        file.write_bytes(content)


def test_words_that_describe_an_array_are_written_again_as_they_were(small: Path) -> None:
    file = paths.GRAMIAN / "gramian/zarr.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"inner products", b"inner produkts"))
    store.open_store(paths.GRAMIAN, store.GramianInfo)  # dseld does not read them
    found = verify()
    assert found.exit_code == 1
    assert "words that describe array gramian" in found.stdout
    assert verify("--repair").exit_code == 0
    assert file.read_bytes() == content


def test_damaged_metadata_is_written_anew(small: Path) -> None:
    file = paths.GRAMIAN / "gramian/zarr.json"
    content = file.read_bytes()
    file.write_bytes(b"")
    assert verify().exit_code == 1
    assert verify("--repair").exit_code == 0
    assert file.read_bytes() == content


def test_damaged_metadata_of_stores_of_the_format_before_is_written_anew(small: Path) -> None:
    as_format_2(paths.features("train"), paths.BASE, paths.DICTIONARY, paths.GRAMIAN)
    files = [paths.DICTIONARY / "atoms/zarr.json", paths.GRAMIAN / "gramian/zarr.json"]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(b"")
    assert verify().exit_code == 1
    assert verify("--repair").exit_code == 0
    assert [file.read_bytes() for file in files] == before


def contents() -> dict[str, bytes]:
    """Every file below data/, but for locks."""
    return {str(file): file.read_bytes() for file in paths.DATA.rglob("*") if file.is_file() and file.suffix != ".lock"}


def test_repairing_touches_nothing_that_is_whole_and_restores_metadata_of_every_store(project: Path, run: Run) -> None:
    """At the sizes that users have: a dictionary's chunks are larger than it, as it grows."""
    image_folder(project / "images", {"ant": 20, "bee": 20})
    image_folder(project / "images", {"ant": 8, "bee": 8}, "test", seed=1)
    image_folder(project / "more", {"ant": 2, "wasp": 3}, seed=2)
    set_params(data__dataset="folder:images", extract__workers=0, lca__lambda=0.5, build_dict__transform="within-class")
    for line in ("extract", "build-dict", "add-exemplars folder:more", "gramian", "encode", "decode"):
        run(line)
    before = contents()
    assert verify("--repair").exit_code == 0
    assert contents() == before
    arrays = [
        Path(name) for name in before if name.endswith("zarr.json") and not Path(name).parent.name.endswith("zarr")
    ]
    assert len(arrays) > 20
    for file in arrays:
        file.write_bytes(b"{}")
    assert verify().exit_code == 1
    assert verify("--repair").exit_code == 0
    assert contents() == before


def test_metadata_that_the_chunks_would_not_fit_is_not_written(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a version that chunked otherwise."""
    for file in (paths.BASE / "atoms/zarr.json", paths.GRAMIAN / "gramian/zarr.json"):
        file.write_bytes(b"")
    before = contents()
    monkeypatch.setattr(store.spec, "ROWS", 8)
    assert verify("--repair").exit_code == 1
    assert contents() == before


def test_a_draft_of_a_dictionary_is_looked_through(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in ("extract", "build-dict --base-only"):
        run(line)
    with monkeypatch.context() as patch:
        patch.setattr(store.Draft, "commit", interrupted)
        assert CliRunner().invoke(app, ["add-exemplars"]).exit_code == 130
    found = verify()
    assert "dictionary.zarr.partial: draft of dictionary, 3 pieces finished" in found.stdout
    assert found.exit_code == 0


def interrupted(draft: object) -> None:
    raise KeyboardInterrupt


def test_what_a_kill_left_is_put_in_order(small: Path) -> None:
    paths.GRAMIAN.rename(disk.beside(paths.GRAMIAN, ".retired"))
    shutil.copytree(paths.BASE, disk.beside(paths.BASE, ".partial"))
    (paths.DICTIONARY / disk.PLAN).write_text("{}")
    assert verify().exit_code == 0, "nothing is lost"
    assert verify("--repair").exit_code == 0
    assert paths.GRAMIAN.is_dir()
    assert not disk.beside(paths.BASE, ".partial").exists()
    assert not (paths.DICTIONARY / disk.PLAN).exists()


def test_a_draft_is_looked_through(small: Path) -> None:
    old = store.open_store(paths.GRAMIAN, store.GramianInfo)
    shutil.rmtree(paths.GRAMIAN)
    with store.Draft(paths.GRAMIAN, old.info, {"gramian": store.Spec.tiles("float32", 25)}) as draft:
        for key in ((0, 0), (1, 0)):
            draft.write("gramian", key, old_tile(key))
    found = verify()
    assert found.exit_code == 0
    assert "data/gramian.zarr.partial: draft of gramian, 2 pieces finished: the same command goes on" in found.stdout
    (disk.beside(paths.GRAMIAN, ".partial") / "gramian/c/1/0").write_bytes(b"")
    found = verify()
    assert found.exit_code == 1
    assert "1 of 2 finished pieces are damaged" in found.stdout


def old_tile(key: store.Key) -> store.Array:
    import numpy as np

    return np.ones((16 if key[0] == 0 else 9, 16), np.float32)


def test_what_is_not_ours_is_named_and_left(small: Path) -> None:
    mine = Path("data/base.zarr.partial")
    mine.mkdir()
    (mine / "photo.jpg").write_text("mine")
    for options in ((), ("--repair",)):
        found = verify(*options)
        assert found.exit_code in (1, 2)
        assert (mine / "photo.jpg").read_text() == "mine"


def test_a_mark_that_cannot_be_read_is_named_with_what_makes_the_store(small: Path) -> None:
    (paths.GRAMIAN / "zarr.json").write_bytes(b"x")
    assert "move it away, and run `dseld gramian`" in verify("--repair").stdout


def test_stores_elsewhere_are_looked_through_when_named(small: Path, tmp_path: Path) -> None:
    shutil.copytree(paths.BASE, tmp_path / "elsewhere.zarr")
    (tmp_path / "elsewhere.zarr/atoms/c/0/0").write_bytes(b"")
    assert verify().exit_code == 0
    assert verify("elsewhere.zarr").exit_code == 1


@pytest.mark.parametrize("name", ["", ".", "..", "/", "params.yaml", "nowhere"])
def test_what_cannot_be_a_store_is_said_to_be_none(project: Path, name: str) -> None:
    found = verify(name)
    assert found.exit_code == 2
    assert "no store of dseld's: those end in .zarr" in " ".join(found.stderr.split())
