"""`dseld remove-exemplars`: take images, or a whole addition, out of the dictionary in force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dseld_cli import paths, store
from dseld_cli.config.edit import edit
from dseld_cli.config.load import load
from dseld_cli.dictionary.additions import listed
from dseld_cli.dictionary.manifest import REMOVED, Composition
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, warn
from dseld_cli.stages.add_exemplars import compose, update


def run(names: Sequence[str] = (), places: Sequence[int] = (), compact: bool = False) -> None:
    """Put images on params.yaml's list of removals, take additions off its list, and write the dictionary.

    Args:
        names: images as the dictionary's source names them, or additions as params.yaml lists them.
        places: places of images in the dictionary in force, from 0.
        compact: close the gaps that removed images leave, and all later ones.

    Raises:
        UserError: if a name or a place is not in the dictionary in force.

    """
    base = store.open_store(paths.BASE, "base")
    with store.locked(paths.DICTIONARY):
        params, dictionary = load(), store.open_store(paths.DICTIONARY, "dictionary")
        known = [str(name) for name in dictionary.read("source")]
        if places and (compact or params.compact):
            raise UserError("--index: places change when gaps are closed; name the images instead")
        additions = [listed(name) for name in names if listed(name) in params.additions]
        images = [name for name in names if listed(name) not in additions]
        images += [_at(known, place) for place in places]
        new = [name for name in dict.fromkeys(images) if name not in (REMOVED, *params.removals)]
        _require_known(new, known)
        changes = {
            "additions": [name for name in params.additions if name not in additions],
            "removals": [*params.removals, *new],
            "compact": compact or params.compact,
        }
        wanted = compose(params.model_copy(update=changes), base)
        _require_exemplars(wanted)
        edit(changes)
        update(wanted)
    say("the cache and the remote still have what was removed: README.md, Growing a dictionary, says how to erase it")


def _at(known: list[str], place: int) -> str:
    """Name of the image at a place; REMOVED if it was removed already."""
    if not 0 <= place < len(known):
        raise UserError(f"--index {place}: the dictionary has places 0 to {len(known) - 1}")
    return known[place]


def _require_known(images: Sequence[str], known: list[str]) -> None:
    have = set(known)
    if missing := [name for name in images if name not in have]:
        raise UserError(
            f"{missing[0]} is neither an image in {paths.DICTIONARY} nor an addition: images are named as in its "
            f"source, such as {next(name for name in known if name != REMOVED)}"
        )


def _require_exemplars(wanted: Composition) -> None:
    """Refuse a dictionary without any exemplar, and warn of classes without one."""
    layout = wanted.layout
    left = np.bincount(wanted.labels[layout.images[~layout.gap]], minlength=len(wanted.classes))
    if not left.any():
        raise UserError("that would leave no exemplar at all: nothing removed")
    for c in np.flatnonzero(left == 0):
        warn(f"class {wanted.classes[c]} has no exemplar left")
