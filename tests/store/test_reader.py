"""Stores: what is committed is what is read, anything else is refused by name."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from dseld_cli import store
from dseld_cli.errors import DoesNotFit, OutOfDate, StoreDamaged, StoreMissing, UserError
from dseld_cli.store import chunks, codec, reader, spec
from dseld_cli.store.check import check
from dseld_cli.store.spec import MEANINGS
from tests.conftest import as_format_2

ROWS = 16
INFO = store.FeaturesInfo(split="train", classes=("a", "b"), extractor={"backbone": "none"})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "ROWS", ROWS)


def arrays(n: int = ROWS + 10) -> dict[str, store.Array]:
    rng = np.random.default_rng(0)
    return {
        "features": rng.random((n, 3), np.float32),
        "labels": rng.integers(0, 2, n),
        "source": np.array([f"train/ä {i}.png" for i in range(n)], dtype=np.dtypes.StringDType()),
    }


@pytest.fixture
def committed(tmp_path: Path) -> store.Features:
    store.write(tmp_path / "x.zarr", INFO, arrays())
    return store.open_store(tmp_path / "x.zarr", store.FeaturesInfo)


def test_what_was_written_is_read(committed: store.Features) -> None:
    features = arrays()["features"]
    np.testing.assert_array_equal(committed.read("features"), features)
    np.testing.assert_array_equal(committed.rows("features", slice(5, ROWS + 2)), features[5 : ROWS + 2])
    np.testing.assert_array_equal(np.concatenate([b for _, b in committed.stream("features")]), features)
    np.testing.assert_array_equal(committed.mapped("features", (1, 0)), features[ROWS:])
    rows = np.array([20, 3, 3])
    np.testing.assert_array_equal(committed.take("features", rows), features[rows])
    assert committed.read("source")[ROWS] == f"train/ä {ROWS}.png"
    assert committed.info == INFO


def test_zarr_reads_what_we_write_and_is_told_what_it_means(committed: store.Features) -> None:
    group = zarr.open_group(committed.path, mode="r")
    for name, content in arrays().items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        np.testing.assert_array_equal(np.asarray(array[...]).astype(content.dtype), content)
        meaning = MEANINGS["features"][name]
        assert array.attrs.asdict() == {"meaning": meaning.text, "unit": meaning.unit}
        assert array.metadata.dimension_names == meaning.words  # type: ignore[union-attr]


def test_a_store_that_zarr_wrote_in_our_coding_is_read(committed: store.Features) -> None:
    """As versions up to 0.1 did, without attributes."""
    group = zarr.open_group(committed.path, mode="r+")
    for name, content in arrays().items():
        chunks = committed.chunks(name)
        fill = {"f": np.nan, "i": -1, "s": ""}[committed.arrays[name].dtype[0]]
        group.create_array(
            name,
            shape=content.shape,
            chunks=chunks,
            dtype=committed.arrays[name].dtype,
            compressors=zarr.codecs.Crc32cCodec(),
            fill_value=fill,
            overwrite=True,
        )[...] = content
    again = store.open_store(committed.path, store.FeaturesInfo)
    for name, content in arrays().items():
        np.testing.assert_array_equal(again.read(name), content)


def test_same_content_has_the_same_fingerprint_and_bytes(committed: store.Features, tmp_path: Path) -> None:
    found = {name: committed.read(name) for name in committed.arrays}
    store.write(tmp_path / "y.zarr", INFO, found)
    assert store.open_store(tmp_path / "y.zarr", store.FeaturesInfo).fingerprint == committed.fingerprint
    for file in committed.path.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "y.zarr" / file.relative_to(committed.path)).read_bytes()
    found["labels"][0] ^= 1
    store.write(tmp_path / "y.zarr", INFO, found)
    assert store.open_store(tmp_path / "y.zarr", store.FeaturesInfo).fingerprint != committed.fingerprint


def refused(path: Path, *words: str, kind: type[UserError], wanted: Any = store.FeaturesInfo) -> None:
    """Opening or reading the store is refused in one line that has these words."""
    with pytest.raises(kind) as error:
        opened = store.open_store(path, wanted)
        for name in opened.arrays:
            opened.read(name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) - len(str(path)) <= 500
    for word in (str(path), *words):
        assert word in str(error.value)


def test_a_missing_store_names_the_command_that_makes_it(tmp_path: Path) -> None:
    refused(tmp_path / "x.zarr", "dseld extract", kind=StoreMissing)


def test_another_kind_of_store_is_refused(committed: store.Features) -> None:
    refused(committed.path, "holds features", "gramian", kind=DoesNotFit, wanted=store.GramianInfo)


DAMAGES = ["truncate", "flip", "zero", "empty", "delete", "folder", "pipe"]


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    file.unlink()
    if how == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif how == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif how == "zero":
        file.write_bytes(bytes(len(content)))
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "folder":
        file.mkdir()
    elif how == "pipe":
        os.mkfifo(file)


@pytest.mark.parametrize("file", ["features/c/1/0", "labels/c/0", "source/c/1"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_chunk_is_refused(committed: store.Features, file: str, how: str) -> None:
    damage(committed.path / file, how)
    refused(committed.path, "damaged", file.split("/")[0], "`dseld extract` again", kind=StoreDamaged)
    with pytest.raises(StoreDamaged, match="`dseld extract` again"):  # mapped, too, whatever was known of it
        store.open_store(committed.path, store.FeaturesInfo).mapped(
            file.split("/")[0], tuple(map(int, file.split("/")[2:]))
        )


@pytest.mark.parametrize("name", ["features", "labels", "source"])
@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_metadata_of_an_array_is_named_with_what_mends_it(
    committed: store.Features, name: str, how: str
) -> None:
    """FAULTS B1: a byte may hit what is only descriptive; then the store is as good as before."""
    file = committed.path / name / "zarr.json"
    content = bytearray(file.read_bytes())
    if how == "flip":
        for at in range(len(content)):
            content[at] ^= 1
            file.write_bytes(content)
            content[at] ^= 1
            try:
                opened = store.open_store(committed.path, store.FeaturesInfo)
                np.testing.assert_array_equal(opened.read(name), arrays()[name])
            except StoreDamaged as error:
                assert "`dseld extract` again" in str(error)
    else:
        damage(file, how)
        refused(committed.path, "damaged", name, "`dseld extract` again", kind=StoreDamaged)


def test_every_flipped_byte_of_a_mark_is_refused_in_a_line(committed: store.Features) -> None:
    file = committed.path / "zarr.json"
    content = bytearray(file.read_bytes())
    for at in range(0, len(content), 3):
        for bit in (0, 5):
            content[at] ^= 1 << bit
            file.write_bytes(content)
            content[at] ^= 1 << bit
            try:
                assert store.open_store(committed.path, store.FeaturesInfo).fingerprint == committed.fingerprint
            except (StoreDamaged, DoesNotFit, OutOfDate) as error:
                assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("file", ["zarr.json", "features/zarr.json", "features/c/0/0"])
def test_a_disk_that_does_not_answer_is_not_taken_for_damage(
    committed: store.Features, monkeypatch: pytest.MonkeyPatch, number: int, file: str
) -> None:
    """FAULTS B3: who is told to delete a store because of an I/O error loses it."""
    opened = Path.open

    def failing(self: Path, *args: Any, **options: Any) -> Any:
        if self == committed.path / file:
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(OSError) as error:
        store.open_store(committed.path, store.FeaturesInfo).read("features")
    assert error.value.errno == number
    with pytest.raises(OSError):
        store.previous(committed.path, store.FeaturesInfo)
        committed.intact("features", (0, 0))


def test_an_array_edited_through_zarr_is_refused(committed: store.Features) -> None:
    array = zarr.open_group(committed.path, mode="r+")["labels"]
    array[7] = 1 - array[7]
    refused(committed.path, "damaged", "labels", "not what was committed", kind=StoreDamaged)


@pytest.mark.parametrize("name", ["features", "labels", "source"])
def test_a_resized_or_deleted_array_is_refused(committed: store.Features, name: str) -> None:
    group = zarr.open_group(committed.path, mode="r+")
    group[name].resize((ROWS, *group[name].shape[1:]))
    refused(committed.path, "damaged", name, kind=StoreDamaged)
    shutil.rmtree(committed.path / name)
    refused(committed.path, "damaged", name, kind=StoreDamaged)


def test_edited_provenance_is_refused(committed: store.Features) -> None:
    file = committed.path / "zarr.json"
    file.write_text(file.read_text().replace('"a"', '"c"'))
    refused(committed.path, "attributes were changed", kind=StoreDamaged)


@pytest.mark.parametrize("content", ["", "{}", "no json", "[]", '{"attributes": {}}', "[" * 5000])
def test_a_group_that_is_no_store_is_refused(committed: store.Features, content: str) -> None:
    (committed.path / "zarr.json").write_text(content)
    refused(committed.path, "not a committed store", kind=StoreDamaged)


def test_a_store_of_another_format_is_refused(committed: store.Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FORMAT", 9)
    monkeypatch.setattr(reader, "READABLE", (9,))
    refused(committed.path, "format 3", "reads 9", kind=OutOfDate)


def test_a_store_of_the_format_before_is_read_and_its_damage_found(committed: store.Features) -> None:
    as_format_2(committed.path)
    then = store.open_store(committed.path, store.FeaturesInfo)
    assert then.info == committed.info
    assert then.fingerprint != committed.fingerprint
    for name, content in arrays().items():
        np.testing.assert_array_equal(then.read(name), content)
    chunk = committed.path / "labels/c/1"
    as_it_was = chunk.read_bytes()
    chunk.write_bytes(b"".join(codec.encode(np.zeros(10, np.int64), (ROWS,))))
    with pytest.raises(StoreDamaged, match="array labels, chunk 1 is not what was committed"):
        store.open_store(committed.path, store.FeaturesInfo).read("labels")
    chunk.write_bytes(as_it_was)
    assert store.open_store(committed.path, store.FeaturesInfo).intact("labels", (1,))


@pytest.mark.parametrize(
    "forged", [{"arrays": [{}]}, {"arrays": {"labels": {}}}, {"arrays": {"labels": {"sha256": 1}}}]
)
def test_a_mark_of_the_format_before_that_makes_no_sense_is_refused(tmp_path: Path, forged: dict[str, object]) -> None:
    forge(tmp_path / "x.zarr", INFO, arrays(), **forged, format=2)
    refused(tmp_path / "x.zarr", "is damaged", kind=StoreDamaged)


def test_what_was_read_once_is_compared_again_if_its_file_is_another_one(committed: store.Features) -> None:
    """FAULTS A6: a store is replaced while a reader streams it twice, or loses a chunk."""
    first = committed.read("features")
    np.testing.assert_array_equal(committed.read("features"), first)
    other = arrays()
    other["features"] = other["features"] + 1
    store.write(committed.path, INFO, other)
    for read in (lambda: committed.read("features"), lambda: committed.mapped("features", (0, 0))):
        with pytest.raises(OutOfDate, match="was replaced while this command read it: run it again"):
            read()
    now = store.open_store(committed.path, store.FeaturesInfo)
    now.read("features")
    (committed.path / "features/c/0/0").unlink()
    with pytest.raises(StoreDamaged, match="is missing"):
        now.read("features")


def test_a_chunk_that_stays_while_its_store_is_replaced_is_read_on(committed: store.Features) -> None:
    other = arrays()
    other["labels"] = 1 - other["labels"]
    store.write(committed.path, INFO, other)
    np.testing.assert_array_equal(committed.read("features"), other["features"])


# A forged store: its fingerprint and digests fit, its content makes no sense (FAULTS B8).

N, M, K, ENTRIES = 4, 7, 5, 6


def codes(**changes: store.Array) -> dict[str, store.Array]:
    return {
        "indptr": np.array([0, 1, 3, 3, 6]),
        "indices": np.array([0, 1, 6, 2, 3, 4], np.int32),
        "values": np.ones(ENTRIES, np.float32),
        "firing": np.ones((N, K), np.int32),
        "rows": np.arange(N),
    } | changes


CODES = store.CodesInfo(
    split="test",
    images="all",
    seed=0,
    lambda_=1.0,
    tau=10.0,
    steps=K,
    batch=4,
    method="working-set",
    inhibition="atoms",
    energy=False,
    atoms=M,
    classes=("a", "b"),
)


def test_sensible_codes_are_read(tmp_path: Path) -> None:
    store.write(tmp_path / "x.zarr", CODES, codes())
    opened = store.open_store(tmp_path / "x.zarr", store.CodesInfo)
    for name, content in codes().items():
        np.testing.assert_array_equal(opened.read(name), content)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"indices": np.array([0, 1, M, 2, 3, 4], np.int32)}, "has the value 7, but there are 7 of atom"),
        ({"indices": np.array([0, 1, -5, 2, 3, 4], np.int32)}, "has the value -5"),
        ({"values": np.full(ENTRIES, np.nan, np.float32)}, "not finite"),
        ({"values": np.full(ENTRIES, np.inf, np.float32)}, "not finite"),
        ({"values": np.ones(ENTRIES - 1, np.float32)}, "dimension entry"),
        ({"values": np.ones((ENTRIES, 1), np.float32)}, "array values [6, 1] is none of a codes store"),
        ({"values": np.ones(ENTRIES, np.int64)}, "array values is of type int64"),
        ({"indptr": np.array([0, 3, 1, 3, 6])}, "does not rise"),
        ({"indptr": np.array([0, 1, 3, 3, 5])}, "does not rise"),
        ({"indptr": np.array([0, 1, 3, 3, 60])}, "has the value 60"),
        ({"indptr": np.array([0, 1, 6])}, "dimension image"),
        ({"firing": np.full((N, K), M + 1, np.int32)}, "has the value 8"),
        ({"firing": np.ones((N, K + 1), np.int32)}, "dimension step"),
        ({"rows": np.array([0, 1, 2, -1])}, "has the value -1"),
        ({"more": np.arange(3)}, "array more [3] is none of a codes store"),
    ],
)
def test_codes_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, store.Array], said: str) -> None:
    forge(tmp_path / "x.zarr", CODES, codes(**changes))
    refused(tmp_path / "x.zarr", "damaged", said, kind=StoreDamaged, wanted=store.CodesInfo)


def forge(path: Path, info: store.Info, content: dict[str, store.Array], **mark: object) -> None:
    """Write a store that is whole but for what it says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "require_finite", lambda content: None)  # as somebody else may write it
        store.write(path, info, content)
    if mark:
        file = path / "zarr.json"
        group = json.loads(file.read_text())
        found = group["attributes"]["dseld"]
        found.pop("fingerprint")
        for key, value in mark.items():
            at = found
            *way, last = key.split("__")
            for step in way:
                at = at[step]
            at[last] = value
        found["fingerprint"] = reader.fingerprint_of(found)
        file.write_text(json.dumps(group))


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"arrays__features__shape": [10**12, 3]}, "dimension image"),
        ({"arrays__labels__shape": [10**12], "arrays__features__shape": [10**12, 3]}, "image"),
        ({"arrays__features__shape": [-1, 3]}, "none of a features store"),
        ({"arrays__features__shape": ["x"]}, "features.shape[0]: Expected int. Got 'x'."),
        ({"arrays__features__digests": {}}, "lacks chunks"),
        ({"arrays__features__dtype": "object"}, "is of type object"),
        ({"arrays__features": None}, "features: Expected facts. Got None."),
        ({"arrays": []}, ""),
        ({"arrays": None}, ""),
        ({"arrays__features": {}}, "Expected shape"),
        ({"arrays__features__dtype": ""}, ""),
        ({"arrays__features__shape": []}, "none of a features store"),
        ({"format": 2}, ""),
        ({"arrays": {}}, "array features is missing"),
        ({"provenance": None}, "provenance: Expected facts. Got None."),
        ({"provenance__classes": "ab"}, "provenance.classes: Expected tuple"),
        ({"provenance__classes": ["a", 1]}, "provenance.classes[1]: Expected str. Got 1."),
        ({"provenance__seed": True}, "provenance.seed: Expected int. Got True."),
        ({"provenance__extractor": {"backbone": 1}}, "provenance.extractor.backbone: Expected str. Got 1."),
        ({"provenance__more": 1}, "Got 'more' as well"),
        ({"provenance__classes": ["a"]}, "has the value 1, but there are 1 of class"),
        ({"provenance__split": "x" * 10**6 + "\n", "provenance__more": 1}, "Got 'more' as well"),
    ],
)
def test_marks_that_make_no_sense_are_refused(tmp_path: Path, mark: dict[str, object], said: str) -> None:
    forge(tmp_path / "x.zarr", INFO, arrays(), **mark)
    refused(tmp_path / "x.zarr", "damaged", said, kind=StoreDamaged)
    before = contents(tmp_path)
    assert check(tmp_path / "x.zarr", repair=True).damaged
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.suffix != ".lock"}


@pytest.mark.parametrize("name", ["../../evil", "/evil", "..", "a/b", "", "a\0b"])
def test_an_array_lies_in_its_store_whatever_its_name(tmp_path: Path, name: str) -> None:
    """The arrays of decoders that are plug-ins are called as they like."""
    info = store.NetworkInfo(classes=("a", "b"), seed=0, lambda_=1.0, tau=10.0, steps=3)
    path = tmp_path / "deep/down/x.zarr"
    path.parent.mkdir(parents=True)
    forge(path, info, {"own": np.zeros(3, np.float32)}, words={})
    mark = json.loads((path / "zarr.json").read_text())["attributes"]["dseld"]
    forge(path, info, {"own": np.zeros(3, np.float32)}, words={}, arrays={name: mark["arrays"]["own"]})
    before = contents(tmp_path)
    refused(path, "cannot be the name of an array", kind=StoreDamaged, wanted=store.NetworkInfo)
    assert check(path, repair=True).damaged
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        [],
        5,
        {"features": []},
        {"features": {}},
        {"features": {"shape": [1, 1], "attributes": {}}},
        {"features": {"attributes": "x"}},
        {"elsewhere": {"attributes": {}}},
        {"../x": {}},
    ],
)
def test_words_of_a_mark_that_make_no_sense_are_not_looked_at(tmp_path: Path, words: object) -> None:
    forge(tmp_path / "x.zarr", INFO, arrays(), words=words)
    before = contents(tmp_path)
    assert not check(tmp_path / "x.zarr").damaged
    assert not check(tmp_path / "x.zarr", repair=True).damaged
    assert contents(tmp_path) == before


def test_a_bit_that_makes_half_a_surrogate_of_a_letter_is_damage(tmp_path: Path) -> None:
    store.write(tmp_path / "x.zarr", store.FeaturesInfo(split="train", classes=("타", "b"), extractor={}), arrays())
    file = tmp_path / "x.zarr/zarr.json"
    assert b"\\ud0c0" in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(b"\\ud0c0", b"\\ud8c0"))
    refused(tmp_path / "x.zarr", "were changed", kind=StoreDamaged)
    assert check(tmp_path / "x.zarr", repair=True).damaged


def test_a_chunk_s_side_without_end_is_damage(tmp_path: Path) -> None:
    store.write(tmp_path / "x.zarr", INFO, arrays())
    file = tmp_path / "x.zarr/labels/zarr.json"
    found = json.loads(file.read_bytes())
    found["chunk_grid"]["configuration"]["chunk_shape"] = [float("inf")]
    file.write_text(json.dumps(found))
    refused(tmp_path / "x.zarr", "array labels cannot be read", kind=StoreDamaged)
    assert not check(tmp_path / "x.zarr", repair=True).damaged


def test_a_huge_shape_whose_metadata_agrees_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    shapes = {"features": [10**12, 3], "labels": [10**12], "source": [10**12]}
    forge(tmp_path / "x.zarr", INFO, arrays(), **{f"arrays__{name}__shape": shape for name, shape in shapes.items()})
    for name, shape in shapes.items():
        file = tmp_path / "x.zarr" / name / "zarr.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "shape": shape}))
    refused(tmp_path / "x.zarr", "lacks chunks", kind=StoreDamaged)


def test_a_damaged_store_is_not_taken_for_an_absent_one(committed: store.Features, capsys: Any) -> None:
    (committed.path / "features/zarr.json").write_text("")
    with pytest.raises(StoreDamaged):
        store.previous(committed.path, store.FeaturesInfo)
    assert store.reusable(committed.path, store.FeaturesInfo) is None
    assert "is damaged" in capsys.readouterr().err
    assert store.previous(committed.path.with_name("y.zarr"), store.FeaturesInfo) is None
