"""`dseld evaluate`: predictions against labels, a table, metrics.json and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dseld_cli.config.recurrence import other_settings
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.agreement import other_features
from dseld_cli.evaluation.evaluation import Evaluation, collect
from dseld_cli.evaluation.tables import figures, files
from dseld_cli.runtime.console import doing, say, table, track, warn
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import counted
from dseld_cli.store import project as paths


def run(params: Params, decoders: Sequence[str] | None = None, split: str = "test") -> None:
    """Evaluate the predictions of the given decoders; without any, of all that params.yaml lists, and the baselines.

    Trained decoders and baselines are left out, and named, if they were not run for these codes.

    Raises:
        UserError: if other predictions are missing, or not of these codes and features.

    """
    optional = () if decoders else params.trained_decoders
    baselines = () if decoders else params.baselines.names
    found = collect(split, decoders or params.decoders, optional, baselines, params.run.memory, track)
    if said := other_features(found.features, params.data.dataset, params.extract.backbone):
        warn(said)
    if said := other_settings(found.codes.info, params.lca):
        say(said)
    for name, why in found.left_out.items():
        say(f"without {name}: {why}")
    main = figures(found, track)
    _show(main, found)
    with doing("drawing tables and plots"):
        contents = files(found, main)
    with together() as aside:
        for path, content in contents.items():
            with aside(path).open("wb") as file:
                file.writelines(content)
    say(f"{paths.metrics(split)}, and tables and plots in {paths.evaluation(split)}")


def _show(main: Mapping[str, Any], found: Evaluation) -> None:
    say(
        f"{counted(main['images'], main['split'] + ' image')}, {counted(main['exemplars'], 'exemplar')} of "
        f"{main['features']} features, "
        f"{counted(main['classes'], 'class')}, lambda {main['lambda']:g}, tau {main['tau']:g}, {main['steps']} steps"
    )
    if main["images_in_dictionary"]:
        warn(
            f"{main['images_in_dictionary']} of the {main['images']} {main['split']} images are in the dictionary, or "
            "equal to an exemplar: what is right about them says nothing about other images"
        )
    firing = main["firing"]
    ever = f", {firing['ever']:.2f} % at any step" if "ever" in firing else ""
    say(f"neurons firing: {firing['average']:.2f} % on average, {firing['peak']:.2f} % at an image's peak{ever}")
    columns = ["top-1", "95 % interval", "top-5 %", "macro-F1 %"]
    rows = [[*_row(name, result), str(result["undecided"])] for name, result in main["decoders"].items()]
    table(f"Accuracy on the {main['split']} split", ["decoder", *columns, "undecided"], rows)
    if hardest := _hardest(found.per_class()):
        say(f"hardest class: {'; '.join(hardest)}")
    if baselines := found.baseline_summaries():
        title = "Without coding: the same features and exemplars"
        table(title, ["baseline", *columns], [_row(*item) for item in baselines.items()])


def _row(name: str, result: Mapping[str, float]) -> list[str]:
    return [
        name,
        f"{result['top1']:.2f} %",
        f"{result['low']:.2f} to {result['high']:.2f}",
        f"{result['top5']:.2f}",
        f"{result['macro_f1']:.2f}",
    ]


def _hardest(per_class: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Name each decoder's class of least accuracy, if it makes mistakes."""
    by_class: dict[str, list[str]] = {}
    for decoder, found in per_class.items():
        name, accuracy = min(found.items(), key=lambda item: item[1])
        if accuracy < 100:
            by_class.setdefault(name, []).append(f"{decoder} {accuracy:.2f} %")
    return [f"{name} ({', '.join(decoders)})" for name, decoders in by_class.items()]
