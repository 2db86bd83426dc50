"""`dseld report`: one HTML page, without anything outside it, of whatever has been run."""

from __future__ import annotations

import base64
import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from PIL import Image

from dseld_cli import __version__, paths, store
from dseld_cli.config.schema import Params
from dseld_cli.decoders import UNDECIDED
from dseld_cli.dictionary.additions import FOLDER, pictures
from dseld_cli.errors import UserError
from dseld_cli.evaluation import plots
from dseld_cli.evaluation.workload import Workload
from dseld_cli.images.image import Images
from dseld_cli.images.splits import images_of
from dseld_cli.runtime.console import say, track
from dseld_cli.runtime.outputs import together
from dseld_cli.stages import evaluate
from dseld_cli.stages.classify import explain
from dseld_cli.stages.decode import read_codes
from dseld_cli.stages.workload import measured

DECIDER = "class-sum"
"""The decoder of the gallery: its score is a sum over exemplars, so that each one's share can be told."""
OF_EACH_KIND = 6
"""Images of the gallery that are right, and that are wrong."""
EXEMPLARS = 5
SEED = 0
ENDINGS = (".html", ".htm")
TITLE = b"<title>dseld: "
"""How a page begins that may be replaced."""
THUMBNAIL = 96
"""Longest side, in pixels, of a picture in the gallery."""

Show = Callable[[str], str | None]
"""Source of an image to a data URI of its picture; None if there is none."""


@dataclass(frozen=True)
class Exhibit:
    """An image of the gallery: its true and predicted class, and exemplars (source, picture, class, share)."""

    source: str
    picture: str | None
    true: str
    predicted: str
    right: bool
    exemplars: list[tuple[str, str | None, str, float]]


def run(params: Params, output: Path) -> None:
    """Write the page.

    Raises:
        UserError: if nothing was decoded yet, the page's folder does not exist, or its place is taken by another file.

    """
    if not output.parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.parent}")
    if output.is_dir():
        raise UserError(f"--output {output} is a folder: name the file, {output / 'report.html'}")
    if output.suffix not in ENDINGS:
        raise UserError(f"--output {output}: the name of a page ends in .html")
    if output.exists() and TITLE not in output.read_bytes()[:1000]:
        raise UserError(f"--output {output} is there already, and is no report of dseld's: choose another name")
    found = evaluate.collect(params)
    page = Environment(
        loader=PackageLoader("dseld_cli.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    ).get_template("report.html")
    with together() as aside:
        aside(output).write_text(page.render(**contents(params, found)), encoding="utf-8")
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB, open it in any browser")


def contents(params: Params, found: evaluate.Evaluation) -> dict[str, Any]:
    """Everything that the page shows."""
    firing = found.firing()
    setting = evaluate.setting(found)
    dictionary = found.dictionary.provenance
    return {
        "version": __version__,
        "dataset": found.features.provenance.get("dataset", "given"),
        "backbone": dictionary["extractor"]["backbone"],
        "setting": setting,
        "results": found.summaries(),
        "baselines": found.baseline_summaries(),
        "firing": evaluate.firing_shares(firing),
        "confusion": drawing(plots.confusion_matrices, found.confusion(), found.classes),
        "per_class": drawing(plots.per_class_accuracy, found.per_class()),
        "firing_curve": drawing(plots.firing_curve, firing.mean(axis=0)),
        "energy": _energy(found.codes),
        "cost": _cost(setting),
        "gallery": list(gallery(params, found)) if DECIDER in found.predictions else [],
        "decider": DECIDER,
        "reconstruction": _reconstruction(),
        "sweeps": list(_sweeps()),
    }


def drawing(plot: Callable[..., None], *content: object) -> Markup:
    """Draw a plot as SVG that takes the page's text colour."""
    same_every_time = rc_context({"svg.hashsalt": plot.__name__})
    with tempfile.TemporaryDirectory() as folder, same_every_time:
        path = Path(folder) / "plot.svg"
        plot(*content, path)
        text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :].replace("#000000", "currentColor")
    return Markup(text.replace("<svg ", '<svg role="img" ', 1))  # from matplotlib, which escapes


def _energy(codes: store.Store) -> Markup | None:
    if "energy" not in codes.arrays:
        return None
    return drawing(plots.energy_curve, codes.read("energy").mean(axis=0))


def _cost(setting: Mapping[str, Any]) -> dict[str, Any]:
    here = measured()
    assert here is not None, "collect() has opened the same stores"
    work = Workload(setting["exemplars"], setting["features"], setting["steps"], here["share"])
    return {"figures": work.figures(), "measured": here}


def gallery(params: Params, found: evaluate.Evaluation) -> Iterator[Exhibit]:
    """Wrong and right test images, drawn at random, each with the exemplars that speak loudest for its class."""
    predicted = found.predictions[DECIDER].labels
    right = predicted == found.truth
    codes, rows = read_codes(found.codes), found.codes.read("rows")
    labels, atoms = found.dictionary.read("labels"), found.dictionary.read("source")
    source, names = found.features.read("source")[rows], [*found.classes, "undecided"]
    show = _shower(params)
    rng = np.random.default_rng(SEED)
    drawn = [rng.permutation(np.flatnonzero(kind))[:OF_EACH_KIND] for kind in (~right, right)]
    for i in track(np.concatenate(drawn), sum(map(len, drawn)), "gallery"):
        part = slice(codes.indptr[i], codes.indptr[i + 1])
        mine = (labels[codes.indices[part]] == predicted[i]) & (codes.values[part] > 0)
        total = float(codes.values[part][mine].sum())
        speakers = explain(codes.indices[part], codes.values[part], labels, int(predicted[i]), total, EXEMPLARS)
        exemplars = [(str(atoms[a]), show(str(atoms[a])), names[labels[a]], share) for a, _, share in speakers]
        true = names[found.truth[i]] if found.truth[i] >= 0 else "unknown to the dictionary"
        said = names[predicted[i]] if predicted[i] != UNDECIDED else "undecided"
        yield Exhibit(str(source[i]), show(str(source[i])), true, said, bool(right[i]), exemplars)


def _shower(params: Params) -> Show:
    """Return what finds the pictures of this project's images; those of given features have none."""
    known: dict[str, tuple[Images, int]] = {}
    for prefix, listed in _listed(params):
        try:
            images = listed()
        except UserError:
            continue
        known |= {f"{prefix}{name}": (images, i) for i, name in enumerate(images.source)}

    def show(name: str) -> str | None:
        if name not in known:
            return None
        images, i = known[name]
        try:
            return picture(images.open(images.raw(i)))
        except UserError:
            return None

    return show


def _listed(params: Params) -> Iterator[tuple[str, Callable[[], Images]]]:
    """Where images come from: what the dictionary's sources of them begin with, and what lists them."""
    for split in params.extract.splits:
        yield "", partial(images_of, params.data.dataset, Path(params.data.root), split, params.extract)
    for name in params.additions:
        if name.startswith(FOLDER):
            yield f"{name}:", partial(pictures, name, params)


def picture(image: Image.Image) -> str:
    """Make a data URI of an image, at most THUMBNAIL pixels wide and high."""
    image = image.convert("L" if image.mode in ("L", "F", "1") else "RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return _uri(buffer.getvalue())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _reconstruction() -> dict[str, Any] | None:
    figures = paths.RECONSTRUCTION / "figures.json"
    if not figures.exists():
        return None
    drawn = {name: _uri((paths.RECONSTRUCTION / f"{name}.png").read_bytes()) for name in ("images", "energy")}
    return {**json.loads(figures.read_text(encoding="utf-8")), "pictures": drawn}


def _sweeps() -> Iterator[dict[str, Any]]:
    for table in sorted(paths.SWEEPS.glob("*.csv")):
        with table.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        yield {
            "name": table.stem,
            "header": header,
            "rows": rows,
            "picture": _uri(table.with_suffix(".png").read_bytes()),
        }
