"""Features that something else extracted."""

import io
import os
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseld_cli.errors import UserError
from dseld_cli.images.external_features import from_npy, from_npz

MEMORY = 2**31
FEATURES = np.arange(6.0).reshape(3, 2)


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path / "given.npz", **{"features": FEATURES, "labels": np.array([7, 3, 7]), **arrays})
    return path / "given.npz"


def test_numbers_become_the_names_of_classes(tmp_path: Path) -> None:
    found = from_npz(npz(tmp_path), MEMORY)
    assert (found.classes, found.labels.tolist()) == (["3", "7"], [1, 0, 1])
    assert (found.source, found.extractor) == (["given.npz/0", "given.npz/1", "given.npz/2"], None)
    np.testing.assert_array_equal(found.features, FEATURES)


def test_names_may_be_the_labels_or_beside_them(tmp_path: Path) -> None:
    found = from_npz(npz(tmp_path, labels=["cat", "ant", "cat"], source=["a", "b", "c"], extractor="dino"), MEMORY)
    assert (found.classes, found.labels.tolist()) == (["ant", "cat"], [1, 0, 1])
    assert (found.source, found.extractor) == (["a", "b", "c"], "dino")
    found = from_npz(npz(tmp_path, labels=[2, 0, 2], classes=["bee", "cow", "ant"]), MEMORY)
    assert (found.classes, found.labels.tolist()) == (["bee", "cow", "ant"], [2, 0, 2])


def test_npy_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FEATURES)
    np.save(tmp_path / "y.npy", np.array([1, 0, 1]))
    found = from_npy(tmp_path / "x.npy", tmp_path / "y.npy", MEMORY)
    assert isinstance(found.features, np.memmap)
    assert found.classes == ["0", "1"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"features": np.arange(3.0)},
            r"real numbers \(n, N\) of at least one image; got float64 \(3,\)",
        ),
        ({"features": FEATURES.astype(complex)}, "got complex128"),
        ({"source": ["a", "b", "a"]}, "sources 0 and 2 are the same, a: tell images apart"),
        ({"source": ["a", " ", "b"]}, "source 1 is empty"),
        ({"source": ["a", "b", "\udcff"]}, "source has half of a character"),
        ({"labels": ["a", "b", "\ud800"]}, "labels has half of a character"),
        ({"extractor": "\udcff"}, "extractor has half of a character"),
        ({"labels": [0, 1]}, r"labels should have 3 entries, as features; got \(2,\)"),
        ({"labels": [0.5, 1, 1]}, "labels should be class names or whole numbers"),
        ({"labels": [1, -1, 1]}, "labels should be class names or whole numbers from 0 on; row 1 is -1"),
        ({"labels": np.array([0, 2**63, 1], np.uint64), "classes": ["a", "b"]}, "row 1 is 9223372036854775808"),
        ({"labels": ["a", "b", "a"], "classes": ["a", "b"]}, "numbers below 2"),
        ({"labels": [0, 1, 2], "classes": ["crane", "dog", "crane"]}, "classes 0 and 2 have the same name, 'crane'"),
        ({"labels": [0, 1, 1], "classes": ["caf\u00e9", "cafe\u0301"]}, "classes 0 and 1 have the same name"),
        ({"labels": ["caf\u00e9", "cafe\u0301", "x"]}, "have the same name"),
        ({"labels": [0, 1, 1], "classes": ["a", ""]}, "class 1 has an empty name"),
        ({"labels": [0, 1, 1], "classes": "ab"}, r"classes should be names \(n,\); got <U2 \(\)"),
        ({"labels": [0, 0, 0], "classes": [0.5]}, r"classes should be names \(n,\); got float64"),
        ({"source": "abc"}, r"source should have 3 entries, as features; got \(\)"),
        ({"source": [1.5, 2, 3]}, "source should be names"),
        ({"labels": [b"\xff", b"a", b"a"]}, r"labels has bytes that are no UTF-8: b'\\xff'"),
        ({"extractor": ["a", "b"]}, "extractor should be one name"),
        ({"labels": [0, 1, 2], "classes": ["a", "b"]}, "numbers below 2"),
        ({"source": ["a"]}, "source should have 3 entries"),
        ({"labels": np.array([{}, 1, 2], dtype=object)}, "is not a readable .npz file"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, arrays: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        from_npz(npz(tmp_path, **arrays), MEMORY)


def test_bytes_are_utf_8_as_h5py_gives_them(tmp_path: Path) -> None:
    names = [name.encode() for name in ("fourmi", "caf\u00e9", "fourmi")]
    arrays = {"labels": names, "source": [*names[:2], b"x"], "extractor": b"dino"}
    found = from_npz(npz(tmp_path, **{key: np.array(value, "S") for key, value in arrays.items()}), MEMORY)
    assert (found.classes, found.labels.tolist()) == (["caf\u00e9", "fourmi"], [1, 0, 1])
    assert (found.source, found.extractor) == (["fourmi", "caf\u00e9", "x"], "dino")


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path / "given.npz", "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path / "given.npz"


def npy(array: object, header: str | None = None) -> bytes:
    """Content of a .npy file, maybe with another header."""
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    if header is None:
        return file.getvalue()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + bytes(8)


GOOD = {"features.npy": npy(FEATURES), "labels.npy": npy([0, 1, 0])}


def test_only_the_arrays_that_are_asked_for_are_read(tmp_path: Path) -> None:
    bomb = npy(np.zeros(300 * 2**17))  # 300 MiB that take 300 KB
    path = archive(tmp_path, {**GOOD, "else.npy": bomb, "code.npy": npy([0], "not a header"), "notes.txt": b"x"})
    del bomb
    tracemalloc.start()
    found = from_npz(path, MEMORY)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    np.testing.assert_array_equal(found.features, FEATURES)


def test_what_does_not_fit_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = archive(tmp_path, {**GOOD, "features.npy": npy(np.zeros((3, 2**24)))})
    tracemalloc.start()
    with pytest.raises(
        UserError, match=r"array features takes 0\.38 GiB, and run\.memory leaves 0\.25: raise it, or save"
    ):
        from_npz(path, 2**30 + 2**28)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_uncompressed_arrays_stay_on_disk_in_any_order(tmp_path: Path) -> None:
    for order in "CF":
        np.savez(tmp_path / "given.npz", features=np.asarray(FEATURES, order=order), labels=[0, 1, 0])
        found = from_npz(tmp_path / "given.npz", MEMORY)
        assert isinstance(found.features, np.memmap)
        np.testing.assert_array_equal(found.features, FEATURES)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path, GOOD, method)
        data = bytearray(path.read_bytes())
        data[100 if method else 160] ^= 4
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"is not a readable \.npz file"):
            from_npz(path, MEMORY)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            {"features.npy": npy(0, "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 1000000000000)}")},
            "its header says 80000000000000000000",
        ),
        ({"features.npy": npy(0, "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 8)}")}, "shape"),
        ({"features.npy": npy(0, "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 3000 + "}")}, "readable"),
        ({"features.npy": npy(0, "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")}, "Python objects"),
        ({"features.npy": npy(0, " " * 60000)}, "readable"),
        ({"features.npy": b"\x93NUMPY\x09\x00"}, r"version \(9, 0\)"),
        ({"features.npy": b""}, "readable"),
        ({"features.npy": npy(FEATURES)[:-1]}, "array features has 175 bytes, its header says 176"),
        ({"features.npy": npy(FEATURES) + b"x"}, "array features has 177 bytes, its header says 176"),
        ({"features": npy(FEATURES)}, "has two arrays features"),
        ({}, "has no array labels; it has features"),
    ],
)
def test_a_forged_archive_is_one_line(tmp_path: Path, members: dict[str, bytes], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        from_npz(archive(tmp_path, {**GOOD, **members} if members else {"features.npy": npy(FEATURES)}), MEMORY)
    assert len(str(caught.value)) <= 500 + len(str(tmp_path))


def test_a_compression_that_is_not_known_is_one_line(tmp_path: Path) -> None:
    path = archive(tmp_path, GOOD)
    data = path.read_bytes().replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63"
    )
    path.write_bytes(data)
    with pytest.raises(UserError, match="not a readable"):
        from_npz(path, MEMORY)


@pytest.mark.parametrize(("labels", "said"), [(np.arange(2), "3 entries"), (np.ones(3), "whole numbers")])
def test_labels_in_a_file_of_their_own_are_refused_by_its_name(tmp_path: Path, labels: np.ndarray, said: str) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    np.save(tmp_path / "y.npy", labels)
    with pytest.raises(UserError, match=rf"y\.npy: labels should .*{said}"):
        from_npy(tmp_path / "x.npy", tmp_path / "y.npy", MEMORY)


def test_a_npy_file_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.arange(3))
    (tmp_path / "x.npy").write_bytes(npy(FEATURES)[:-1])
    with pytest.raises(UserError, match="it is shorter than its header says"):
        from_npy(tmp_path / "x.npy", tmp_path / "y.npy", MEMORY)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "given.npz")
    for read in (lambda path: from_npz(path, MEMORY), lambda path: from_npy(path, path, MEMORY)):
        with pytest.raises(UserError, match="is no regular file"):
            read(tmp_path / "given.npz")


HEADERS = st.builds(
    lambda descr, order, shape: f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}}}",
    st.sampled_from(["<f8", "<f4", ">i2", "|S3", "<U4", "|V9", "|O", "<c16", "|b1", "<M8[s]", "", "nonsense"]),
    st.sampled_from(["True", "False", "0"]),
    st.lists(st.integers(-3, 2**70) | st.integers(0, 4), max_size=3).map(lambda sides: str(tuple(sides))),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    members=st.dictionaries(
        st.sampled_from(["features", "labels", "classes", "source", "extractor"]),
        st.one_of(
            HEADERS.map(lambda header: npy(0, header)),
            st.text(max_size=40).map(lambda header: npy(0, header)),
            st.binary(max_size=64),
            st.sampled_from([npy(FEATURES), npy([0, 1, 0]), npy(["a", "b"]), npy("dino"), npy([b"a", b"b", b"a"])]),
        ),
        max_size=5,
    ),
    flip=st.none() | st.tuples(st.integers(0, 10**6), st.integers(1, 255)),
)
def test_any_archive_is_taken_or_refused_in_one_line(
    tmp_path: Path, members: dict[str, bytes], flip: tuple[int, int] | None
) -> None:
    path = archive(tmp_path, {**GOOD, **{f"{name}.npy": content for name, content in members.items()}})
    if flip:
        data = bytearray(path.read_bytes())
        data[flip[0] % len(data)] ^= flip[1]
        path.write_bytes(data)
    try:
        found = from_npz(path, MEMORY)
    except UserError as error:
        line = str(error).replace(str(path), "given.npz")
        assert len(line) <= 500
        assert line.isprintable()
    else:
        assert len(found.features) == len(found.labels) == len(found.source)
        assert 0 <= found.labels.min() <= found.labels.max() < len(found.classes)


def test_names_of_arrays_are_shown_escaped(tmp_path: Path) -> None:
    for names in (["\x1b[31mred"], ["\x1b[31mred", "\x1b[31mred"]):
        with zipfile.ZipFile(tmp_path / "given.npz", "w") as file:
            for name in names:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the twin
                    file.writestr(f"{name}.npy", npy(FEATURES))
        with pytest.raises(UserError) as error:
            from_npz(tmp_path / "given.npz", MEMORY)
        assert str(error.value).replace(str(tmp_path), "").isprintable()


def test_what_is_no_such_file_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=FEATURES)
    np.save(tmp_path / "one.npy", FEATURES)
    (tmp_path / "text.npz").write_text("text")
    for read, said in (
        (lambda: from_npz(tmp_path / "no.npz", MEMORY), "no.npz is not a readable"),
        (lambda: from_npz(tmp_path / "text.npz", MEMORY), "text.npz is not a readable"),
        (lambda: from_npz(tmp_path / "other.npz", MEMORY), "has no array features; it has x"),
        (lambda: from_npz(tmp_path / "one.npy", MEMORY), "holds one array"),
        (lambda: from_npy(tmp_path / "other.npz", tmp_path / "one.npy", MEMORY), "is a .npz archive"),
    ):
        with pytest.raises(UserError, match=said):
            read()
