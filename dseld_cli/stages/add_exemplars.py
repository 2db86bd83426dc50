"""`dseld add-exemplars`: base dictionary and every addition that params.yaml lists to the one in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from dseld_cli import params as parameters
from dseld_cli import paths, store
from dseld_cli.console import say
from dseld_cli.dictionary import normalize, relabel, require_same_extractor
from dseld_cli.errors import UserError
from dseld_cli.params import Params


def run(params: Params, source: str | None = None) -> None:
    """Bring the dictionary in force up to date; with a source, add it to params.yaml's list as well.

    Raises:
        UserError: if an addition is not there, is listed twice, or does not go with the base.

    """
    additions = [*params.additions, *([source] if source else [])]
    base = store.open_store(paths.BASE, "base")
    stores = [store.open_store(Path(name), "features") for name in additions]
    _require_distinct(additions, stores)
    for addition in stores:
        require_same_extractor(addition, base)
    classes = grown_classes(base.provenance["classes"], [s.provenance["classes"] for s in stores])
    _write(base, stores, classes)
    if source:
        _list_in_params(source)
    added = sum(s.shape("features")[0] for s in stores)
    say(f"{paths.DICTIONARY}: {base.shape('atoms')[0]} base atoms and {added} added, {len(classes)} classes")


def grown_classes(base: list[str], additions: list[list[str]]) -> list[str]:
    """Class names of a grown dictionary: the base's keep their places, new ones follow in order of appearance."""
    return list(dict.fromkeys([*base, *(name for names in additions for name in names)]))


def _require_distinct(names: list[str], stores: list[store.Store]) -> None:
    seen: dict[str, str] = {}
    for name, addition in zip(names, stores, strict=True):
        if addition.fingerprint in seen:
            raise UserError(f"additions: {name} was added already, as {seen[addition.fingerprint]}: list it once")
        seen[addition.fingerprint] = name


def _write(base: store.Store, additions: list[store.Store], classes: list[str]) -> None:
    m, n_features = base.shape("atoms")
    sizes = [m, *(s.shape("features")[0] for s in additions)]
    inputs = {"base": base, **{str(s.path): s for s in additions}}
    facts = {"classes": classes, "extractor": base.provenance["extractor"], "atoms": sizes}
    specs = {"atoms": store.Spec.rows("float32", sum(sizes), n_features)}
    draft = store.Draft(paths.DICTIONARY, "dictionary", store.provenance(inputs, **facts), specs)
    start = 0
    for atoms in _atoms(base, additions):
        draft["atoms"][start : start + len(atoms)] = atoms
        start += len(atoms)
    labels = [relabel(s.read("labels"), s.provenance["classes"], classes) for s in (base, *additions)]
    sources = [base.read("source"), *(_qualified(s) for s in additions)]
    draft.put("labels", np.concatenate(labels))
    draft.put("source", np.concatenate(sources))
    draft.commit()


def _atoms(base: store.Store, additions: list[store.Store]) -> Iterator[NDArray[np.float32]]:
    """Unit-norm atoms, block by block, in order."""
    for _, block in base.stream("atoms"):
        yield block
    for addition in additions:
        source = addition.read("source")
        for rows, block in addition.stream("features"):
            yield normalize(block, source[rows])


def _qualified(addition: store.Store) -> store.Array:
    return np.array([f"{addition.path}:{name}" for name in addition.read("source")], dtype=np.dtypes.StringDType())


def _list_in_params(source: str) -> None:
    """Append a source to params.yaml's additions, leaving its comments as they are."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(parameters.PATH.read_text(encoding="utf-8"))
    document["additions"].append(source)
    draft = parameters.PATH.with_name(parameters.PATH.name + ".partial")
    with draft.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    draft.replace(parameters.PATH)
