"""`dseld relabel`: give images of the current dictionary another class than their data set does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from dseld_cli import store
from dseld_cli.config.edit import edited
from dseld_cli.config.load import load
from dseld_cli.config.schema import Params, Relabel
from dseld_cli.dictionary.additions import Sources
from dseld_cli.dictionary.gramian_growth import Settings
from dseld_cli.dictionary.growth import grow_both
from dseld_cli.dictionary.manifest import compose
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, track
from dseld_cli.runtime.text import require_text, suggestion, unshown
from dseld_cli.store import project as paths


def run(params: Params, classes: Mapping[str, str]) -> None:
    """Write the dictionary with other classes of some images; then put them on params.yaml's list.

    Args:
        params: budget and device; what the dictionary consists of is read anew.
        classes: by image, named as the dictionary's source does.

    Raises:
        UserError: if an image is not in the current dictionary, or no image is of that class.

    """
    if any(not name.strip() for one in classes.items() for name in one):
        raise UserError("relabel: an image and its class both have a name: dseld relabel IMAGE CLASS")
    for name in (*classes, *classes.values()):
        require_text("relabel", name)
    base = store.open_store(paths.BASE, store.BaseInfo)
    with store.locked(paths.DICTIONARY):
        params = load().model_copy(update={"run": params.run})  # now that nobody else changes it
        sources = Sources(params.extract, params.run.device, params.run.memory, base.info.extractor)
        features = cache(sources.features)  # it lists all files of a folder
        known = compose(base, params.model_copy(update={"relabels": []}), features)
        images, names = unshown(classes, known.source), unshown(classes.values(), known.classes)
        classes = dict(zip(images, names, strict=True))
        _require_exemplars(classes, set(known.source) - set(params.removals), str(known.source[0]))
        _require_classes(classes, known.classes)
        relabels = [one for one in params.relabels if one.image not in classes]
        relabels += [Relabel.model_validate({"image": image, "class": name}) for image, name in classes.items()]
        wanted = compose(base, params.model_copy(update={"relabels": relabels}), features)
        settings = Settings(params.gramian.dtype, params.run.memory)
        with edited({"relabels": [one.model_dump(by_alias=True) for one in relabels]}):
            for done in grow_both(paths.DICTIONARY, paths.GRAMIAN, wanted, settings, track):
                say(str(done))
    say("next: `dvc repro` reads codes anew and lets DVC keep this version; then commit with git")


def _require_classes(images: Mapping[str, str], known: Sequence[str]) -> None:
    if unknown := next((image for image, name in images.items() if name not in known), None):
        name = images[unknown]
        raise UserError(
            f"relabel: {unknown} as {name}, a class that no image has{suggestion(name, known)}; known are "
            f"{', '.join(known[:10])}: add images of it first, or name one of these"
        )


def _require_exemplars(images: Mapping[str, str], there: set[str], example: str) -> None:
    if missing := next((name for name in images if name not in there), None):
        raise UserError(
            f"{missing} is no image in {paths.DICTIONARY}: images are named as in its source, such as {example}"
        )
