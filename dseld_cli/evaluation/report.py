"""What the report's page shows, and the page: whole, without anything outside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dseld_cli import __version__
from dseld_cli.errors import UserError
from dseld_cli.evaluation import plots
from dseld_cli.evaluation.evaluation import Evaluation
from dseld_cli.evaluation.gallery import Thumbnails, gallery, suspects, without_path
from dseld_cli.evaluation.paper import EXTRACTORS, beside, papers_firing
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
    firing, setting, main = found.firing, found.setting(), figures(found)
    decider = DECIDER if DECIDER in found.predictions else next(iter(found.predictions))
    return {
        "version": __version__,
        "dataset": without_path(found.features.info.dataset),
        "backbone": found.dictionary.info.extractor["backbone"],
        "setting": setting,
        "results": main["decoders"],
        "baselines": found.baseline_summaries(),
        "best_of": lambda found: max(found, key=lambda name: found[name]["top1"]),
        "in_dictionary": main["images_in_dictionary"],
        "firing": main["firing"],
        "confusion": drawings(plots.confusion_matrices, found.confusion(), found.classes),
        "per_class": drawings(plots.per_class_accuracy, found.per_class()),
        "firing_curve": drawings(plots.firing_curve, firing.curve, papers_firing(setting["exemplars"]), firing.ever),
        "energy": _energy(found),
        "cost": _cost(setting),
        "gallery": gallery(found, decider, thumbnails),
        "decider": decider,
        "audit": _audit(found, thumbnails),
        "reconstruction": _reconstruction(),
        "sweeps": list(_sweeps()),
        "deployed": list(_deployed(found)),
        "paper": _paper(main),
        "trained": found.trained,
    }


def drawings(plot: Callable[..., Any], *content: object) -> list[Any]:
    """Draw a plot as SVG that takes the page's text colour: for wide screens, and for narrow ones."""
    from markupsafe import Markup

    texts = (plots.svg(plot, *content, width).replace("#000000", "currentColor") for width in plots.WIDTHS)
    return [Markup(text.replace("<svg ", '<svg role="img" ', 1)) for text in texts]  # from matplotlib, which escapes


def _paper(main: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of the paper's tables that these figures stand beside, and its Figs. 6 and 2 with them."""
    rows = beside([main])
    here = [row for row in rows if row.ours is not None]
    same = [row for row in rows if row.dataset in {row.dataset for row in here}]
    if not any(row.theirs is not None for row in same):  # a data set that the paper has not
        return {"rows": here, "extractors": None, "costs": None}
    costs = drawings(plots.by_cost, same, EXTRACTORS) if any(row.extractor in EXTRACTORS for row in same) else None
    return {"rows": here, "extractors": drawings(plots.by_extractor, same), "costs": costs}


def _energy(found: Evaluation) -> list[Any] | None:
    if "energy" not in found.codes.arrays:
        return None
    total = sum(energy.sum(axis=0, dtype=np.float64) for _, energy in found.codes.stream("energy"))
    return drawings(plots.energy_curve, total / len(found.rows))


def _cost(setting: Mapping[str, Any]) -> dict[str, Any]:
    here = measured()
    assert here is not None, "the stores that were just evaluated"
    work = Workload(setting["exemplars"], setting["features"], setting["steps"], here["share"])
    return {"figures": work.figures(), "measured": here}


def _deployed(found: Evaluation) -> Iterator[dict[str, Any]]:
    """Read what `dseld deploy-check` found of this dictionary, the fewest exemplars first."""
    kept = (_figures(file, ("dictionary", "forms", "size", "curve")) for file in paths.DEPLOY.glob("*.json"))
    here = [one for one in kept if one["dictionary"] == found.dictionary.fingerprint]
    for one in sorted(here, key=lambda one: int(one["atoms"])):
        yield {**one, "picture": drawings(plots.against_effort, one["curve"])}


def _audit(found: Evaluation, thumbnails: Thumbnails) -> dict[str, Any] | None:
    """Read what `dseld audit` found of this dictionary; None where it was not run for it."""
    if not (file := paths.AUDIT / "audit.json").exists():
        return None
    here = _figures(file, ("suspects", "images"))
    if here.get("dictionary") != found.dictionary.fingerprint:
        return None
    suspicious = here["suspects"]
    return {"images": here["images"], "found": len(suspicious), "suspects": suspects(suspicious, thumbnails)}


def _figures(file: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read figures that a command left.

    Raises:
        UserError: if the file is damaged, or of another version.

    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}): run the command that wrote it again, or delete it") from None
    if not isinstance(found, dict) or (missing := [key for key in keys if key not in found]):
        lacks = "" if not isinstance(found, dict) else f" (it lacks {missing[0]})"
        raise UserError(f"{file} is not what dseld {__version__} writes{lacks}: run its command again, or delete it")
    return found


def _reconstruction() -> dict[str, Any] | None:
    figures = paths.RECONSTRUCTION / "figures.json"
    if not figures.exists():
        return None
    found = _figures(figures, ("dataset", "dictionaries", "images", "atoms", "lambda", "tau", "steps"))
    drawn = {name: uri((paths.RECONSTRUCTION / f"{name}.png").read_bytes()) for name in ("images", "energy")}
    return {**found, "dataset": without_path(found["dataset"]), "pictures": drawn}


def _sweeps() -> Iterator[dict[str, Any]]:
    for table in sorted(paths.SWEEPS.glob("*/*.csv")):
        with table.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        picture = uri(table.with_suffix(".png").read_bytes())
        yield {"name": table.stem, "split": table.parent.name, "header": header, "rows": rows, "picture": picture}
