"""What a dictionary is to consist of, as params.yaml lists it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Relabelled(Protocol):
    """An image whose label was wrong."""

    @property
    def image(self) -> str:
        """As the dictionary's `source` names it."""

    @property
    def class_(self) -> str:
        """The class that it shows."""


class Listed(Protocol):
    """What a dictionary is to consist of beside its base, as params.yaml lists it."""

    @property
    def additions(self) -> Sequence[str]:
        """Feature stores and folders of images, in order."""

    @property
    def removals(self) -> Sequence[str]:
        """Images that are not to be used, as the dictionary's `source` names them."""

    @property
    def relabels(self) -> Sequence[Relabelled]:
        """Images whose label is wrong, as the dictionary's `source` names them, with their class."""

    @property
    def compact(self) -> bool:
        """Whether removed images leave no tombstone."""
