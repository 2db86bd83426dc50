"""`dseld export`: the current dictionary as the integers that a neuromorphic chip holds, with examples to check."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from dseld_cli import __version__, store
from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.deploy import run_lava_script
from dseld_cli.deploy.fixed_point import run_one_layer, run_two_layers
from dseld_cli.deploy.footprint import Form
from dseld_cli.errors import UserError
from dseld_cli.evaluation.deployment import LARGEST_ONE_LAYER, Deployment, deployed, sample
from dseld_cli.evaluation.trial import Sample
from dseld_cli.runtime.console import say, track
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import json_text
from dseld_cli.store import project as paths

EXAMPLES = 20
"""Test images whose codes travel with the network."""
FORMAT = 1
FILES = ("network.npz", "network.json", "run_lava.py")
READ = {
    "weights": "integers; their value is times 2^weight_exponent",
    "labels": "class of each atom, a place in classes; the code's sum per class is class-sum",
    "drive": "examples: input times 2^scale to the residual (two-layer), or bias of each neuron per step (one-layer)",
    "features": "the same images, as the dictionary sees them: after its transform, if it has one",
    "truth": "their classes, -1 for one that the dictionary lacks",
    "expected": "their codes, times 2^scale",
}


def run(params: Params, output: Path, form: Form, atoms: int | None, weight_bits: int) -> None:
    """Write the folder; the scale and the height at which a residual is sent are chosen on val.

    Raises:
        UserError: if a store is missing, the place is taken by something else, or the form is too large.

    """
    _require_place(output)
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    decoders = registry.decoders(params.decoders, params.decoder_options)
    lca = lca_params(params.lca)
    made = deployed(dictionary, lca, decoders, params.run.memory, atoms, weight_bits, track)
    m = len(made.exemplars.labels)
    if form == "one-layer" and m > LARGEST_ONE_LAYER:
        raise UserError(
            f"--form one-layer: {m} atoms take {m * m:,} weights; --atoms {LARGEST_ONE_LAYER} at most, or --form "
            "two-layer"
        )
    val = sample(dictionary, "val", params.encode.images, params.encode.seed)
    test = sample(dictionary, "test", "all", params.encode.seed)
    examples = Sample(test.features[:EXAMPLES], test.truth[:EXAMPLES])
    facts, arrays = _one_layer(made, val, examples) if form == "one-layer" else _two_layers(made, val, examples)
    arrays |= {"labels": made.exemplars.labels, "features": examples.features, "truth": examples.truth}
    facts |= {"form": form, "atoms": m, **_facts(made, dictionary, facts["scale"], form)}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    contents = (packed.getvalue(), f"{json_text(facts)}\n".encode(), run_lava_script().encode())
    with together() as aside:
        for name, content in zip(FILES, contents, strict=True):
            aside(output / name).write_bytes(content)
    say(
        f"{output}: {m} atoms, {form}, scale 2^{facts['scale']}, {len(examples.truth)} examples; run_lava.py runs them "
        "in Intel's lava"
    )


def _facts(made: Deployment, dictionary: store.Dictionary, scale: int, form: Form) -> dict[str, Any]:
    shifted = made.shifted
    return {
        "features": made.exemplars.atoms.shape[1],
        "weight_bits": made.weight_bits,
        "lambda": shifted.lambda_,
        "tau": shifted.tau,
        "tau_exponent": -int(np.log2(shifted.tau)),
        "steps": shifted.steps,
        "threshold": round(shifted.lambda_ * 2**scale),
        "code_at_step": shifted.steps + (form == "two-layer"),
        "classes": list(dictionary.info.classes),
        "dictionary": dictionary.fingerprint,
        "transform": dictionary.info.transform,
        "format": FORMAT,
        "dseld": __version__,
        "arrays": READ,
    }


def _one_layer(made: Deployment, val: Sample, examples: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    scale, weights, params = made.finest(made.one_layer, val, "one layer"), made.one_layer_weights, made.shifted
    b = examples.features.astype(np.float64) @ made.exemplars.atoms.T
    found = run_one_layer(b, weights, params, scale)
    drive = np.rint(np.ldexp(b, scale) / params.tau)
    return _packed(scale, 0.0, weights.exponent, weights.mantissa, drive, found.code)


def _two_layers(made: Deployment, val: Sample, examples: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    (scale, height), weights = made.fitted_two_layers(val), made.two_layer_weights
    found = run_two_layers(examples.features, weights, made.shifted, scale, height)
    drive = np.rint(np.ldexp(examples.features.astype(np.float64), scale))
    return _packed(scale, height, weights.exponent, weights.mantissa, drive, found.code)


def _packed(
    scale: int, height: float, exponent: int, weights: Any, drive: Any, code: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    facts = {"scale": scale, "spike_height": round(height * 2**scale), "weight_exponent": exponent}
    integers = {"weights": weights.astype(np.int16), "drive": drive.astype(np.int32)}
    return facts, integers | {"expected": np.ldexp(code, scale).astype(np.int32)}


def _require_place(output: Path) -> None:
    """Refuse a place that holds something else.

    Raises:
        UserError: naming it.

    """
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: name a folder that is new, or one of `dseld export`")
    if output.is_dir() and any(output.iterdir()) and not (output / FILES[1]).exists():
        raise UserError(f"{output} holds other files: name a folder that is new, or one of `dseld export`")
