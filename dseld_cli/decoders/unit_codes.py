"""Codes scaled to unit L2 norm, so that a faint image counts like a strong one: what trained decoders read."""

from __future__ import annotations

from typing import Any

import numpy as np

from dseld_cli.decoders.base import Float32
from dseld_cli.lca.codes import SparseCodes


def unit(codes: SparseCodes) -> Float32:
    """Values of codes scaled so that each image's have unit L2 norm, (nnz,)."""
    image = codes.image_of_value()
    norms = np.sqrt(np.bincount(image, codes.values**2, minlength=len(codes)))
    return (codes.values / norms[image]).astype(np.float32)


def sparse_rows(codes: SparseCodes, n_atoms: int) -> Any:
    """Codes at unit L2 norm as SciPy's sparse rows, (n, n_atoms)."""
    from scipy.sparse import csr_array

    return csr_array((unit(codes), codes.indices, codes.indptr), shape=(len(codes), n_atoms))
