"""The Gramian and the dictionary grow, shrink, survive kills and damage; tiles of 16 make small stores many tiles."""

import fcntl
import functools
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dseld_cli import store
from dseld_cli.cli.app import app
from dseld_cli.config import load as params
from dseld_cli.dictionary import gramian_growth as gramian
from dseld_cli.dictionary import tiles
from dseld_cli.dictionary.gramian import rectangle
from dseld_cli.dictionary.manifest import REMOVED, Composition
from dseld_cli.store import project as paths
from tests.conftest import ROOT, Run, as_format_2, image_folder, set_params
from tests.reference import lca_float64

IDENTITY = {"backbone": "none", "weights": "none", "transform": "pixels / 255"}
FEATURES = 12
SIDE = 16


class Killed(BaseException):
    """What stands for a kill: nothing catches it."""


def features(path: Path, n: int, seed: int, classes: tuple[str, ...] = ("ant", "bee")) -> None:
    """Commit n positive random features."""
    rng = np.random.default_rng(seed)
    store.write(
        path,
        store.FeaturesInfo(
            split="test" if path.stem == "test" else "train", classes=classes, extractor=IDENTITY, seed=seed
        ),
        {
            "features": rng.random((n, FEATURES), np.float32),
            "labels": np.arange(n) % len(classes),
            "source": np.array([f"train/{seed}-{i}.png" for i in range(n)], dtype=np.dtypes.StringDType()),
        },
    )


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Projects with a base of so many atoms, its Gramian, and two feature stores to add; each built once."""

    @functools.cache
    def built(n: int) -> Path:
        path = tmp_path_factory.mktemp("base")
        shutil.copy(ROOT / "params.yaml", path)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(path)
            patch.setattr(store.spec, "ROWS", SIDE)
            set_params()  # without the comments, which take long to read
            features(paths.features("train"), n, 0)
            features(Path("data/additions/three.zarr"), 3, 1)
            features(Path("data/additions/forty.zarr"), 40, 2, ("bee", "cat"))
            features(paths.features("test"), 6, 9)
            for command in ("build-dict", "gramian"):
                assert CliRunner().invoke(app, command).exit_code == 0
        return path

    return built


@pytest.fixture
def grown(
    bases: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A base of 75 atoms (or as many as asked for) with its Gramian of 15 tiles, and two feature stores to add."""
    shutil.copytree(bases(getattr(request, "param", 75)), tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(store.spec, "ROWS", SIDE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def atoms() -> store.Array:
    return store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("atoms")


def dense() -> store.Array:
    """The Gramian in force, whole."""
    opened = store.open_store(paths.GRAMIAN, store.GramianInfo)
    return rectangle(opened, slice(None), slice(None))


def tile(i: int, j: int) -> Path:
    return paths.GRAMIAN / f"gramian/c/{i}/{j}"


def tiles_there() -> dict[str, Path]:
    """Files of the tiles, by where they are."""
    folder = paths.GRAMIAN / "gramian/c"
    return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


def stamps() -> dict[str, tuple[int, bytes]]:
    """Modification time and bytes of each tile."""
    return {name: (p.stat().st_mtime_ns, p.read_bytes()) for name, p in tiles_there().items()}


def state() -> dict[str, bytes]:
    """All bytes of the dictionary, the Gramian and params.yaml; nothing lies beside them."""
    left = {p.name for p in Path("data").iterdir() if p.suffix in (".partial", ".retired")}
    assert not left
    files = [p for store_ in (paths.DICTIONARY, paths.GRAMIAN) for p in store_.rglob("*") if p.is_file()]
    return {str(p): p.read_bytes() for p in [*files, Path("params.yaml")]}


def assert_consistent() -> None:
    """The Gramian holds the float64 inner products of the atoms in force."""
    exact = atoms().astype(np.float64)
    np.testing.assert_allclose(dense(), exact @ exact.T, atol=1e-6)


def scratch(run: Run, *lines: str) -> None:
    """Make dictionary and Gramian again, from nothing."""
    shutil.rmtree(paths.DICTIONARY)
    shutil.rmtree(paths.GRAMIAN)
    run("add-exemplars")
    run("gramian")


def test_only_tiles_on_and_below_the_diagonal_are_stored_and_any_rectangle_is_read(grown: Path) -> None:
    assert sorted(stamps()) == sorted(f"{i}/{j}" for i in range(5) for j in range(i + 1))
    assert_consistent()
    opened, whole = store.open_store(paths.GRAMIAN, store.GramianInfo), dense()
    np.testing.assert_array_equal(whole[:SIDE, SIDE:], whole[SIDE:, :SIDE].T)
    edges = [slice(0, 1), slice(15, 17), slice(16, 32), slice(30, 75), slice(74, 75)]
    for rows, columns in itertools.product(edges, edges):
        np.testing.assert_array_equal(rectangle(opened, rows, columns), whole[rows, columns])


def test_what_was_committed_in_the_format_before_grows_as_if_it_were_of_today(grown: Path, run: Run) -> None:
    run("add-exemplars data/additions/forty.zarr")
    expected, n = {name: file.read_bytes() for name, file in tiles_there().items()}, len(atoms())
    run("remove-exemplars data/additions/forty.zarr")
    run("add-exemplars")
    run("gramian")
    as_format_2(paths.features("train"), paths.BASE, paths.DICTIONARY, paths.GRAMIAN)
    before = stamps()
    run("gramian")
    assert stamps() == before
    run("add-exemplars data/additions/forty.zarr")
    assert {name: file.read_bytes() for name, file in tiles_there().items()} == expected
    assert len(atoms()) == n
    kept = [name for name, found in stamps().items() if before.get(name) == found]
    assert len(kept) >= len(before) - 5  # the ragged edge alone is new
    mark = store.open_store(paths.GRAMIAN, store.GramianInfo).arrays["gramian"]
    assert {mark.digests[name].partition(":")[0] for name in kept} == {"sha256"}
    assert {found.partition(":")[0] for name, found in mark.digests.items() if name not in kept} == {"blake3"}
    assert_consistent()
    run("verify")


def test_the_panels_do_not_change_a_bit(grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()
    for rows in (1, 2, 3):
        shutil.rmtree(paths.GRAMIAN)
        monkeypatch.setattr(gramian, "PANEL", rows)
        run("gramian")
        assert state() == before


def test_an_intact_gramian_is_left_alone(grown: Path, run: Run) -> None:
    before = stamps()
    assert "up to date, all 15 tiles intact" in run("gramian").stdout
    assert stamps() == before


@pytest.mark.parametrize("added", ["three", "forty"])
def test_growing_keeps_old_tiles_and_equals_a_scratch_build(grown: Path, run: Run, added: str) -> None:
    before, old = stamps(), dense()
    run(f"add-exemplars data/additions/{added}.zarr")
    after = stamps()
    ragged = {f"4/{j}" for j in range(5)}
    assert {name: after[name] for name in before.keys() - ragged} == {n: before[n] for n in before.keys() - ragged}
    np.testing.assert_array_equal(dense()[:75, :75], old)
    assert_consistent()
    blocks = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    as_grown, fingerprint = {name: blocks.read(name) for name in blocks.arrays}, blocks.fingerprint
    grown_gramian = dense()
    scratch(run)
    again = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    assert again.fingerprint == fingerprint
    for name, content in as_grown.items():
        np.testing.assert_array_equal(again.read(name), content)
    np.testing.assert_allclose(grown_gramian, dense(), rtol=0, atol=1e-6)


def test_growing_computes_new_rows_only(grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    product = tiles.product

    def counted(rows, columns, known=None):  # type: ignore[no-untyped-def]
        r, c = known.shape if known is not None else (0, 0)
        computed.append(len(rows) * len(columns) - r * c)
        return product(rows, columns, known)

    monkeypatch.setattr(tiles, "product", counted)
    run("add-exemplars data/additions/three.zarr")
    assert sum(computed) == 3 * 78 + 3 * 11, "three rows, and in the ragged tile on the diagonal their mirror image"


def test_encoding_over_a_grown_dictionary_equals_the_recurrence(grown: Path, run: Run) -> None:
    run("add-exemplars data/additions/forty.zarr")
    set_params(lca__lambda=0.3)
    wanted = store.open_store(paths.features("test"), store.FeaturesInfo).read("features")
    true = lca_float64(wanted, atoms(), 0.3, 100, 100).code
    for source in ("atoms", "gramian"):
        run(f"encode --inhibition {source}")
        np.testing.assert_allclose(codes(len(true), 115), true, atol=1e-4)


def codes(n: int, m: int) -> store.Array:
    opened = store.open_store(paths.codes("test"), store.CodesInfo)
    found = np.zeros((n, m), np.float32)
    found[np.repeat(np.arange(n), np.diff(opened.read("indptr"))), opened.read("indices")] = opened.read("values")
    return found


@pytest.mark.parametrize("inhibition", ["atoms", "gramian"])
def test_a_removed_exemplar_never_fires_and_the_others_do_as_if_it_had_never_been(
    grown: Path, run: Run, inhibition: str
) -> None:
    set_params(lca__lambda=0.3)
    run(f"encode --inhibition {inhibition}")
    strongest = int(np.abs(codes(6, 75)).sum(axis=0).argmax())
    before = stamps()
    run(f"remove-exemplars --index {strongest}")
    changed = {name for name, stamp in stamps().items() if stamp != before[name]}
    assert changed == {f"{max(i, strongest // SIDE)}/{min(i, strongest // SIDE)}" for i in range(5)}
    assert_consistent()
    run(f"encode --inhibition {inhibition}")
    found, others = codes(6, 75), np.delete(np.arange(75), strongest)
    wanted = store.open_store(paths.features("test"), store.FeaturesInfo).read("features")
    true = lca_float64(wanted, atoms()[others], 0.3, 100, 100).code
    assert not found[:, strongest].any()
    np.testing.assert_allclose(found[:, others], true, atol=1e-4)
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source")[strongest] == REMOVED


def test_removal_is_undone_by_taking_it_off_the_list(grown: Path, run: Run) -> None:
    before = state()
    run("remove-exemplars train/0-7.png train/0-40.png")
    assert params.load().removals == ["train/0-7.png", "train/0-40.png"]
    assert "up to date" in run("add-exemplars").stdout
    set_params(removals=[])
    run("add-exemplars")
    run("gramian")
    after = state()
    assert {k: v for k, v in after.items() if k != "params.yaml"} == {
        k: v for k, v in before.items() if k != "params.yaml"
    }


def test_compaction_drops_tombstones_and_keeps_what_is_before_them(grown: Path, run: Run) -> None:
    whole, before = atoms(), stamps()
    place = [str(name) for name in store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source")].index(
        "train/0-7.png"
    )
    run("remove-exemplars train/0-7.png --compact")
    np.testing.assert_array_equal(atoms(), np.delete(whole, place, axis=0))
    assert_consistent()
    untouched = place // SIDE
    after = stamps()
    for i in range(untouched):
        assert all(after[f"{i}/{j}"] == before[f"{i}/{j}"] for j in range(i + 1))


def test_a_whole_addition_is_removed_by_its_name(grown: Path, run: Run) -> None:
    before = {k: v for k, v in state().items() if k != "params.yaml"}
    run("add-exemplars data/additions/three.zarr")
    kept = store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint
    run("add-exemplars data/additions/forty.zarr")
    run("remove-exemplars data/additions/forty.zarr")
    assert params.load().additions == ["data/additions/three.zarr"]
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint == kept
    assert_consistent()
    run("remove-exemplars data/additions/three.zarr")
    after = state()
    assert {k for k in before if after[k] != before[k]} <= {f"{tile(4, j)}" for j in range(5)} | {
        f"{paths.GRAMIAN}/zarr.json"
    }, "the ragged tiles, of which other shapes of products may round otherwise"


def test_an_exemplar_of_an_addition_is_removed(grown: Path, run: Run) -> None:
    run("add-exemplars data/additions/three.zarr")
    run("remove-exemplars data/additions/three.zarr:train/1-1.png")
    assert np.flatnonzero(~atoms().any(axis=1)).tolist() == [76]
    assert_consistent()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("remove-exemplars", "nothing to remove"),
        ("remove-exemplars train/nobody.png", "train/nobody.png is neither an image in data/dictionary.zarr nor"),
        ("remove-exemplars --index 75", "places 0 to 74"),
        ("remove-exemplars --index -1", "places 0 to 74"),
        ("remove-exemplars --index 3 --compact", "places change in a compaction"),
        ("add-exemplars --dry-run", "--dry-run takes a SOURCE"),
        ("add-exemplars folder:nowhere", "no folder nowhere: give one that has images"),
    ],
)
def test_a_mistake_changes_nothing(grown: Path, run: Run, command: str, said: str) -> None:
    before = state()
    assert said in run(command, ok=False).stderr
    assert state() == before


def test_dry_run_says_what_it_would_add_and_changes_nothing(grown: Path, run: Run) -> None:
    before = state()
    said = run("add-exemplars data/additions/forty.zarr --dry-run").stdout
    assert state() == before
    assert "would add 40 images to 75 atoms; new classes: cat" in said
    run("add-exemplars data/additions/forty.zarr")
    new = [name for name in stamps() if int(name.split("/")[0]) >= 75 // SIDE]
    assert f"and {len(new)} tiles of the Gramian" in said


@pytest.mark.parametrize("command", ["add-exemplars data/additions/three.zarr", "remove-exemplars --index 5"])
def test_params_yaml_changes_last(grown: Path, run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, order = Path("params.yaml").read_text(), []
    replace, replaced = store.disk.replace, Path.replace

    def noted_store(new: Path, path: Path) -> None:
        order.append(path.name)
        assert Path("params.yaml").read_text() == before
        replace(new, path)

    def noted_file(self: Path, target: Path) -> Path:
        order.append(target.name)
        return replaced(self, target)

    monkeypatch.setattr(store.disk, "replace", noted_store)
    monkeypatch.setattr(Path, "replace", noted_file)
    said = run(command).stdout
    assert [name for name in order if name.endswith((".zarr", ".yaml"))] == [
        "dictionary.zarr",
        "gramian.zarr",
        "params.yaml",
    ]
    assert "next: `dvc repro`" in said


@pytest.mark.parametrize("command", ["add-exemplars data/additions/three.zarr", "remove-exemplars train/0-5.png"])
def test_a_params_yaml_that_cannot_be_changed_is_refused_before_anything_changes(
    grown: Path, run: Run, command: str
) -> None:
    path = Path("params.yaml")
    path.write_text(
        path.read_text().replace("additions: []", "additions: &a []").replace("compact:", "x: *a\ncompact:")
    )
    before = state()
    run(command, ok=False)
    assert state() == before


def test_damage_that_stops_growth_leaves_params_yaml_alone(grown: Path, run: Run) -> None:
    (Path("data/additions/three.zarr") / "features/c/0/0").write_bytes(b"")
    before = state()
    assert "data/additions/three.zarr is damaged" in run("add-exemplars data/additions/three.zarr", ok=False).stderr
    assert state() == before


def test_what_is_changed_by_hand_during_growth_stays(grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Composition.block

    def slow(self: Composition, name: str, part: slice) -> store.Array:
        set_params(lca__lambda=0.7)
        return block(self, name, part)

    monkeypatch.setattr(Composition, "block", slow)
    run("add-exemplars data/additions/three.zarr")
    assert params.load().additions == ["data/additions/three.zarr"]
    assert params.load().lca.lambda_ == 0.7


def test_a_place_is_refused_where_params_yaml_lists_something_else(grown: Path, run: Run) -> None:
    run("add-exemplars data/additions/three.zarr")
    set_params(additions=["data/additions/forty.zarr"])
    before = state()
    assert "does not list what data/dictionary.zarr has there" in run("remove-exemplars --index 76", ok=False).stderr
    assert state() == before
    run("remove-exemplars --index 5")
    assert np.flatnonzero(~atoms().any(axis=1)).tolist() == [5]


def test_adding_twice_changes_nothing(grown: Path, run: Run) -> None:
    run("add-exemplars data/additions/three.zarr")
    before = state()
    for line in ("add-exemplars data/additions/three.zarr", "add-exemplars ./data/additions/three.zarr/ --dry-run"):
        assert "among the additions already" in run(line).stdout
        assert state() == before


def test_duplicates_are_reported(grown: Path, run: Run) -> None:
    opened = store.open_store(paths.features("train"), store.FeaturesInfo)
    rows = np.array([5, 5, 6])
    arrays = {name: opened.take(name, rows) for name in opened.arrays}
    arrays["features"][2] += 0.5
    store.write(Path("data/additions/twice.zarr"), opened.info, arrays)
    said = " ".join(run("add-exemplars data/additions/twice.zarr").stderr.split())
    assert "data/additions/twice.zarr:train/0-5.png has the same features as train/0-5.png" in said
    assert "2 of the 3 images" in said


def test_a_folder_of_images_joins_as_its_extracted_features_would(project: Path, run: Run) -> None:
    image_folder(Path("images"), {"ant": 9, "bee": 8})
    image_folder(Path("images"), {"ant": 1, "bee": 1}, "test")
    image_folder(Path("june"), {"bee": 2, "dog": 3}, seed=4)
    set_params(data__dataset="folder:images")
    run("extract")
    run("build-dict")
    assert "would add 5 images to 17 atoms; new classes: dog" in run("add-exemplars folder:june --dry-run").stdout
    run("add-exemplars folder:./june")
    assert params.load().additions == ["folder:june"]
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    assert dictionary.info.classes == ("ant", "bee", "dog")
    assert dictionary.read("source")[17] == "folder:june:train/bee/0.png"
    run("extract --dataset folder:june --split train --output june.zarr")
    true = store.open_store(Path("june.zarr"), store.FeaturesInfo).read("features").astype(np.float64)
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    np.testing.assert_allclose(dictionary.read("atoms")[17:], true, atol=1e-7)
    shutil.rmtree("data/features/added")
    shutil.rmtree(paths.DICTIONARY)
    run("add-exemplars")
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint == dictionary.fingerprint, (
        "as in a new clone"
    )


@pytest.fixture
def june(project: Path, run: Run) -> Path:
    """A base of 8 images, and a folder of two that joined it."""
    image_folder(Path("images"), {"ant": 4, "bee": 4})
    image_folder(Path("june"), {"ant": 1}, seed=4)
    Image.new("RGB", (6, 6), "teal").save("june/train/ant/a.bmp")
    set_params(data__dataset="folder:images")
    run("extract --split train")
    run("build-dict")
    run("add-exemplars folder:june")
    return project


def test_an_added_file_of_the_same_size_and_other_content_is_extracted_again(june: Path, run: Run) -> None:
    before, size = atoms(), Path("june/train/ant/a.bmp").stat().st_size
    Image.new("RGB", (6, 6), "olive").save("june/train/ant/a.bmp")
    assert Path("june/train/ant/a.bmp").stat().st_size == size
    run("add-exemplars")
    np.testing.assert_array_equal(np.any(atoms() != before, axis=1), [False] * 9 + [True])


def test_an_added_folder_that_was_checked_out_anew_is_not_extracted_again(june: Path, run: Run) -> None:
    before = state()
    shutil.copytree("june", "copy")
    shutil.rmtree("june")
    Path("copy").rename("june")
    assert "up to date" in run("add-exemplars").stdout
    assert state() == before
    shutil.rmtree("june")
    assert "up to date" in run("add-exemplars").stdout, "as where only the features were pulled"


def test_images_of_an_added_class_may_join_the_test_split(june: Path, run: Run) -> None:
    image_folder(Path("images"), {"ant": 1, "bee": 1, "cow": 2}, "test", seed=1)
    image_folder(Path("july"), {"ant": 1, "bee": 1, "cow": 3, "dog": 2}, seed=5)
    refused = "class cow has no folder in images/train; classes come from there, and from additions"
    assert refused in run("extract --split test", ok=False).stderr
    run("add-exemplars folder:july")
    run("extract --split test")
    features = store.open_store(paths.features("test"), store.FeaturesInfo)
    assert features.info.classes == ("ant", "bee", "cow"), "those of train first; only those that test has"
    assert features.read("labels").tolist() == [0, 1, 2, 2]
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    assert dictionary.info.classes == ("ant", "bee", "cow", "dog")
    set_params(lca__lambda=0.3, decoders=["class-sum"], trained_decoders=[], baselines__names=["nearest-class-mean"])
    for command in ("encode", "decode", "baselines", "evaluate"):
        run(command)
    lines = (paths.evaluation("test") / "per_class.csv").read_text().splitlines()
    assert "test,cow,100.0" in lines


def test_a_folder_that_lies_deep_joins(june: Path, run: Run) -> None:
    deep = "/".join(["a-folder-of-forty-characters-in-its-name"] * 7) + "/june"
    shutil.copytree("june", deep)
    Image.new("RGB", (6, 6), "olive").save(f"{deep}/train/ant/a.bmp")
    other = deep.replace("a-", "b-", 1)
    shutil.copytree(deep, other)
    Image.new("RGB", (6, 6), "navy").save(f"{other}/train/ant/a.bmp")
    for path in (deep, other):
        run(f"add-exemplars folder:{path}")
    assert len(atoms()) == 14
    assert params.load().additions == ["folder:june", f"folder:{deep}", f"folder:{other}"]


def test_an_addition_that_is_gone_can_be_removed(june: Path, run: Run) -> None:
    shutil.rmtree("june")
    shutil.rmtree(paths.ADDED)
    assert "no folder june" in run("add-exemplars", ok=False).stderr
    run("remove-exemplars folder:june")
    assert len(atoms()) == 8
    assert params.load().additions == []


def test_an_addition_that_was_removed_comes_again_whole(june: Path, run: Run) -> None:
    run("add-exemplars folder:june")
    whole = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    images = [str(name) for name in whole.read("source") if str(name).startswith("folder:june:")]
    run(f"remove-exemplars {images[0]}")
    run(f"relabel {images[1]} bee")
    run("remove-exemplars folder:june")
    listed = params.load()
    assert (listed.additions, listed.removals, listed.relabels) == ([], [], [])
    run("add-exemplars folder:june")
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint == whole.fingerprint


def test_what_joins_is_looked_at(june: Path, run: Run) -> None:
    image_folder(june / "july", {"Ant ": 2, "moth": 2}, seed=7)
    said = run("add-exemplars folder:july")
    assert "new classes: Ant , moth" in said.stdout
    assert "class 'Ant ' joins beside 'ant'" in said.stderr and "moth" not in said.stderr
    again = run(f"add-exemplars folder:{june}/july")
    assert "folder:july is among the additions already" in again.stdout
    assert params.load().additions == ["folder:june", "folder:july"]
    image_folder(Path("images"), {"ant": 2, "bee": 2}, "test", seed=8)
    run("extract --split test")
    assert "images that evaluate looks at" in run("add-exemplars data/features/test.zarr").stderr


def test_a_store_joins_by_whatever_name(june: Path, run: Run) -> None:
    shutil.copytree(paths.features("train"), june / "august")
    run("add-exemplars august")
    assert params.load().additions == ["folder:june", "august"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("add-exemplars june", "a folder of images is folder:june"),
        ("add-exemplars ''", "name what is to be added"),
        ("add-exemplars folder:", "name what is to be added"),
        ("add-exemplars folder: --dry-run", "name what is to be added"),
        ("remove-exemplars ''", "a name is empty"),
        ("relabel '' ant", "an image and its class both have a name"),
        ("relabel train/ant/0.png ''", "an image and its class both have a name"),
    ],
)
def test_names_that_name_nothing_are_refused(june: Path, run: Run, command: str, said: str) -> None:
    before = Path("params.yaml").read_bytes()
    assert said in run(command, ok=False).stderr
    assert Path("params.yaml").read_bytes() == before


def test_a_removal_that_names_no_image_is_pointed_out(grown: Path, run: Run) -> None:
    set_params(removals=["train/0-5.png", "train/0-5.jpg"])
    said = " ".join(run("add-exemplars").stderr.split())
    assert "removals: train/0-5.jpg names no image of the base or an addition" in said
    assert "0-5.png names" not in said


def test_another_base_leaves_no_stale_tile(grown: Path, run: Run) -> None:
    run("add-exemplars data/additions/forty.zarr")
    for line in ("build-dict --seed 5", "build-dict --size 20"):
        run(line)
        run("gramian")
        assert_consistent()
    assert len(stamps()) == 10, "60 atoms"


@pytest.mark.parametrize(
    ("damage", "place"),
    [("truncate", (0, 0)), ("zero", (3, 1)), ("flip", (4, 4)), ("delete", (4, 2)), ("another tile", (4, 1))],
)
def test_a_damaged_tile_is_named_and_made_anew_alone(
    grown: Path, run: Run, damage: str, place: tuple[int, int]
) -> None:
    before = stamps()
    file = tile(*place)
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "zero":
        file.write_bytes(bytes(len(content)))
    elif damage == "flip":
        content[100] ^= 4
        file.write_bytes(content)
    elif damage == "another tile":
        shutil.copy(tile(2, 1), file)
    said = run("encode --inhibition gramian", ok=False).stderr
    assert f"data/gramian.zarr is damaged: array gramian, tile (row {place[0]}, column {place[1]})" in said
    assert "`dseld gramian` again" in said
    run("gramian")
    after = stamps()
    name = f"{place[0]}/{place[1]}"
    assert after.pop(name)[1] == before.pop(name)[1]
    assert after == before
    run("encode --inhibition gramian")


def test_damage_in_the_ragged_row_is_mended_while_growing(grown: Path, run: Run) -> None:
    tile(4, 2).write_bytes(b"")
    run("add-exemplars data/additions/three.zarr")
    assert_consistent()


def test_a_damaged_block_of_atoms_is_made_anew(grown: Path, run: Run) -> None:
    before = state()
    (paths.DICTIONARY / "atoms/c/2/0").write_bytes(b"")
    (paths.DICTIONARY / "source/c/1").unlink()
    run("add-exemplars")
    assert state() == before


def test_a_tile_of_an_older_version_is_not_taken_for_the_newer_one(grown: Path, run: Run) -> None:
    """As after a checkout that stopped half-way."""
    old = tile(4, 1).read_bytes()
    run("add-exemplars data/additions/three.zarr")
    tile(4, 1).write_bytes(old)
    assert "tile (row 4, column 1)" in run("encode --inhibition gramian", ok=False).stderr


def test_half_precision_halves_the_tiles_and_rounds(grown: Path, run: Run) -> None:
    single, size = dense(), tile(2, 1).stat().st_size
    set_params(gramian__dtype="float16")
    run("gramian")
    assert tile(2, 1).stat().st_size - 4 == (size - 4) / 2
    np.testing.assert_array_equal(dense(), single.astype(np.float16))
    run("add-exemplars data/additions/three.zarr")
    np.testing.assert_array_equal(dense()[:75, :75], single.astype(np.float16))
    exact = atoms().astype(np.float64)
    np.testing.assert_allclose(dense(), exact @ exact.T, atol=2.5e-4)


def steps(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Stop, as a kill would, before the step number `limit` of all that changes the disk."""
    count = itertools.count()

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **options: object) -> object:
            if next(count) >= limit:
                raise Killed
            return function(*args, **options)

        return step

    for owner, name in (
        (os, "rename"),
        (os, "replace"),
        (os, "link"),
        (Path, "rename"),
        (Path, "replace"),
        (shutil, "rmtree"),
        (store.Draft, "_note"),
    ):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("grown", [20], indirect=True)
@pytest.mark.parametrize("command", ["add-exemplars data/additions/three.zarr", "remove-exemplars --index 5"])
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_step_the_old_or_the_new_dictionary_is_in_force_and_a_rerun_completes_it(
    grown: Path, run: Run, command: str, stride: int
) -> None:
    shutil.copytree("data", "begin")
    shutil.copy("params.yaml", "begin.yaml")
    old = store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint
    run(command)
    end, new = state(), store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint
    for limit in itertools.count(0, stride):
        shutil.rmtree("data")
        shutil.copytree("begin", "data")
        shutil.copy("begin.yaml", "params.yaml")
        with pytest.MonkeyPatch.context() as patch:
            steps(patch, limit)
            try:
                run(command)
                break
            except (Killed, AssertionError):
                pass
        assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint in (old, new)
        atoms()
        run(command)
        assert state() == end
    assert limit > 20


def test_a_killed_gramian_goes_on_at_the_missing_tiles_and_ends_the_same(
    grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = state()
    adopt, written = store.Draft.adopt_chunk, []
    monkeypatch.setattr(store.Draft, "adopt_chunk", lambda self, *args: (written.append(args[1]), adopt(self, *args)))
    for limit in itertools.count():
        shutil.rmtree(paths.GRAMIAN, ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            steps(patch, limit)
            try:
                run("gramian")
                break
            except (Killed, AssertionError):
                pass
        first = len(written)
        run("gramian")
        assert len(set(written)) == 15
        assert first + 15 - len(written) >= -1, "one tile may have been in flight"
        assert state() == end
        written.clear()
    assert limit > 15


def test_a_full_disk_leaves_the_old_version_in_force(grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint, dense()

    def full(self: store.Draft[store.Info], name: str, key: store.Key, content: store.Array) -> None:
        raise OSError(28, "No space left on device", str(self.partial))

    with monkeypatch.context() as patch:
        patch.setattr(store.Draft, "write", full)
        assert "No space left on device" in run("add-exemplars data/additions/three.zarr", ok=False).stderr
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint == before[0]
    np.testing.assert_array_equal(dense(), before[1])
    run("add-exemplars data/additions/three.zarr")
    assert len(atoms()) == 78


def test_two_at_once_one_is_refused(grown: Path, run: Run) -> None:
    for line in ("encode", "encode --split train", "train-decoder"):
        run(line)
    before = state()
    for path, commands in {
        paths.DICTIONARY: ["add-exemplars data/additions/three.zarr", "remove-exemplars --index 1", "add-exemplars"],
        paths.GRAMIAN: ["gramian"],
        paths.BASE: ["build-dict --seed 2"],
        paths.codes("test"): ["encode"],
        paths.predictions("class-sum", "test"): ["decode --decoder class-sum"],
        paths.network("shallow-nn"): ["train-decoder"],
        paths.baseline("cosine-knn", "test"): ["baselines"],
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{path}.lock").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            for command in commands:
                assert f"another dseld is changing {path}" in run(command, ok=False).stderr
    assert state() == before


def test_what_was_made_of_codes_over_the_smaller_dictionary_is_refused(grown: Path, run: Run) -> None:
    run("encode --lambda 0.3")
    run("decode")
    run("add-exemplars data/additions/three.zarr")
    assert "data/codes/test.zarr was not made from" in run("decode", ok=False).stderr
    assert "data/codes/test.zarr was not made from" in run("evaluate", ok=False).stderr


def test_products_with_a_known_corner_are_the_same(grown: Path) -> None:
    rows, columns = np.random.default_rng(0).random((2, 16, 12))
    true = rows @ columns.T
    for r, c in ((0, 16), (5, 16), (5, 5), (16, 3)):
        known = true[:r, :c].copy()
        np.testing.assert_allclose(tiles.product(rows, columns, known), true, atol=1e-12)


def test_blocks_of_atoms_that_stay_are_not_made_again(grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[slice] = []
    block = Composition.block

    def noted(self: Composition, name: str, part: slice) -> store.Array:
        made.append(part)
        return block(self, name, part)

    monkeypatch.setattr(Composition, "block", noted)
    run("add-exemplars data/additions/forty.zarr")
    assert sorted({part.start // SIDE for part in made}) == [4, 5, 6, 7]


def test_no_gramian_is_built_where_none_is_wanted_or_there_is_no_room(
    grown: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(gramian__build="never")
    assert "none is built (gramian.build: never)" in run("gramian").stdout
    assert list(paths.GRAMIAN.iterdir()) == []
    run("add-exemplars data/additions/three.zarr")
    assert "empty   data/" in run("verify").stdout
    run("encode")
    set_params(gramian__build="auto")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        assert "the disk has 0.0 GiB free" in run("gramian").stdout
        set_params(gramian__build="always")
        assert "gramian.build: the Gramian of 78 atoms takes" in run("gramian", ok=False).stderr
    run("gramian")
    assert_consistent()
    with monkeypatch.context() as patch:
        patch.setattr(gramian, "MOST", 10)
        assert "looking up pays for" in run("gramian", ok=False).stderr
    (paths.GRAMIAN / "mine.txt").write_text("mine")
    shutil.rmtree(paths.GRAMIAN)
    paths.GRAMIAN.mkdir()
    (paths.GRAMIAN / "mine.txt").write_text("mine")
    set_params(gramian__build="never")
    run("gramian", ok=False)
    assert (paths.GRAMIAN / "mine.txt").read_text() == "mine"
