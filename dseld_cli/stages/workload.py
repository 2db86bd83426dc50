"""`dseld workload`: what an image costs, in closed form for any setting, and measured on this run's codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.evaluation import paper as papers
from dseld_cli.evaluation.workload import Workload, measured
from dseld_cli.runtime.console import say, say_json, table
from dseld_cli.store import project as paths

KEPT_APART = (
    "Eq. 11 counts the additions and multiplications of the driving input, of inhibition by neurons that fire, and of "
    "the leak. NeuroBench counts what synapses carry: a MAC, two operations, for each weight that meets an activation "
    "or a feature other than zero."
)


def run(
    params: Params, atoms: int | None, features: int | None, percent: float | None, paper: bool, as_json: bool
) -> None:
    """Print Eq. 11 for a setting, or the paper's table of it, and what was measured here.

    Raises:
        UserError: if neither the options nor the stores say what the setting is, or both --paper and a setting do.

    """
    here = measured()
    if paper and not (atoms is features is percent is None):
        raise UserError("--paper is of the paper's settings: leave out --atoms, --features and --firing, or --paper")
    setting = None if paper else _setting(params, atoms, features, percent, here)
    found = {
        "workload": _paper() if setting is None else {"this": asdict(setting) | setting.figures()},
        "measured": None if here is None else {k: v for k, v in here.items() if k != "share"},
    }
    if as_json:
        say_json(found)
        return
    if setting is None:
        _show_paper()
    else:
        _show(setting)
    _show_measured(found["measured"])


def _paper() -> dict[str, dict[str, float]]:
    return {
        row.extractor: {
            "features": row.features,
            "dictionary_tflop": papers.training_flops(row.features) / 1e12,
            "image_gflop": papers.flops(row.features) / 1e9,
            f"image_gflop_at_{papers.FEW_STEPS}_steps": papers.flops(row.features, papers.FEW_STEPS) / 1e9,
        }
        for row in papers.COST
    }


def _show_paper() -> None:
    """Show Table 4 of the paper as Eq. 11 gives it."""
    rows, notes = [], []
    for row in papers.COST:
        found = {steps: papers.flops(row.features, steps) / 1e9 for steps in (papers.STEPS, papers.FEW_STEPS)}
        cut = [steps for steps in found if (row.extractor, steps) in papers.CUT]
        for steps in cut:
            notes.append(f"* {found[steps]:.4f} at K = {steps}: the paper prints {row.image_few}, cut, not rounded")
        gramian = papers.printed(papers.training_flops(row.features) / 1e12)
        name = f"{row.extractor} *" if cut else row.extractor
        rows.append([name, str(row.features), gramian, *(papers.printed(value) for value in found.values())])
    columns = [
        "extractor",
        "features",
        "Gramian, TFLOP",
        *(f"K = {k}, GFLOP" for k in (papers.STEPS, papers.FEW_STEPS)),
    ]
    share = 100 * papers.FIRING / papers.ATOMS
    table(f"Eq. 11 (the paper's Table 4): {papers.ATOMS} atoms, {papers.FIRING} firing ({share:g} %)", columns, rows)
    for note in notes:
        say(note)


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


def _show(setting: Workload) -> None:
    f = setting.figures()
    rows = [
        ["driving input, Phi S", f"{f['driving_input_gflop']:.4g} GFLOP"],
        ["inhibition, G a", f"{f['inhibition_gflop']:.4g} GFLOP"],
        ["leak and integration", f"{f['integration_gflop']:.4g} GFLOP"],
        ["an image", f"{f['image_gflop']:.4g} GFLOP"],
        ["an image, if all neurons fired", f"{f['image_gflop_dense']:.4g} GFLOP"],
        ["the Gramian, once", f"{f['dictionary_tflop']:.4g} TFLOP"],
        ["atoms", f"{f['atoms_gb']:.4g} GB"],
        ["the Gramian, dense", f"{f['gramian_gb']:.4g} GB"],
    ]
    shape = f"{setting.atoms} atoms of {setting.features} features, {setting.steps} steps"
    firing = f"{setting.share * setting.atoms:.4g} firing ({100 * setting.share:.2f} %)"
    table(f"Eq. 11: {shape}, {firing}", ["what", "figure"], rows)


def _show_measured(here: Mapping[str, Any] | None) -> None:
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
    say(KEPT_APART)
