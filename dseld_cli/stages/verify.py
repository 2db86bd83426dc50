"""`dseld verify`: every store and draft of a project compared with what was committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dseld_cli.config.schema import Params
from dseld_cli.dictionary.additions import added_stores
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, track
from dseld_cli.store import project as paths
from dseld_cli.store.check import ENDINGS, check, folders


def run(params: Params, more: Sequence[Path] = (), repair: bool = False) -> int:
    """Look through all stores and drafts below data/, additions and `more` stores; a line each. How many are damaged.

    Raises:
        UserError: if one of `more` is named as no store is.
        OSError: if the disk does not let us know.

    """
    if wrong := [path for path in more if not path.name.endswith(ENDINGS)]:
        raise UserError(f"verify {wrong[0]}: that is no store of dseld's: those end in {ENDINGS[0]}")
    listed = [*folders(paths.DATA), *added_stores(params.additions), *more]
    found = [check(path, repair, track) for path in dict.fromkeys(listed)]
    for one in found:
        say(f"{'DAMAGED' if one.damaged else 'empty' if one.empty else 'ok':<8}{one.path}: {one.said}")
    damaged = sum(one.damaged for one in found)
    say(f"{len(found)} stores and drafts, {damaged} damaged" if found else f"no stores below {paths.DATA}")
    return damaged
