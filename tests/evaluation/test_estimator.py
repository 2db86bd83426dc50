"""The scikit-learn estimator: scikit-learn's own checks, growth, and the pipeline's codes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dseld_cli.evaluation.estimator import ExemplarClassifier
from tests.reference import lca_float64

PIXELS, LABELS = load_digits(return_X_y=True)
X, Y = (PIXELS / 16).astype(np.float32), LABELS


@pytest.mark.filterwarnings("ignore")  # the checks warn on purpose
@parametrize_with_checks([ExemplarClassifier()])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_digits_are_classified_as_the_pipeline_does() -> None:
    """1,437 exemplars, lambda 1: the README's 97.8 % is of another draw."""
    model = ExemplarClassifier(lambda_=1.0).fit(X[:1437], Y[:1437])
    assert model.score(X[1437:], Y[1437:]) > 0.93
    assert model.threshold_ == 1.0


def test_codes_are_those_of_the_recurrence() -> None:
    model = ExemplarClassifier(lambda_=1.0).fit(X[:300], Y[:300])
    norms = np.linalg.norm(X[:300].astype(np.float64), axis=1, keepdims=True)
    wanted = lca_float64(X[300:310], X[:300] / norms, 1.0, 100.0, 100).code
    np.testing.assert_allclose(model.transform(X[300:310]).toarray(), wanted, atol=1e-4)


def test_grown_in_parts_it_is_what_it_is_at_once() -> None:
    whole = ExemplarClassifier(lambda_=1.0).fit(X[:300], Y[:300])
    grown = ExemplarClassifier(lambda_=1.0)
    for part in (slice(0, 100), slice(100, 101), slice(101, 300)):
        grown.partial_fit(X[part], Y[part], classes=np.arange(10))
    np.testing.assert_array_equal(grown.atoms_, whole.atoms_)
    np.testing.assert_array_equal(grown.predict_proba(X[300:400]), whole.predict_proba(X[300:400]))
    np.testing.assert_array_equal(grown.transform(X[300:400]).toarray(), whole.transform(X[300:400]).toarray())


def test_a_new_class_joins_behind_the_others() -> None:
    few = np.isin(Y, [3, 7])
    model = ExemplarClassifier().fit(X[few], Y[few])
    before = model.threshold_
    model.partial_fit(X[Y == 1], Y[Y == 1])
    assert model.classes_.tolist() == [3, 7, 1]
    assert model.threshold_ == before
    assert (model.predict(X[Y == 1]) == 1).all()


def test_names_of_classes_may_get_longer() -> None:
    names = np.where(Y == 1, "one", "other")
    model = ExemplarClassifier().fit(X[Y != 1][:50], names[Y != 1][:50])
    model.partial_fit(X[Y == 1], np.full((Y == 1).sum(), "a much longer name"))
    assert model.classes_.tolist() == ["other", "a much longer name"]


def test_it_works_in_scikit_learns_company() -> None:
    line = make_pipeline(MinMaxScaler(), ExemplarClassifier())
    assert cross_val_score(line, PIXELS[:300], LABELS[:300], cv=2).mean() > 0.8
    search = GridSearchCV(
        ExemplarClassifier(), {"lambda_": [0.5, 1.0], "decoder": ["class-sum", "minimum-residual"]}, cv=2
    )
    search.fit(X[:200], Y[:200])
    assert set(search.best_params_) == {"lambda_", "decoder"}


def test_every_decision_has_its_exemplars() -> None:
    model = ExemplarClassifier(lambda_=1.0).fit(X[:300], Y[:300])
    said = model.predict(X[300:320])
    for label, speakers in zip(said, model.explain(X[300:320], exemplars=300), strict=True):
        assert all(model.classes_[model.labels_[speaker.atom]] == label for speaker in speakers)
        assert sum(speaker.share for speaker in speakers) == pytest.approx(1)


def test_a_sample_of_zeros_never_fires_and_an_undecided_one_gets_the_prior() -> None:
    nothing = np.zeros((1, 64), np.float32)
    model = ExemplarClassifier(lambda_=1.0).fit(np.concatenate([nothing, X[:99]]), np.concatenate([[0], Y[:99]]))
    assert model.transform(X[100:200])[:, [0]].nnz == 0
    prior = np.bincount(np.concatenate([[0], Y[:99]]), minlength=10) / 100
    np.testing.assert_allclose(model.predict_proba(nothing)[0], prior, rtol=1e-6)
    assert model.explain(nothing) == [[]]


def test_fewer_than_no_exemplars_are_refused() -> None:
    model = ExemplarClassifier().fit(X[:100], Y[:100])
    assert all(len(spoke) == 0 for spoke in model.explain(X[:5], 0))
    with pytest.raises(ValueError, match=r"exemplars >= 0\. Got -1"):
        model.explain(X[:5], -1)


def test_it_survives_pickling_with_what_it_knows() -> None:
    model = ExemplarClassifier().fit(X[:100], Y[:100])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X[100:150]).toarray(), model.transform(X[100:150]).toarray())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decoder": "shallow-nn"}, "has to be trained"),
        ({"decoder": "best"}, "class-sum"),
        ({"decoder": None}, "class-sum"),
        ({"lambda_": -1.0}, "lambda > 0"),
        ({"lambda_": "x"}, "lambda > 0"),
        ({"lambda_": 1.0, "steps": 1.5}, "whole steps"),
    ],
)
def test_what_is_not_legal_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ExemplarClassifier(**options).fit(X[:50], Y[:50])


@pytest.mark.parametrize("more", [np.array(["one"] * 9), np.array(["one"] * 9, dtype=object)])
def test_labels_of_another_kind_are_refused_and_change_nothing(more: Any) -> None:
    model = ExemplarClassifier().fit(X[:50], Y[:50])
    before = model.classes_
    with pytest.raises(ValueError, match="all be text or all be numbers, not 'one' and 0"):
        model.partial_fit(X[50:59], more)
    assert (model.classes_.dtype, len(model.atoms_)) == (before.dtype, 50)
    with pytest.raises(ValueError, match="all be text or all be numbers"):
        ExemplarClassifier().partial_fit(X[:50], Y[:50], classes=["one", "two"])


def test_samples_that_are_mostly_zeros_have_no_lambda_of_their_own() -> None:
    rows = np.concatenate([np.zeros((60, 64), np.float32), X[:40]])
    with pytest.raises(ValueError, match="most samples are zeros: pass a number"):
        ExemplarClassifier().fit(rows, np.arange(100) % 2)
    assert ExemplarClassifier(lambda_=1.0).fit(rows, np.arange(100) % 2).threshold_ == 1.0
