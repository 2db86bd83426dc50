"""`dseld paper`: every figure of the paper beside what finished runs have, and its Figs. 2 and 6 drawn anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dseld_cli.errors import UserError
from dseld_cli.evaluation import plots
from dseld_cli.evaluation.paper import EXTRACTORS, OTHERS, RECONSTRUCTION, SOURCES, TIMES, Row, beside
from dseld_cli.runtime.console import say, say_json, table
from dseld_cli.runtime.outputs import together
from dseld_cli.store import project as paths

NEEDED = ("dataset", "backbone", "exemplars", "decoders")


def run(folders: Sequence[Path], as_json: bool) -> None:
    """Print the paper's tables, with the figures of the projects in `folders`; of none, with those of this one, if any.

    Raises:
        UserError: if a folder has no metrics.json, or one that is not of `dseld evaluate`.

    """
    read = folders or [Path()]
    rows = beside([run for folder in read if (run := _metrics(folder, required=bool(folders)))])
    rebuilt = next((found for folder in read if (found := _reconstruction(folder))), None)
    if as_json:
        say_json({"accuracy": [asdict(row) for row in rows], "reconstruction": rebuilt})
        return
    cells = [
        [
            row.dataset,
            row.extractor,
            row.decoder,
            "-" if row.theirs is None else f"{row.theirs:.2f}",
            "-" if row.ours is None else f"{row.ours:.2f}",
            "" if row.interval is None else f"{row.interval[0]:.2f} to {row.interval[1]:.2f}",
            "" if row.exemplars is None else str(row.exemplars),
        ]
        for row in rows
    ]
    columns = ["data set", "extractor", "decoder", "paper", "here", "95 % interval", "exemplars"]
    filled = len(columns) if any(row.ours is not None for row in rows) else 5
    title = "Top-1 in percent (the paper's Tables 3 and 6; 50000 exemplars there)"
    table(title, columns[:filled], [line[:filled] for line in cells])
    others = [[other.dataset, other.method, other.architecture, f"{other.top1:.2f}"] for other in OTHERS]
    table("Other spiking networks, as Table 6 has them", ["data set", "method", "architecture", "top-1"], others)
    say("; ".join(f"{method}: {source}" for method, source in SOURCES.items()))
    _show_reconstruction(rebuilt)
    times = [[name, str(batch), *(f"{value:g}" for value in ms)] for name, batch, *ms in TIMES]
    table(
        "Milliseconds an image (Table 5; here: `dseld timing`)",
        ["device", "batch", "extraction", "encoding", "decoding", "total"],
        times,
    )
    if paths.DATA.is_dir():
        _draw(rows)
    say("operations an image (Table 4): `dseld workload --paper`; neurons firing at each step (Fig. 7): `dseld report`")


def _draw(rows: Sequence[Row]) -> None:
    """Draw Fig. 6 and Fig. 2 of what is in the table."""
    drawn = {
        paths.PAPER / "extractors.png": plots.png(plots.by_extractor, rows),
        paths.PAPER / "costs.png": plots.png(plots.by_cost, rows, EXTRACTORS),
    }
    with together() as aside:
        for path, content in drawn.items():
            aside(path).write_bytes(content)
    extractors, costs = drawn
    say(f"{extractors} (Fig. 6), {costs} (Fig. 2)")


def _metrics(folder: Path, required: bool) -> dict[str, Any] | None:
    path = folder / paths.metrics("test")
    if not path.exists():
        if required:
            raise UserError(f"no {path}: name folders of projects in which `dseld evaluate` has run")
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict) or not all(key in found for key in NEEDED):
        raise UserError(f"{path} does not say what it is of: run `dseld evaluate` there again")
    return found


def _reconstruction(folder: Path) -> dict[str, Any] | None:
    path = folder / paths.RECONSTRUCTION / "figures.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _show_reconstruction(found: dict[str, Any] | None) -> None:
    keys = ("mse", "psnr", "ssim", "steps")
    rows = [[f"paper, {name}", *(f"{f[key]:g}" for key in keys)] for name, f in RECONSTRUCTION.items()]
    for name, f in (found or {"dictionaries": {}})["dictionaries"].items():
        rows.append([f"here, {name}", *(f"{f[key]:.4g}" for key in (*keys[:3], "steps_to_settle"))])
    of = f"; here {found['dataset']}" if found else ""
    title = f"Reconstruction (Table 1: an automobile of CIFAR-10{of})"
    table(title, ["dictionary", "MSE", "PSNR", "SSIM", "steps"], rows)
