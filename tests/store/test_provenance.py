"""Provenance: typed, written as the JSON that it is read from, anything else refused by name."""

import json

import pytest

from dseld_cli import store
from dseld_cli.store.provenance import INFOS, as_json, parse

MARK = {"shape": [5, 2], "dtype": "float32", "digests": {"0/0": "a1"}}
COMMON = {"dseld": "0.1.0", "inputs": {"x": "f0"}}
CLASSED = {**COMMON, "classes": ["ant", "bee"]}
EXTRACTOR = {"backbone": "none", "weights": "none", "transform": "pixels / 255"}
DYNAMICS = {"lambda": 2.0, "tau": 100.0, "steps": 100}
AS_VERSION_0_1_WROTE_IT: dict[str, dict[str, object]] = {
    "features": {
        **CLASSED,
        "dataset": "digits",
        "split": "test",
        "limit_per_class": "all",
        "seed": 0,
        "val_share": 0,
        "images_sha256": "a9",
        "batch_size": 32,
        "extractor": EXTRACTOR,
        "skipped": ["ant/1.png"],
    },
    "base": {
        **CLASSED,
        "extractor": EXTRACTOR,
        "split": "train",
        "sampling": "random",
        "size": 700,
        "seed": 0,
        "duplicates": "keep",
    },
    "dictionary": {
        **CLASSED,
        "segments": [{"name": "base", "fingerprint": "18", "images": 5}],
        "removed": [3],
        "compact": False,
        "extractor": EXTRACTOR,
    },
    "gramian": {**COMMON, "atoms": MARK},
    "codes": {
        **CLASSED,
        **DYNAMICS,
        "split": "train",
        "images": "all",
        "seed": 0,
        "codes": "leave-one-out",
        "batch": 1000,
        "method": "working-set",
        "inhibition": "atoms",
        "energy": False,
        "atoms": 700,
    },
    "predictions": {**CLASSED, "decoder": "class-sum", "split": "test"},
    "network": {**CLASSED, **DYNAMICS, "seed": 0},
    "baseline": {**CLASSED, "baseline": "cosine-knn"},
    "calibration": {
        **CLASSED,
        **DYNAMICS,
        "decoder": "class-sum",
        "split": "val",
        "images": 500,
        "seed": 0,
        "beta": 11.5,
    },
}


@pytest.mark.parametrize("info", INFOS)
def test_facts_are_written_as_they_were_read(info: type[store.Info]) -> None:
    found = AS_VERSION_0_1_WROTE_IT[info.kind]
    parsed = parse(info, json.loads(json.dumps(found)))
    assert as_json(parsed) == found
    assert parse(info, as_json(parsed)) == parsed


@pytest.mark.parametrize("info", INFOS)
def test_every_missing_or_mistyped_fact_is_named(info: type[store.Info]) -> None:
    found = AS_VERSION_0_1_WROTE_IT[info.kind]
    for key in found:
        with pytest.raises(ValueError, match=rf"provenance\.{key}.*Expected .*Got"):
            parse(info, {**found, key: object()})
    with pytest.raises(ValueError, match=r"Expected (classes|atoms)"):
        parse(info, COMMON)
