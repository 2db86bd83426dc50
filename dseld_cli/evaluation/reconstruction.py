"""Images rebuilt from their codes over two dictionaries (paper, Sec. 4.1): how well, and how soon the network settles.

The recurrence of `lca.recurrence` on pixels in [0, 1]; the rebuilt image is Phi^T a[K], clipped to [0, 1]. Errors are
on the scale of 0 to 255, as in the paper's Table 1. The network has settled at the first step after which the energy
E(a) = ||S - Phi^T a||^2 / 2 + lambda ||a||_1 stays within 1 % of its whole descent from where it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import metrics

from dseld_cli.lca.recurrence import LCAParams, run_lca, unstable

measures: Any = metrics  # typed in part only
SETTLED = 0.01
"""Share of the energy's descent within which it counts as settled."""
Float32 = NDArray[np.float32]
Progress = Callable[[range], Iterable[int]]


@dataclass(frozen=True)
class Rebuilt:
    """What became of n images.

    Attributes:
        images: (n, N) in [0, 1].
        reconstruction: ||S - Phi^T a[k]||^2 / 2 for k = 0 to K, (n, K + 1).
        sparsity: lambda ||a[k]||_1, (n, K + 1).
        firing: neurons firing after the last step, (n,).
        unstable: whether the recurrence diverged or oscillated, (n,).

    """

    images: Float32
    reconstruction: NDArray[np.float64]
    sparsity: NDArray[np.float64]
    firing: NDArray[np.int32]
    unstable: NDArray[np.bool_]


def rebuild(images: Float32, atoms: Float32, params: LCAParams, progress: Progress = iter) -> Rebuilt:
    """Code images (n, N) over unit-norm atoms (M, N) and rebuild them; `progress` wraps the K steps."""
    lateral = atoms @ atoms.T
    np.fill_diagonal(lateral, 0)
    norms = [np.zeros(len(images), np.float32)]
    steps = iter(progress(range(params.steps)))

    def inhibition(a: Float32) -> Float32:
        next(steps, None)
        norms.append(np.abs(a).sum(axis=1))
        return a @ lateral

    response = run_lca(images @ atoms.T, inhibition, params)
    next(steps, None)
    sparsity = params.lambda_ * np.stack(norms, axis=1).astype(np.float64)
    silence = 0.5 * (images.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):  # of images that `unstable` reports
        rebuilt, reconstruction = (response.code @ atoms).clip(0, 1), response.energy + silence - sparsity
    return Rebuilt(rebuilt, reconstruction, sparsity, response.firing[:, -1], unstable(response.energy))


def gaussian_atoms(n_atoms: int, n_features: int, seed: int) -> Float32:
    """Unit-norm atoms of independent Gaussian numbers, (n_atoms, n_features)."""
    return unit(np.random.default_rng(seed).standard_normal((n_atoms, n_features), np.float32))


def unit(rows: Float32) -> Float32:
    """Rows at unit L2 norm; those that are all zero are left out."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    scaled: Float32 = (rows[norms[:, 0] > 0] / norms[norms[:, 0] > 0]).astype(np.float32)
    return scaled


def steps_to_settle(energy: NDArray[np.float64]) -> NDArray[np.int64]:
    """First step from which the energy (n, K + 1) stays within 1 % of its descent from where it ends, (n,)."""
    descent = np.abs(energy[:, :1] - energy[:, -1:])
    away = np.abs(energy - energy[:, -1:]) > SETTLED * descent
    return np.where(away.any(axis=1), energy.shape[1] - np.argmax(away[:, ::-1], axis=1), 0)


def quality(images: Float32, rebuilt: Float32, shape: tuple[int, ...]) -> dict[str, float]:
    """MSE (0 to 255), PSNR in dB and SSIM, averaged over images (n, N) of a shape (H, W) or (H, W, 3)."""
    channel = 2 if len(shape) == 3 else None
    pairs = [(255 * a.reshape(shape), 255 * b.reshape(shape)) for a, b in zip(images, rebuilt, strict=True)]
    with np.errstate(divide="ignore"):
        psnr = [measures.peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs]
    ssim = [measures.structural_similarity(a, b, data_range=255, channel_axis=channel) for a, b in pairs]
    mse = [measures.mean_squared_error(a, b) for a, b in pairs]
    return {"mse": float(np.mean(mse)), "psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}
