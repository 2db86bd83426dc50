"""Decoders: sparse codes (CSR) and the atoms' classes to a score a class. They know arrays only: no files, no options.

A decoder in DECODERS is a function (codes, labels (M,), n_classes) -> scores (n, n_classes) float32. Minimum residual
looks at the images as well, and shallow-nn is trained first; `scores` has what all share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.balanced_class_sum import balanced_class_sum
from dseld_cli.decoders.base import UNDECIDED, predict, shares
from dseld_cli.decoders.class_sum import class_sum
from dseld_cli.decoders.max_activation import max_activation
from dseld_cli.lca.codes import SparseCodes

__all__ = ["DECODERS", "UNDECIDED", "Decoder", "predict", "shares"]

Decoder = Callable[[SparseCodes, NDArray[np.int64], int], NDArray[np.float32]]

DECODERS: dict[str, Decoder] = {
    "max-activation": max_activation,
    "class-sum": class_sum,
    "balanced-class-sum": balanced_class_sum,
}
