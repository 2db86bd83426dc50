"""Leave-one-out codes: as if the dictionary did not hold the image, nor a copy of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.lca.inhibition import driving_input, exclude, through_atoms
from dseld_cli.lca.recurrence import LCAParams, run_lca
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params
from tests.reference import lca_float64

CLASSES = {"ant": 12, "bee": 9}


@pytest.fixture
def folder(project: Path, run: Run) -> Path:
    """A project with 21 training images, one of them twice, all of them atoms."""
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 3), "test", seed=1)
    (project / "images/train/ant/copy.png").write_bytes((project / "images/train/ant/0.png").read_bytes())
    set_params(data__dataset="folder:images", lca__lambda=0.3)
    run("extract")
    run("build-dict")
    return project


def dense_codes(split: str, n_atoms: int) -> np.ndarray:
    codes = store.open_store(paths.codes(split), store.CodesInfo)
    dense = np.zeros((codes.shape("rows")[0], n_atoms), np.float32)
    image = np.repeat(np.arange(len(dense)), np.diff(codes.read("indptr")))
    dense[image, codes.read("indices")] = codes.read("values")
    return dense


def test_a_training_image_is_coded_as_if_it_and_its_copies_were_no_atoms(folder: Path, run: Run) -> None:
    run("encode --split train")
    features = store.open_store(paths.features("train"), store.FeaturesInfo)
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    images, names = features.read("features"), features.read("source")
    atoms, sources = dictionary.read("atoms"), list(dictionary.read("source"))
    found = dense_codes("train", len(atoms))
    twins = {"train/ant/0.png", "train/ant/copy.png"}
    for image, name, code in zip(images, names, found, strict=True):
        own = [sources.index(twin) for twin in (twins if name in twins else {name})]
        others = np.setdiff1d(np.arange(len(atoms)), own)
        alone = lca_float64(image[None], atoms[others], 0.3, 100, 100).code[0]
        np.testing.assert_allclose(code[others], alone, atol=1e-4)
        assert not code[own].any()
        assert code.any()


def test_an_excluded_neuron_stays_at_rest_where_zero_input_alone_would_let_it_fire() -> None:
    atoms = np.array([[1.0, 0], [0.9, 19**0.5 / 10]], np.float32)
    b = driving_input(np.array([[10.0, 0]], np.float32), lambda: [(slice(0, 2), atoms)], 2)
    inhibition = through_atoms(lambda: [(slice(0, 2), atoms)], 2)
    params = LCAParams(1.0, 10.0, 100)
    without_input = b.copy()
    without_input[0, 1] = 0
    assert run_lca(without_input, inhibition, params).code[0, 1] < 0, "others drive it below -lambda"
    code = run_lca(b, exclude(b, inhibition, [np.array([1])]), params).code
    assert code[0].tolist() == [pytest.approx(9, abs=0.01), 0]


def test_test_images_are_coded_whole(folder: Path, run: Run) -> None:
    set_params(data__dataset="folder:images", lca__lambda=0.3)
    shutil.rmtree("images/test", ignore_errors=True)
    shutil.copytree("images/train", "images/test")
    run("extract --split test")
    run("encode")
    codes = dense_codes("test", 22)
    sources = list(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source"))
    names = store.open_store(paths.features("test"), store.FeaturesInfo).read("source")
    atoms = [sources.index(name.replace("test/", "train/")) for name in names if "copy" not in name]
    own = codes[["copy" not in name for name in names]][np.arange(len(atoms)), atoms]
    assert np.count_nonzero(own) > 15, "an image that is an atom codes as itself"


def test_outside_takes_only_images_that_are_no_atoms(folder: Path, run: Run) -> None:
    set_params(train_decoder={"codes": "outside", "images": "all", "seed": 0})
    assert "none is outside" in run("encode --split train", ok=False).stderr
    run("build-dict --size 10")
    run("encode --split train")
    rows = store.open_store(paths.codes("train"), store.CodesInfo).read("rows")
    names = store.open_store(paths.features("train"), store.FeaturesInfo).read("source")
    atoms = set(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source"))
    coded = {names[row] for row in rows}
    assert not coded & atoms
    copied = {"train/ant/0.png", "train/ant/copy.png"}
    assert {*names} - atoms - coded <= copied, "a copy of an atom is no image outside"


def test_a_removed_image_teaches_nothing(folder: Path, run: Run) -> None:
    run("remove-exemplars train/bee/3.png")
    run("encode --split train")
    rows = store.open_store(paths.codes("train"), store.CodesInfo).read("rows")
    names = store.open_store(paths.features("train"), store.FeaturesInfo).read("source")
    assert {*names} - {names[row] for row in rows} == {"train/bee/3.png"}
