"""scikit-learn's digits without scikit-learn's import: the same images, the same draw."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from dseld_cli.images import digits


def test_they_are_scikit_learns() -> None:
    pixels, labels = digits.load()
    np.testing.assert_array_equal(pixels, load_digits().images)
    np.testing.assert_array_equal(labels, load_digits().target)


def test_they_are_loaded_by_scikit_learn_where_its_file_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digits.load()
    monkeypatch.setattr(digits, "FILE", "moved.csv.gz")
    for found, there in zip(digits.load(), expected, strict=True):
        np.testing.assert_array_equal(found, there)
        assert found.dtype == there.dtype


@pytest.mark.parametrize("share", [0.2, 0.1, 0.37, 0.5])
def test_the_draw_is_that_of_train_test_split(share: float) -> None:
    _, labels = digits.load()
    expected = train_test_split(np.arange(len(labels)), test_size=share, random_state=0, stratify=labels)
    for found, there in zip(digits.parts(labels, share), expected, strict=True):
        np.testing.assert_array_equal(found, there)


def test_scikit_learn_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dseld_cli.images.datasets import images; "
        "images('digits', Path(), 'test'); assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
