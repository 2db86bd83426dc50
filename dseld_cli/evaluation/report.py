"""What the report's page shows, and the page: whole, without anything outside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dseld_cli import __version__
from dseld_cli.evaluation import plots
from dseld_cli.evaluation.evaluation import Evaluation, firing_shares
from dseld_cli.evaluation.gallery import Thumbnails, gallery, without_path
from dseld_cli.evaluation.paper import beside, papers_firing
from dseld_cli.evaluation.pictures import uri
from dseld_cli.evaluation.tables import figures
from dseld_cli.evaluation.workload import Workload, measured
from dseld_cli.runtime.text import shown
from dseld_cli.store import project as paths

DECIDER = "class-sum"
"""The decoder of the gallery, if it was run: its score is a sum over exemplars; otherwise the first that was."""


def page(found: Evaluation, thumbnails: Thumbnails) -> str:
    """Write the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dseld_cli.evaluation", "templates"),
        autoescape=True,
        finalize=lambda value: shown(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html").render(**contents(found, thumbnails))


def contents(found: Evaluation, thumbnails: Thumbnails) -> dict[str, Any]:
    """Everything that the page shows."""
    firing, setting = found.firing(), found.setting()
    decider = DECIDER if DECIDER in found.predictions else next(iter(found.predictions))
    return {
        "version": __version__,
        "dataset": without_path(found.features.info.dataset),
        "backbone": found.dictionary.info.extractor["backbone"],
        "setting": setting,
        "results": found.summaries(),
        "baselines": found.baseline_summaries(),
        "best_of": lambda found: max(found, key=lambda name: found[name]["top1"]),
        "in_dictionary": found.in_dictionary(),
        "firing": firing_shares(firing, found.ever_firing()),
        "confusion": drawings(plots.confusion_matrices, found.confusion(), found.classes),
        "per_class": drawings(plots.per_class_accuracy, found.per_class()),
        "firing_curve": drawings(
            plots.firing_curve, firing.mean(axis=0), papers_firing(setting["exemplars"]), found.ever_firing()
        ),
        "energy": _energy(found),
        "cost": _cost(setting),
        "gallery": gallery(found, decider, thumbnails),
        "decider": decider,
        "reconstruction": _reconstruction(),
        "sweeps": list(_sweeps()),
        "deploy": _deploy(found),
        "paper": [row for row in beside([figures(found)]) if row.ours is not None],
        "trained": found.trained,
    }


def drawings(plot: Callable[..., Any], *content: object) -> list[Any]:
    """Draw a plot as SVG that takes the page's text colour: for wide screens, and for narrow ones."""
    from markupsafe import Markup

    texts = (plots.svg(plot, *content, width).replace("#000000", "currentColor") for width in plots.WIDTHS)
    return [Markup(text.replace("<svg ", '<svg role="img" ', 1)) for text in texts]  # from matplotlib, which escapes


def _energy(found: Evaluation) -> list[Any] | None:
    if "energy" not in found.codes.arrays:
        return None
    return drawings(plots.energy_curve, found.codes.read("energy").mean(axis=0))


def _cost(setting: Mapping[str, Any]) -> dict[str, Any]:
    here = measured()
    assert here is not None, "the stores that were just evaluated"
    work = Workload(setting["exemplars"], setting["features"], setting["steps"], here["share"])
    return {"figures": work.figures(), "measured": here}


def _deploy(found: Evaluation) -> dict[str, Any] | None:
    """Read what `dseld deploy-check` found of this dictionary; None where it was not run for it."""
    if not paths.DEPLOY.exists():
        return None
    here = dict(json.loads(paths.DEPLOY.read_text(encoding="utf-8")))
    return here if here.get("dictionary") == found.dictionary.fingerprint else None


def _reconstruction() -> dict[str, Any] | None:
    figures = paths.RECONSTRUCTION / "figures.json"
    if not figures.exists():
        return None
    drawn = {name: uri((paths.RECONSTRUCTION / f"{name}.png").read_bytes()) for name in ("images", "energy")}
    found = json.loads(figures.read_text(encoding="utf-8"))
    return {**found, "dataset": without_path(found["dataset"]), "pictures": drawn}


def _sweeps() -> Iterator[dict[str, Any]]:
    for table in sorted(paths.SWEEPS.glob("*/*.csv")):
        with table.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        picture = uri(table.with_suffix(".png").read_bytes())
        yield {"name": table.stem, "split": table.parent.name, "header": header, "rows": rows, "picture": picture}
