"""Where the chunks of stores that this process makes are to lie: told once, for every store that begins."""

from __future__ import annotations

LOCAL = "local"
"""In the folders of the stores."""
_told = [LOCAL]


def write_to(place: str) -> None:
    """Let stores that begin from now on have their chunks at a URL, or "local", in their folders."""
    _told[0] = place.rstrip("/")


def written_to() -> str:
    """Where the chunks of a store lie that begins now: a URL, or "local"."""
    return _told[0]
