"""`dseld report`: one HTML page, without anything outside it, of whatever has been run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dseld_cli.config.schema import Params
from dseld_cli.dictionary.agreement import other_features
from dseld_cli.errors import UserError
from dseld_cli.evaluation.evaluation import collect
from dseld_cli.evaluation.pictures import thumbnails
from dseld_cli.evaluation.report import page
from dseld_cli.runtime.console import doing, say, track, warn
from dseld_cli.runtime.outputs import together

ENDINGS = (".html", ".htm")
TITLE = b"<title>dseld: "
"""How a page begins that may be replaced."""


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
    baselines = params.baselines.names
    found = collect("test", params.decoders, params.trained_decoders, baselines, params.run.memory, track)
    if said := other_features(found.features, params.data.dataset, params.extract.backbone):
        warn(said)
    show = partial(thumbnails, dictionary=found.dictionary, root=Path(params.data.root))
    with doing("drawing the page"), together() as aside:
        aside(output).write_text(page(found, show), encoding="utf-8")
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB, open it in any browser")
