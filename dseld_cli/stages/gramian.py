"""`dseld gramian`: the stored Gramian, up to date with the current dictionary."""

from __future__ import annotations

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.gramian_growth import Settings, grow
from dseld_cli.runtime.console import say, track
from dseld_cli.store import project as paths


def run(params: Params) -> None:
    """Compute what tiles are missing or damaged.

    Raises:
        UserError: if there is no dictionary, the memory budget is too small, or another process does the same.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    settings = Settings(params.gramian.dtype, params.run.memory)
    say(str(grow(paths.GRAMIAN, dictionary, settings, track)))
