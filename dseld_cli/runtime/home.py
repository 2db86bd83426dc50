"""Paths that begin with ~, as a person writes them."""

from __future__ import annotations

from pathlib import Path

from dseld_cli.errors import UserError


def expanded(path: Path) -> Path:
    """Follow ~ to the home folder, as a shell would that did not see it: --output=~/x.

    Raises:
        UserError: if there is no such home.

    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such home folder") from None
