"""Labels that were wrong, and are corrected: which, and those of training images with them."""

from __future__ import annotations

from dseld_cli import store
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
