"""`dseld export`: the current dictionary as a network for neuromorphic hardware, with examples to check it by."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dseld_cli import __version__, store
from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.deploy import nir_graph, script
from dseld_cli.deploy.fixed_point import run_one_layer, run_two_layers
from dseld_cli.deploy.footprint import Form
from dseld_cli.errors import DoesNotFit, UserError
from dseld_cli.evaluation.deploy_formats import FORMATS, Code, Wanted
from dseld_cli.evaluation.deploy_inputs import deployed, sample
from dseld_cli.evaluation.deploy_settings import (
    chosen_on,
    fitted_one_layer,
    fitted_quantum,
    fitted_two_layers,
)
from dseld_cli.evaluation.deployment import SPIKING_STEPS, Deployment
from dseld_cli.evaluation.trial import Sample
from dseld_cli.runtime.console import say, track
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import json_text
from dseld_cli.store import project as paths

LARGEST_ONE_LAYER = 8000
"""Atoms up to which M^2 weights are written (128 MB)."""
EXAMPLES = 20
"""Test images whose codes travel with the network."""
FORMAT = 2
ARRAYS, FACTS = "network.npz", "network.json"
READ = {
    "labels": "class of each atom, a place in classes; the code's sum per class is class-sum",
    "features": "examples: images as the dictionary sees them, after its transform, if it has one",
    "truth": "their classes, -1 for one that the dictionary lacks",
}
IN_INTEGERS = {
    "weights": "integers; their value is times 2^weight_exponent",
    "drive": "examples: input times 2^scale to the residual (two-layer), or bias of each neuron per step (one-layer)",
    "expected": "their codes, times 2^scale",
}
IN_FLOATS = {"weights": "the atoms, unit-norm rows", "expected": "their codes, activations after the last step"}
IN_SPIKES = {"weights": "the atoms, unit-norm rows", "expected": "spikes of each neuron over all steps"}


def run(params: Params, output: Path, wanted: Wanted) -> None:
    """Write the folder; scale, spike height and the worth of a spike are chosen on val.

    Raises:
        UserError: if a store is missing, the place is taken by something else, or the format cannot express it.

    """
    code, form = wanted.kind
    _require_place(output)
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    decoders = registry.decoders(params.decoders, params.decoder_options)
    lca, memory = lca_params(params.lca), params.run.memory
    made = deployed(dictionary, lca, decoders, memory, wanted.atoms, wanted.weight_bits, track)
    m = len(made.exemplars.labels)
    _require_size(wanted.format, code, form, m)
    val = sample(dictionary, "val", params.encode.images, params.encode.seed, chosen_on(made))
    test = sample(dictionary, "test", "all", params.encode.seed)
    examples = Sample(test.features[:EXAMPLES], test.truth[:EXAMPLES])
    if code == "spiking":
        facts, arrays = _spiking(made, val, examples)
    elif wanted.format == "nest":
        facts, arrays = _floating(made, val, examples)
    else:
        facts, arrays = (_one_layer if form == "one-layer" else _two_layers)(made, val, examples)
    arrays |= {"labels": made.exemplars.labels, "features": examples.features, "truth": examples.truth}
    facts |= {"form": form, "code": code, "atoms": m, **_facts(made, dictionary)}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    contents = {ARRAYS: packed.getvalue(), FACTS: f"{json_text(facts)}\n".encode()}
    if runs := FORMATS[wanted.format].script:
        contents[runs] = script(runs).encode()
    nir = {"network.nir"} if wanted.format == "nir" else set()
    with together() as aside:
        if nir:
            _write_nir(aside(output / "network.nir"), made, facts["quantum"])
        for name, content in contents.items():
            aside(output / name).write_bytes(content)
    for name in {"network.nir", *(has.script or FACTS for has in FORMATS.values())} - contents.keys() - nir:
        (output / name).unlink(missing_ok=True)  # of an export before, in another format
    where = f"; {runs} runs them in {FORMATS[wanted.format].runs}" if runs else ""
    say(f"{output}: {m} atoms, {form}, {code}, {len(examples.truth)} examples{where}")


def _write_nir(path: Path, made: Deployment, quantum: float) -> None:
    """Write the network as a graph of NIR.

    Raises:
        UserError: if the package nir is not installed.

    """
    try:
        import nir

        graph = nir_graph.graph(made.exemplars.atoms, made.params.lambda_, made.params.tau, quantum)
    except ImportError as error:
        raise UserError(f"--format nir: the package nir is not there ({error}): pip install 'dseld[nir]'") from None
    nir.write(path, graph)


def _require_size(format: str, code: Code, form: Form, m: int) -> None:
    most = FORMATS[format].most
    if most is not None and m > most:
        raise UserError(f"--format {format}: {m} atoms take {m * m:,} weights there; --atoms {most} at most")
    if code == "graded" and form == "one-layer" and m > LARGEST_ONE_LAYER:
        raise UserError(
            f"--form one-layer: {m} atoms take {m * m:,} weights; --atoms {LARGEST_ONE_LAYER} at most, or --form "
            "two-layer"
        )


def _facts(made: Deployment, dictionary: store.Dictionary) -> dict[str, Any]:
    return {
        "features": made.exemplars.atoms.shape[1],
        "lambda": made.params.lambda_,
        "classes": list(dictionary.info.classes),
        "dictionary": dictionary.fingerprint,
        "transform": dictionary.info.transform,
        "format": FORMAT,
        "dseld": __version__,
    }


def _one_layer(made: Deployment, val: Sample, examples: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    weights, params = made.one_layer_weights, made.shifted
    scale = fitted_one_layer(made, val)
    b = examples.features.astype(np.float64) @ made.exemplars.atoms.T
    found = run_one_layer(b, weights, params, scale)
    drive = np.rint(np.ldexp(b, scale) / params.tau)
    facts = _in_integers(made, scale, 0.0, weights.exponent) | {"code_at_step": params.steps}
    return facts, _integers(scale, weights.mantissa, drive, found.code)


def _two_layers(made: Deployment, val: Sample, examples: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    (scale, height), weights = fitted_two_layers(made, val), made.two_layer_weights
    found = run_two_layers(examples.features, weights, made.shifted, scale, height)
    drive = np.rint(np.ldexp(examples.features.astype(np.float64), scale))
    facts = _in_integers(made, scale, height, weights.exponent) | {"code_at_step": made.shifted.steps + 1}
    return facts, _integers(scale, weights.mantissa, drive, found.code)


def _in_integers(made: Deployment, scale: int, height: float, exponent: int) -> dict[str, Any]:
    shifted = made.shifted
    return {
        "scale": scale,
        "spike_height": round(height * 2**scale),
        "weight_exponent": exponent,
        "weight_bits": made.weight_bits,
        "tau": shifted.tau,
        "tau_exponent": -int(np.log2(shifted.tau)),
        "steps": shifted.steps,
        "threshold": round(shifted.lambda_ * 2**scale),
        "arrays": READ | IN_INTEGERS,
    }


def _integers(scale: int, weights: Any, drive: Any, code: Any) -> dict[str, Any]:
    integers = {"weights": weights.astype(np.int16), "drive": drive.astype(np.int32)}
    return integers | {"expected": np.ldexp(code, scale).astype(np.int32)}


def _floating(made: Deployment, val: Sample, examples: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    way, p = made.floating(made.params), made.params
    if p.tau == 1:
        raise DoesNotFit("--format nest: its step is exponential, and none of it is one of tau 1: raise lca.tau")
    _require_one_sided(made, way, val)
    code = way(examples.features).codes.to_scipy(len(made.exemplars.labels)).toarray()
    facts = {"tau": p.tau, "steps": p.steps, "arrays": READ | IN_FLOATS}
    return facts, {"weights": made.exemplars.atoms, "expected": code}


def _spiking(made: Deployment, val: Sample, examples: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    _require_one_sided(made, made.floating(made.params), val)
    quantum, steps = fitted_quantum(made, val, floor=False), SPIKING_STEPS * made.params.steps
    counts = made.spikes(examples.features.astype(np.float64), steps, quantum, floor=False).counts
    facts = {
        "quantum": quantum,
        "floor": False,
        "tau": made.params.tau,
        "steps": steps,
        "dt": nir_graph.DT,
        "arrays": READ | IN_SPIKES,
    }
    return facts, {"weights": made.exemplars.atoms, "expected": counts}


def _require_one_sided(made: Deployment, way: Callable[[Any], Any], val: Sample) -> None:
    """Refuse a network whose neurons would have to fire with a negative sign.

    Raises:
        DoesNotFit: saying for how many images.

    """
    codes = made.run(way, val.features, "val, float").codes
    if negative := len(np.unique(codes.image_of_value()[codes.values < 0])):
        raise DoesNotFit(
            f"neurons of {negative} of {len(val.truth)} val images fire with a negative sign, which spikes and rates "
            "lack: raise lambda, or --code graded --format npz"
        )


def _require_place(output: Path) -> None:
    """Refuse a place that holds something else.

    Raises:
        UserError: naming it.

    """
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: name a folder that is new, or one of `dseld export`")
    if output.is_dir() and any(output.iterdir()) and not (output / FACTS).exists():
        raise UserError(f"{output} holds other files: name a folder that is new, or one of `dseld export`")
