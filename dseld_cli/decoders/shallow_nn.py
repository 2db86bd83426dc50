"""Shallow network decoder of the paper: one linear layer and a softmax on the sparse code, trained on training images.

Deviations and choices, where the paper leaves them open:

- A training image that is an atom codes as itself, and a network trained on that learns nothing: the codes to train on
  must come from images whose own atom cannot fire, or that have none (see `dseld_cli.dictionary.leave_one_out`).
- Codes are scaled to unit L2 norm.
- The network starts as the class-sum decoder, its weights one scale times "this atom is of that class", with the scale
  that fits the labels best. Training then has to beat class-sum on images held out, or it stops where it was; from
  random weights it fell 1.4 points short of class-sum on CIFAR-10 features with 5,000 training images, from these it
  gained 0.8.
- Adam (Kingma & Ba, 2015) in batches, in plain NumPy: a batch touches few rows of the weights, so that a framework for
  dense networks has nothing to speed up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dseld_cli.decoders.base import Float32, Given, Int64, Progress, Trained
from dseld_cli.decoders.unit_codes import sparse_rows, unit
from dseld_cli.lca.codes import SparseCodes

SCALES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Scales of the class-sum start that are tried."""
HELD_OUT = 0.1
"""Share of the images that early stopping watches."""
LEARNING_RATE, DECAY, SQUARE_DECAY, TINY = np.float32(3e-3), np.float32(0.9), np.float32(0.999), np.float32(1e-8)
"""Adam's; all but the first as its authors propose."""
BATCH = 128
CACHED = 2**15
"""Weights that are updated at a time, so that all that belongs to them stays in the processor's cache."""
EPOCHS = 60
PATIENCE = 5
"""Epochs without a lower loss on the images held out, after which training stops."""


@dataclass(frozen=True)
class ShallowNN:
    """One linear layer and a softmax on the code, trained on codes of training images."""

    def scores(self, codes: SparseCodes, given: Given) -> Float32:
        """Probability of each class, (n, n_classes); all zero for an image for which no neuron fires."""
        weights, bias = given.learned["weights"], given.learned["bias"]
        values, scores = unit(codes), np.zeros((len(codes), given.n_classes), np.float32)
        with threadpool_limits(1):  # products of one image are too small to share
            for i, (start, stop) in enumerate(zip(codes.indptr, codes.indptr[1:], strict=False)):
                if start < stop:
                    scores[i] = softmax(values[start:stop] @ weights[codes.indices[start:stop]] + bias)
        return scores

    def train(self, codes: SparseCodes, truth: Int64, given: Given, seed: int, progress: Progress = iter) -> Trained:
        """Train on n images of classes `truth` (n,); keeps weights (M, n_classes) and bias (n_classes,), float32."""
        rng = np.random.default_rng(seed)
        shuffled = rng.permutation(len(codes))
        held, kept = np.split(shuffled, [max(1, round(HELD_OUT * len(codes)))])
        rows = sparse_rows(codes, len(given.labels))
        layer = Layer(np.eye(given.n_classes, dtype=np.float32)[given.labels], np.zeros(given.n_classes, np.float32))
        layer.weights *= layer.best_scale(rows[kept], truth[kept])
        lowest, start = layer.watched(rows[held], truth[held])
        learned, best, best_epoch = layer.kept(), start, 0
        for epoch in progress(range(1, EPOCHS + 1)):
            order = rng.permutation(kept)
            for batch in (order[i : i + BATCH] for i in range(0, len(order), BATCH)):
                layer.step(rows[batch], truth[batch])
            loss, right = layer.watched(rows[held], truth[held])
            if loss < lowest:
                lowest, best, best_epoch, learned = loss, right, epoch, layer.kept()
            elif epoch - best_epoch >= PATIENCE:
                break
        on_held = f"on the {len(held)} held out {100 * best:.2f} % right, {100 * start:.2f} % before (class-sum)"
        return Trained(learned, f"{best_epoch} epochs; {on_held}")


class Layer:
    """Weights (M, n_classes) and bias (n_classes,) in training, with Adam's running means of both gradients."""

    def __init__(self, weights: Float32, bias: Float32) -> None:
        self.weights, self.bias, self.steps = weights, bias, 0
        self.block = max(1, CACHED // weights.shape[1])
        self.means = [(np.zeros_like(x), np.zeros_like(x)) for x in (weights, bias)]

    def kept(self) -> dict[str, NDArray[Any]]:
        """Copy them."""
        return {"weights": self.weights.copy(), "bias": self.bias.copy()}

    def best_scale(self, rows: Any, truth: Int64) -> float:
        """Scale of the weights, of SCALES, that fits B images best."""
        logits = rows @ self.weights
        return min(SCALES, key=lambda scale: loss_of(np.float32(scale) * logits, truth))

    def watched(self, rows: Any, truth: Int64) -> tuple[float, float]:
        """Loss of B images, and the share that is right."""
        logits = rows @ self.weights + self.bias
        return loss_of(logits, truth), float((logits.argmax(axis=1) == truth).mean())

    def step(self, rows: Any, truth: Int64) -> None:
        """Take one step of Adam down the mean cross-entropy of a batch, rows (B, M), truth (B,)."""
        error = softmax(rows @ self.weights + self.bias)
        error[np.arange(len(truth)), truth] -= 1
        error /= np.float32(len(truth))
        self.steps += 1
        self._descend(self.bias, error.sum(axis=0), *self.means[1])
        gradient = rows.T @ error
        for part in (slice(i, i + self.block) for i in range(0, len(gradient), self.block)):
            self._descend(self.weights[part], gradient[part], *(mean[part] for mean in self.means[0]))

    def _descend(self, x: Float32, gradient: Float32, mean: Float32, square: Float32) -> None:
        """Adam's update in place, `gradient` used up."""
        mean += (1 - DECAY) * (gradient - mean)
        square *= SQUARE_DECAY
        square += (1 - SQUARE_DECAY) * np.square(gradient, out=gradient)
        root = np.sqrt(square, out=gradient)
        root /= np.float32(np.sqrt(1 - float(SQUARE_DECAY) ** self.steps))
        root += TINY
        x -= LEARNING_RATE / np.float32(1 - float(DECAY) ** self.steps) * (mean / root)


def softmax(logits: Float32) -> Float32:
    """Probabilities along the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Float32 = raised / raised.sum(axis=-1, keepdims=True)
    return probabilities


def loss_of(logits: Float32, truth: Int64) -> float:
    """Mean cross-entropy of B images, from logits (B, n_classes) and true classes (B,)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sum - shifted[np.arange(len(truth)), truth]).mean())
