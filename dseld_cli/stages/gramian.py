"""`dseld gramian`: the stored Gramian, up to date with the current dictionary."""

from __future__ import annotations

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.gramian_growth import Settings, grow, no_room
from dseld_cli.errors import UserError
from dseld_cli.runtime.cluster import engine
from dseld_cli.runtime.console import say, track
from dseld_cli.store import project as paths


def run(params: Params) -> None:
    """Compute what tiles are missing or damaged; or leave an empty folder, where none is to be built.

    Raises:
        UserError: if there is no dictionary, there is no room for a Gramian that is asked for, the memory budget is too
            small, or another process does the same.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    wanted, dtype = params.gramian.build, params.gramian.dtype
    against = (
        "gramian.build: never" if wanted == "never" else no_room(paths.GRAMIAN, dictionary.shape("atoms")[0], dtype)
    )
    if against and wanted == "always":
        raise UserError(f"gramian.build: {against}: free some, or set it to auto, which does without")
    if against:
        store.cleared(paths.GRAMIAN)
        say(f"{paths.GRAMIAN}: none is built ({against}); inner products are computed from the atoms")
    else:
        with engine(params.run.engine, params.run.scheduler, params.run.memory) as does:
            say(str(grow(paths.GRAMIAN, dictionary, Settings(dtype, params.run.memory), track, does)))
