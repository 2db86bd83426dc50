"""What stages that touch a dictionary share: unit-norm atoms, matching extractors, common class names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import DoesNotFit, UserError
from dseld_cli.store import MADE_BY, Array, Base, Dictionary, Features, blocks

UNIT_NORM_TOLERANCE = 1e-5


def normalize(rows: NDArray[np.float32], source: Sequence[str] | Array) -> NDArray[np.float32]:
    """Scale rows (m, N) to unit L2 norm, in float64 so that the Gramian's diagonal is 1 to rounding.

    Raises:
        UserError: naming the first row that is all zeros or not finite.

    """
    unit = np.empty(rows.shape, np.float32)
    for part in blocks(len(rows)):  # in double precision, all of them would take four times their room
        norms = np.linalg.norm(rows[part].astype(np.float64), axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            raise UserError(
                f"{source[part.start + bad[0]]} has features that are all zero or not finite: it cannot be an atom; "
                "remove it"
            )
        unit[part] = rows[part] / norms
    return unit


def require_unit_norm(rows: NDArray[np.float32], dictionary: Dictionary) -> None:
    """Refuse atoms that are not unit-norm: the recurrence subtracts I for the Gramian's diagonal.

    The zeros that a removed exemplar leaves are allowed: no input drives such a neuron, and none inhibits it.

    Raises:
        UserError: if one is not.

    """
    norms = np.linalg.norm(rows, axis=1)
    if not np.all((np.abs(norms - 1) <= UNIT_NORM_TOLERANCE) | (norms == 0)):
        raise dictionary.damaged("its atoms do not have unit L2 norm")


def require_same_extractor(features: Features, dictionary: Base | Dictionary) -> None:
    """Refuse features that are not comparable with a dictionary's.

    Raises:
        UserError: saying what differs.

    """
    ours, theirs = dictionary.info.extractor, features.info.extractor
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            raise DoesNotFit(
                f"{features.path} was extracted with {key} {theirs.get(key)}, {dictionary.path} with {ours.get(key)}: "
                f"run `{MADE_BY['features']}` for both with the same settings, then `{MADE_BY['base']}`"
            )
    n, m = features.shape("features")[1], dictionary.shape("atoms")[1]
    if n != m:
        raise DoesNotFit(f"{features.path} has {n} features per image, {dictionary.path} has {m}: extract both alike")


def merged(lists: Iterable[Sequence[str]]) -> list[str]:
    """Classes of a dictionary, which its labels index: those of the base keep their places, new ones follow.

    The one rule of class lists: in order of appearance, over the lists of the base and then of each addition.
    """
    return list(dict.fromkeys(name for names in lists for name in names))


def relabel(labels: NDArray[np.int64], names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Labels that index `names`, as labels that index `classes`, by name; -1 for a name that `classes` lacks."""
    position = {name: i for i, name in enumerate(classes)}
    table = np.array([position.get(name, -1) for name in names], dtype=np.int64)
    return table[labels]
