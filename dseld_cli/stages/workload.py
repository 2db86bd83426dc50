"""`dseld workload`: what an image costs, in closed form for any setting, and measured on this run's codes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.evaluation.workload import (
    PAPER_ATOMS,
    PAPER_FEATURES,
    PAPER_SHARE,
    PAPER_STEPS,
    Workload,
    measured,
)
from dseld_cli.runtime.console import say, say_json, table
from dseld_cli.store import project as paths


def run(
    params: Params, atoms: int | None, features: int | None, percent: float | None, paper: bool, as_json: bool
) -> None:
    """Print the closed forms for a setting, and what was measured here.

    Raises:
        UserError: if neither the options nor the stores say what the setting is.

    """
    here = measured()
    settings = _paper() if paper else {"this": _setting(params, atoms, features, percent, here)}
    found = {
        "workload": {name: asdict(setting) | setting.figures() for name, setting in settings.items()},
        "measured": None if here is None else {k: v for k, v in here.items() if k != "share"},
    }
    if as_json:
        say_json(found)
    else:
        _show(settings, found["measured"])


def _paper() -> dict[str, Workload]:
    return {name: Workload(PAPER_ATOMS, n, PAPER_STEPS, PAPER_SHARE) for name, n in PAPER_FEATURES.items()}


def _setting(
    params: Params, atoms: int | None, features: int | None, percent: float | None, here: dict[str, Any] | None
) -> Workload:
    """Say what the options leave open with the dictionary's size and the share of neurons firing that was measured."""
    for name, value in (("--atoms", atoms), ("--features", features)):
        if value is not None and value < 1:
            raise UserError(f"{name} should be at least 1; got {value}")
    if percent is not None and not 0 <= percent <= 100:
        raise UserError(f"--firing should be a share from 0 to 100 percent; got {percent:g}")
    if atoms is None or features is None:
        shape = store.open_store(paths.DICTIONARY, store.DictionaryInfo).shape("atoms")
        atoms, features = atoms or shape[0], features or shape[1]
    if percent is None and here is None:
        raise UserError("no codes to measure the share of neurons firing on: pass --firing PERCENT, or `dseld encode`")
    share = percent / 100 if percent is not None else float(here["share"])  # type: ignore[index]
    return Workload(atoms, features, params.lca.steps, share)


def _show(settings: dict[str, Workload], here: dict[str, Any] | None) -> None:
    columns = ["setting", "atoms", "features", "steps", "firing %", "b", "inhibition", "leak", "image", "dense"]
    rows = []
    for name, setting in settings.items():
        f = setting.figures()
        gflop = [f[f"{key}_gflop"] for key in ("driving_input", "inhibition", "integration", "image")]
        shape = [str(setting.atoms), str(setting.features), str(setting.steps), f"{100 * setting.share:.2f}"]
        rows.append([name, *shape, *(f"{value:.3g}" for value in [*gflop, f["image_gflop_dense"]])])
    table("GFLOP per image (closed form, Eq. 3 to 6)", columns, rows)
    once = ([n, *(f"{s.figures()[key]:.4g}" for key in ("dictionary_tflop", "atoms_gb", "gramian_gb"))]
            for n, s in settings.items())  # fmt: skip
    table("Once", ["setting", "Gramian, TFLOP", "atoms, GB", "Gramian, GB"], once)
    if here is None:
        say("measured: nothing, there are no codes of the test split over the current dictionary")
        return
    operations, bytes_ = here["SynapticOperations"], here["Footprint"]
    rows = [
        ["ActivationSparsity", f"{here['ActivationSparsity']:.5f}"],
        ["neurons firing, average", f"{100 * (1 - here['ActivationSparsity']):.3f} %"],
        ["neurons firing, at an image's peak", f"{here['firing_at_peak_percent']:.3f} %"],
        *([f"SynapticOperations, {name}", f"{value:.4g}"] for name, value in operations.items()),
        ["Footprint, atoms", f"{bytes_['atoms'] / 1e6:.1f} MB"],
        ["Footprint, atoms and Gramian", f"{bytes_['gramian'] / 1e6:.1f} MB"],
    ]
    if "products" in here:
        spent = f"{here['products']:.2f} passes over the atoms, {here['products_gflop']:.3g} GFLOP"
        rows.append(["what the encoder spent", spent])
    table(f"Measured on {here['images']} coded images, each", ["NeuroBench", "figure"], rows)
