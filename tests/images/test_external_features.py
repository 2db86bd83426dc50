"""Features that something else extracted."""

from pathlib import Path

import numpy as np
import pytest

from dseld_cli.errors import UserError
from dseld_cli.images.external_features import from_npy, from_npz

FEATURES = np.arange(6.0).reshape(3, 2)


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path / "given.npz", **{"features": FEATURES, "labels": np.array([7, 3, 7]), **arrays})
    return path / "given.npz"


def test_numbers_become_the_names_of_classes(tmp_path: Path) -> None:
    found = from_npz(npz(tmp_path))
    assert (found.classes, found.labels.tolist()) == (["3", "7"], [1, 0, 1])
    assert (found.source, found.extractor) == (["given.npz/0", "given.npz/1", "given.npz/2"], None)
    np.testing.assert_array_equal(found.features, FEATURES)


def test_names_may_be_the_labels_or_beside_them(tmp_path: Path) -> None:
    found = from_npz(npz(tmp_path, labels=["cat", "ant", "cat"], source=["a", "b", "c"], extractor="dino"))
    assert (found.classes, found.labels.tolist()) == (["ant", "cat"], [1, 0, 1])
    assert (found.source, found.extractor) == (["a", "b", "c"], "dino")
    found = from_npz(npz(tmp_path, labels=[2, 0, 2], classes=["bee", "cow", "ant"]))
    assert (found.classes, found.labels.tolist()) == (["bee", "cow", "ant"], [2, 0, 2])


def test_npy_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FEATURES)
    np.save(tmp_path / "y.npy", np.array([1, 0, 1]))
    found = from_npy(tmp_path / "x.npy", tmp_path / "y.npy")
    assert isinstance(found.features, np.memmap)
    assert found.classes == ["0", "1"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"features": np.arange(3.0)}, r"features should be real numbers \(n, N\); got float64 \(3,\)"),
        ({"features": FEATURES.astype(complex)}, "got complex128"),
        ({"labels": [0, 1]}, r"labels should have 3 entries, as features; got \(2,\)"),
        ({"labels": [0.5, 1, 1]}, "labels should be class names or whole numbers"),
        ({"labels": [-1, 1, 1]}, "labels should be class names or whole numbers"),
        ({"labels": [0, 1, 2], "classes": ["a", "b"]}, "numbers below 2"),
        ({"source": ["a"]}, "source should have 3 entries"),
        ({"labels": np.array([{}, 1, 2], dtype=object)}, "is not a readable .npz file"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, arrays: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        from_npz(npz(tmp_path, **arrays))


def test_what_is_no_such_file_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=FEATURES)
    np.save(tmp_path / "one.npy", FEATURES)
    (tmp_path / "text.npz").write_text("text")
    for read, said in (
        (lambda: from_npz(tmp_path / "no.npz"), "no.npz is not a readable"),
        (lambda: from_npz(tmp_path / "text.npz"), "text.npz is not a readable"),
        (lambda: from_npz(tmp_path / "other.npz"), "has no array features; it has x"),
        (lambda: from_npz(tmp_path / "one.npy"), "holds one array"),
        (lambda: from_npy(tmp_path / "other.npz", tmp_path / "one.npy"), "is a .npz archive"),
    ):
        with pytest.raises(UserError, match=said):
            read()
