"""Maps of the features: against scikit-learn and float64, to the bit however they are called, in every command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from dseld_cli import Project, store
from dseld_cli.config import load as params
from dseld_cli.dictionary.transform import Moments, Transform, fitted, whitening
from dseld_cli.errors import UserError
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params
from tests.reference import lca_float64

KINDS = ("centre", "whiten", "within-class")
CLASSES = {"ant": 30, "bee": 25, "cat": 20}


def clouds(n: int = 200, n_features: int = 9, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features of classes that lie apart, each as wide in its own directions."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_classes, n)
    spread = rng.standard_normal((n_features, n_features))
    rows = 5 * rng.standard_normal((n_classes, n_features))[labels] + rng.standard_normal((n, n_features)) @ spread + 3
    return rows.astype(np.float32), labels


def in_blocks(rows: np.ndarray, labels: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rows[part], labels[part]) for part in store.blocks(len(rows), size)]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_moments_are_numpys_and_scikit_learns_in_blocks_of_any_size(size: int) -> None:
    rows, labels = clouds()
    moments = Moments.of(in_blocks(rows, labels, size), 4)  # a class without an image
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T.astype(np.float64), bias=True), atol=1e-10)
    lda = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(rows.astype(np.float64), labels)
    np.testing.assert_allclose(moments.covariance_within(), lda.covariance_, atol=1e-10)


def test_whitened_features_have_the_covariance_that_was_asked_for() -> None:
    rows, labels = clouds()
    mapped = fitted("whiten", [(rows, labels)], 3)(rows).astype(np.float64)  # type: ignore[misc]
    C = np.cov(rows.T.astype(np.float64), bias=True)
    values = np.linalg.eigvalsh(C)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(np.cov(mapped.T, bias=True)), np.sort(values / (values / values.mean() + 1)), rtol=1e-4
    )
    W = whitening(C)
    np.testing.assert_allclose(W @ (C / values.mean() + np.eye(9)) @ W, np.eye(9), atol=1e-9)
    np.testing.assert_array_equal(W, W.T)


def test_within_class_shrinks_the_directions_in_which_images_of_a_class_differ() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500)
    rows = rng.standard_normal((1000, 2)) * (10, 0.1) + labels[:, None] * (0.0, 5.0)
    rows = rows.astype(np.float32)
    mapped = fitted("within-class", [(rows, labels)], 2)(rows)  # type: ignore[misc]

    def separation(features: np.ndarray) -> float:
        first, second = features[labels == 0], features[labels == 1]
        return float(np.linalg.norm(second.mean(axis=0) - first.mean(axis=0)) / first.std(axis=0).max())

    # variances 100 and 0.01 are divided by their mean, 50, and shrunk: 1 / sqrt(3) and 1 remain of the axes
    assert separation(mapped) == pytest.approx(np.sqrt(3) * separation(rows), rel=0.02)


@pytest.mark.parametrize("n_features", [1, 5, 64, 131])
def test_bits_do_not_depend_on_what_else_is_mapped(n_features: int) -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((500, n_features)).astype(np.float32)
    half = rng.standard_normal((n_features, n_features)).astype(np.float32)
    for transform in (Transform(rows[0], half + half.T), Transform(rows[0])):
        whole = transform(rows)
        exact = (rows - rows[0]).astype(np.float64) @ (
            np.eye(n_features) if transform.matrix is None else half + half.T
        )
        np.testing.assert_allclose(whole, exact, atol=1e-4 * np.abs(exact).max())
        for some in (slice(0, 1), slice(3, 4), slice(239, 242), slice(17, 400)):
            np.testing.assert_array_equal(transform(rows[some]), whole[some])
        assert len(transform(rows[:0])) == 0


def test_what_cannot_be_fitted_is_refused() -> None:
    same = np.ones((10, 4), np.float32)
    for kind in ("whiten", "within-class"):
        with pytest.raises(UserError, match="do not vary"):
            fitted(kind, [(same, np.zeros(10, np.int64))], 1)
    with pytest.raises(UserError, match="not finite"):
        fitted("centre", [(same * np.float32(np.nan), np.zeros(10, np.int64))], 1)
    assert fitted("none", [], 1) is None


@pytest.fixture
def extracted(project: Path, run: Run) -> Path:
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 5), "test", seed=1)
    set_params(data__dataset="folder:images", extract__workers=0, lca__lambda=0.1)
    run("extract")
    return project


def dictionary() -> store.Dictionary:
    return store.open_store(paths.DICTIONARY, store.DictionaryInfo)


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_sees_features_through_the_map(extracted: Path, run: Run, kind: str) -> None:
    set_params(build_dict__transform=kind)
    for command in ("build-dict", "encode", "decode", "baselines", "evaluate", "gramian", "timing --batch 1"):
        run(command)
    now = Project()
    train, test, atoms = now.features("train"), now.features(), now.dictionary()
    by_name = {name: row for row, name in enumerate(train.source)}
    rows = np.array([by_name[name] for name in atoms.source])
    kept = Transform(*(dictionary().read(name) for name in ("mean", "matrix") if name in dictionary().arrays))
    matrix = np.eye(train.features.shape[1]) if kept.matrix is None else kept.matrix.astype(np.float64)
    exact = (train.features[rows].astype(np.float64) - kept.mean) @ matrix
    np.testing.assert_allclose(atoms.atoms, exact / np.linalg.norm(exact, axis=1, keepdims=True), atol=1e-5)
    S = (test.features.astype(np.float64) - kept.mean) @ matrix
    codes = lca_float64(S, atoms.atoms, 0.1, 100, 100).code
    assert np.count_nonzero(codes, axis=1).all()
    np.testing.assert_allclose(now.codes().to_scipy().toarray(), codes, atol=1e-4)
    np.testing.assert_array_equal(
        now.encoder(LCAParams(0.1)).encode(now.seen(test.features)).codes.to_scipy(75).toarray(),
        now.codes().to_scipy().toarray(),
    )
    shown = json.loads(Path("metrics.json").read_text())
    assert shown["transform"] == kind
    verdicts = json.loads(run("classify images/test --json").stdout)
    predicted = now.predictions()
    assert [one["class"] for one in verdicts] == [predicted.classes[label] for label in predicted.labels]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_image_is_known_as_its_own_atom(extracted: Path, run: Run, kind: str) -> None:
    """By its name, and, where names differ, by its features, which go the same way to the same bits."""
    from dseld_cli.dictionary.leave_one_out import own_atoms

    run(f"build-dict --transform {kind}")
    opened = dictionary()
    found = own_atoms(store.open_store(paths.features("train"), store.FeaturesInfo), opened)
    sources = opened.read("source")
    names = store.open_store(paths.features("train"), store.FeaturesInfo).read("source")
    assert all(len(own) == 1 and sources[own[0]] == name for own, name in zip(found, names, strict=True))
    shutil.rmtree("images/test")
    shutil.copytree("images/train", "images/test")
    for command in ("extract", "build-dict --transform " + kind, "encode", "decode"):
        run(command)
    assert "75 of the 75 test images are in the dictionary" in " ".join(run("evaluate").stderr.split())


@pytest.mark.parametrize("kind", KINDS)
def test_growth_keeps_the_map_and_equals_a_dictionary_made_at_once(extracted: Path, run: Run, kind: str) -> None:
    set_params(build_dict__transform=kind)
    run("build-dict")
    before = {name: dictionary().read(name) for name in dictionary().arrays}
    image_folder(extracted / "more", {"dog": 11}, seed=5)
    run("add-exemplars folder:more")
    grown = {name: dictionary().read(name) for name in dictionary().arrays}
    assert len(grown["atoms"]) == 75 + 11
    for name, was in before.items():
        np.testing.assert_array_equal(grown[name][: len(was)], was)
    fingerprint = dictionary().fingerprint
    shutil.rmtree(paths.DICTIONARY)
    run("build-dict")
    assert dictionary().fingerprint == fingerprint
    assert "up to date" in run("add-exemplars").stdout


def test_a_damaged_map_is_mended_by_the_command_that_makes_the_dictionary(extracted: Path, run: Run) -> None:
    run("build-dict --transform whiten --save")
    fingerprint = dictionary().fingerprint
    (paths.DICTIONARY / "matrix/c/0/0").write_bytes(b"")
    run("encode", ok=False)
    run("add-exemplars")
    assert dictionary().fingerprint == fingerprint
    run("encode")


def test_none_leaves_stores_as_they_were_and_another_map_puts_codes_out_of_date(extracted: Path, run: Run) -> None:
    run("build-dict")
    base = store.open_store(paths.BASE, store.BaseInfo)
    assert sorted(base.arrays) == ["atoms", "labels", "source"]
    kept = json.loads((paths.BASE / "zarr.json").read_text())["attributes"]["dseld"]["provenance"]
    assert not {"transform", "transform_sha256"} & kept.keys()
    run("encode")
    run("build-dict --transform whiten")
    assert "data/codes/test.zarr" in run("decode", ok=False).stderr


def test_a_killed_build_does_not_go_on_with_atoms_of_another_map(
    extracted: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear algebra may give other bits on another machine, or with other threads."""
    from dseld_cli.dictionary import base

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    set_params(build_dict__transform="whiten")
    with monkeypatch.context() as patch:
        patch.setattr(store.Draft, "commit", killed)
        with pytest.raises(Killed):
            base.build(*_arguments(1.0))
    base.build(*_arguments(1.5))
    opened = store.open_store(paths.BASE, store.BaseInfo)
    np.testing.assert_array_equal(opened.read("mean"), _arguments(1.5)[5].mean)
    features = store.open_store(paths.features("train"), store.FeaturesInfo).read("features") - np.float32(1.5)
    np.testing.assert_allclose(
        opened.read("atoms"), features / np.linalg.norm(features, axis=1, keepdims=True), atol=1e-6
    )


def _arguments(mean: float) -> tuple:  # type: ignore[type-arg]
    features = store.open_store(paths.features("train"), store.FeaturesInfo)
    n, n_features = features.shape("features")
    transform = Transform(np.full(n_features, mean, np.float32))
    drawn = params.load().build_dict.model_dump()
    return paths.BASE, features, np.arange(n), drawn, 2**31, transform
