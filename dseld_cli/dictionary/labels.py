"""Labels that were wrong, and are corrected: which, and those of training images with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.listed import Listed
from dseld_cli.dictionary.manifest import Layout, Rows, Segment


def relabels_of(dictionary: store.Dictionary) -> dict[str, str]:
    """Classes of the images whose label was wrong, by the images' names."""
    if not (classes := {one.row: one.label for one in dictionary.info.relabelled or ()}):
        return {}
    images, source = Layout.of(dictionary).images, dictionary.read("source")
    return {str(source[place]): classes[int(row)] for place, row in enumerate(images) if int(row) in classes}


def training_labels(features: store.Features, dictionary: store.Dictionary) -> Rows:
    """Class of each image of a split (n,), wrong labels corrected, as an index into the dictionary's classes."""
    return Segment("", features, None, relabels_of(dictionary)).labels(dictionary.info.classes)


def labels_of_atoms(dictionary: store.Dictionary) -> Rows:
    """Class of each atom, (M,), -1 of those that were removed."""
    return np.where(Layout.of(dictionary).tombstones, -1, dictionary.read("labels"))


def as_listed(origin: store.Base | store.Features, listed: Listed) -> tuple[Rows, NDArray[np.bool_]]:
    """Class of each image, (n,), wrong labels corrected, and whether it is on no list of removals, (n,).

    A label that is wrong stays where the image is of a class that only an addition has.
    """
    classes = origin.info.classes
    relabels = {one.image: one.class_ for one in listed.relabels if one.class_ in classes}
    return Segment("", origin, None, relabels).labels(classes), ~np.isin(origin.read("source"), list(listed.removals))
