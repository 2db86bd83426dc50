"""Ridge regression on codes, shrunk towards class-sum: in closed form, without a gradient.

Over unit codes F (n, M) of training images, whose own atoms cannot fire, with classes Y (n, C) as ones and zeros:

    W = argmin |Y - F W|^2 + r |W - PRIOR O|^2,    O (M, C): which atom is of which class

Class-sum is the W = PRIOR O from which an exemplar is moved only as far as images of known classes argue for it: one
that mostly fires for others' images loses its voice, or speaks for them. Ordinary ridge regression is shrunk towards
nothing, and from 10,000 images falls short of class-sum (79.7 where that has 82.1 and this 83.6, CIFAR-10 features).

W - PRIOR O = F^T (F F^T + r I)^-1 (Y - PRIOR F O). The system is solved by conjugate gradients, in which F stays
sparse: some ten products with it per class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import Float32, Given, Int64, Progress, Trained, option
from dseld_cli.decoders.unit_codes import sparse_rows
from dseld_cli.errors import UserError
from dseld_cli.lca.codes import SparseCodes

PRIOR = 0.5
"""Weight of an atom for its own class before anything is learned; from 0.3 to 1 it makes little difference."""
TOLERANCE = 1e-5
"""Of the solution's residual, relative."""


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of the classes on codes, shrunk towards class-sum; fitted in closed form."""

    penalty: float = option(3.0, "How strongly weights are held to class-sum's, where each training image counts 1.")

    def __post_init__(self) -> None:
        """Refuse a penalty that leaves the system singular.

        Raises:
            ValueError: if it is not positive.

        """
        if not 0 < self.penalty < np.inf:
            raise ValueError(f"option penalty should be positive; got {self.penalty:g}")

    def scores(self, codes: SparseCodes, given: Given) -> Float32:
        """Multiply unit codes with the weights, (n, n_classes); all zero for an image for which no neuron fires."""
        weights = given.learned["weights"]
        found: Float32 = sparse_rows(codes, len(weights)) @ weights
        return found

    def train(self, codes: SparseCodes, truth: Int64, given: Given, seed: int, progress: Progress = iter) -> Trained:
        """Fit weights (M, n_classes), float32, to n images of classes `truth` (n,); nothing of it is random."""
        rows = sparse_rows(codes, len(given.labels)).astype(np.float64)
        weights = np.empty((len(given.labels), given.n_classes), np.float32)
        moved = 0.0
        for c in progress(range(given.n_classes)):
            prior = PRIOR * (given.labels == c)
            change = rows.T @ solved(rows, self.penalty, (truth == c) - rows @ prior)
            weights[:, c] = prior + change
            moved += float(change @ change)
        return Trained({"weights": weights}, f"weights moved by {np.sqrt(moved / weights.size):.2g} in the mean square")


def solved(rows: Any, penalty: float, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve (F F^T + penalty I) x = wanted for sparse rows F (n, M), wanted (n,).

    Raises:
        UserError: if the iteration does not converge.

    """
    from scipy.sparse.linalg import LinearOperator, cg

    n, transposed = rows.shape[0], rows.T.tocsr()
    system = LinearOperator((n, n), matvec=lambda x: rows @ (transposed @ x) + penalty * x, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # that it does not converge is said below
        found, failed = cg(system, wanted, rtol=TOLERANCE)
    if failed:
        raise UserError(f"ridge: no solution is reached with penalty {penalty:g}: choose another (--option penalty=)")
    solution: NDArray[np.float64] = found
    return solution
