"""D-SELD as a scikit-learn estimator: exemplars in, classes out, over the encoder of the pipeline.

What the pipeline leaves to params.yaml, or to whoever reads its tables, is chosen here:

- `lambda_="auto"` is AUTO_LAMBDA of the median norm of the first samples, since lambda is in units of the features'
  norm. The first `fit` or `partial_fit` fixes it; it does not move as the dictionary grows. A number gives the
  pipeline's codes, bit for bit.
- A sample for which no neuron speaks is undecided in the pipeline. A classifier has to answer: `predict_proba` gives
  the classes' shares of the exemplars, `predict` the largest of them. `explain` names no exemplar for it.
- A sample of zeros becomes a tombstone, which never fires: no unit vector points its way.
- Decoders that are trained first are refused: growth would cost more than the new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from dseld_cli.decoders.base import Decoder, Given, Trainable, shares
from dseld_cli.decoders.registry import decoder
from dseld_cli.dictionary.exemplars import Exemplars
from dseld_cli.errors import UserError
from dseld_cli.evaluation.explain import Speaker, explain
from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder
from dseld_cli.lca.recurrence import LCAParams

AUTO_LAMBDA = 0.15
"""Share of the norm of the features at which lambda stands well: MNIST pixels 24 %, CNN features 12 to 15 %."""


class ExemplarClassifier(ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Classify by sparse codes over exemplars (D-SELD): nothing is trained, and new samples join by being appended.

    Args:
        lambda_: firing threshold, in units of the features' norm; "auto" is a share of the median norm.
        tau: time constant in steps, at least 1.
        steps: number of steps K of the recurrence.
        decoder: name of a decoder that needs no training, see `dseld decode --help`.

    `classes_` are sorted at first; new ones follow in order of appearance, as everywhere in dseld.

    """

    _exemplars: Exemplars
    _encoder: Encoder
    _decoder: Decoder
    _classes: NDArray[Any]

    def __init__(
        self,
        *,
        lambda_: float | Literal["auto"] = "auto",
        tau: float = 100.0,
        steps: int = 100,
        decoder: str = "class-sum",
    ) -> None:
        self.lambda_ = lambda_
        self.tau = tau
        self.steps = steps
        self.decoder = decoder

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Make exemplars of samples X (M, N) with labels y (M,).

        Raises:
            ValueError: if X, y or a parameter is not legal.

        """
        return self._append(X, y, None, first=True)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Append samples X (m, N) with labels y (m,), new classes included, at the cost of m rows.

        `classes` may name classes that come later, so that probabilities keep their columns.

        Raises:
            ValueError: if X, y or a parameter is not legal.

        """
        return self._append(X, y, classes, first=not hasattr(self, "_exemplars"))

    def transform(self, X: ArrayLike) -> csr_array:
        """Sparse codes of samples X (n, N): activations a[K] of the exemplars, (n, M) float32.

        Raises:
            Diverged: if the recurrence diverges for a sample; a larger tau or lambda_ helps.

        """
        check_is_fitted(self)
        return self._codes(self._checked(X)).to_scipy(len(self._exemplars))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Scores of the classes, scaled to sum to one, (n, C)."""
        check_is_fitted(self)
        features = self._checked(X)
        found = shares(self._scores(self._codes(features), features))
        prior = np.bincount(self.labels_, minlength=len(self.classes_)) / len(self.labels_)
        return np.where(found.any(axis=1, keepdims=True), found, prior.astype(np.float32))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class of each sample, (n,)."""
        found: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def explain(self, X: ArrayLike, exemplars: int = 3) -> list[list[Speaker]]:
        """Exemplars that spoke for the class of each sample, loudest first; `Speaker.atom` is a row of `atoms_`."""
        check_is_fitted(self)
        features = self._checked(X)
        codes = self._codes(features)
        scores = self._scores(codes, features)
        said = scores.argmax(axis=1)
        spoken = scores.max(axis=1) > 0
        return [
            explain(codes, i, self.labels_, int(said[i]), exemplars) if spoken[i] else [] for i in range(len(codes))
        ]

    @property
    def threshold_(self) -> float:
        """Lambda, as the first samples fixed it."""
        check_is_fitted(self)
        return self._encoder.params.lambda_

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels (C,)."""
        check_is_fitted(self)
        return self._classes

    @property
    def atoms_(self) -> NDArray[np.float32]:
        """Unit-norm exemplars (M, N)."""
        check_is_fitted(self)
        return self._exemplars.atoms

    @property
    def labels_(self) -> NDArray[np.int64]:
        """Place in `classes_` of each exemplar (M,)."""
        check_is_fitted(self)
        return self._exemplars.labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # codes are float32, as in the pipeline's stores
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_exemplars")

    def _append(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None, first: bool) -> Self:
        features, labels = validate_data(self, X, y, dtype=np.float32, reset=first)
        check_classification_targets(labels)
        names, numbers = np.unique(labels, return_inverse=True)
        announced = [] if classes is None else np.unique(classes).tolist()
        before = None if first else self._exemplars
        known = announced if before is None else [*before.classes, *announced]
        listed = list(dict.fromkeys([*known, *names.tolist()]))
        _require_one_kind(listed)
        place = {name: i for i, name in enumerate(listed)}
        numbers = np.array([place[name] for name in names.tolist()], np.int64)[numbers]
        params = self._params(features) if before is None else self._encoder.params
        try:
            decoding = decoder(str(self.decoder))
            grown = (before or Exemplars.of(features[:0], numbers[:0], listed)).appended(features, numbers, listed)
        except UserError as error:
            raise ValueError(str(error)) from error
        if isinstance(decoding, Trainable):
            raise ValueError(f"decoder {self.decoder!r} has to be trained: choose one that needs no training")
        self._exemplars, self._decoder = grown, decoding
        self._classes = np.array(listed, dtype=np.result_type(names, *([] if first else [self._classes])))
        self._encoder = Encoder(Atoms.of(grown.atoms), params)
        return self

    def _params(self, features: NDArray[np.float32]) -> LCAParams:
        if self.lambda_ != "auto":
            return LCAParams(self.lambda_, self.tau, self.steps)
        median = float(np.median(np.linalg.norm(features.astype(np.float64), axis=1)))
        if median == 0:
            raise ValueError(
                "lambda_='auto' is a share of the samples' median norm, and most samples are zeros: pass a number, or "
                "leave such samples out"
            )
        return LCAParams(AUTO_LAMBDA * median, self.tau, self.steps)

    def _checked(self, X: ArrayLike) -> NDArray[np.float32]:
        checked: NDArray[np.float32] = validate_data(self, X, dtype=np.float32, reset=False)
        return checked

    def _codes(self, features: NDArray[np.float32]) -> SparseCodes:
        result = self._encoder.encode(features)
        self._encoder.require_stable(result, features, [f"sample {i}" for i in range(len(features))])
        return result.codes

    def _scores(self, codes: SparseCodes, features: NDArray[np.float32]) -> NDArray[np.float32]:
        known = self._exemplars
        given = Given(known.labels, len(known.classes), lambda rows: known.atoms[rows], lambda: features)
        return self._decoder.scores(codes, given)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if "_encoder" in state:  # what it has prepared is made again where it is needed
            state["_encoder"] = state["_encoder"].params
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_exemplars" in state:
            self._encoder = Encoder(Atoms.of(self._exemplars.atoms), state["_encoder"])


def _require_one_kind(classes: Sequence[object]) -> None:
    """Refuse numbers beside text: NumPy would make text of all of them.

    Raises:
        ValueError: if there are both.

    """
    first = {type(name) if isinstance(name, str | bytes) else float: name for name in reversed(classes)}
    if len(first) > 1:
        raise ValueError(f"classes should all be text or all be numbers, not {' and '.join(map(repr, first.values()))}")
