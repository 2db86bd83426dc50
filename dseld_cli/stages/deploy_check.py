"""`dseld deploy-check`: what the current dictionary loses as integers and as spikes, and how large it is on chips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dseld_cli import store
from dseld_cli.config.recurrence import lca_params
from dseld_cli.config.schema import Params
from dseld_cli.decoders import registry
from dseld_cli.deploy.fixed_point import STATE_BITS
from dseld_cli.deploy.footprint import PICOJOULES, energy, size
from dseld_cli.evaluation.deploy_inputs import deployed, sample
from dseld_cli.evaluation.deploy_settings import (
    chosen_on,
    fitted_one_layer,
    fitted_quantum,
    fitted_two_layers,
)
from dseld_cli.evaluation.deployment import SPIKING_STEPS, Coded, Deployment, Way, agreement, refusing
from dseld_cli.evaluation.trial import Sample
from dseld_cli.runtime.console import say, say_json, table, track, warn
from dseld_cli.runtime.outputs import together
from dseld_cli.runtime.text import json_text
from dseld_cli.store import project as paths

SHARES_OF_STEPS = (0.25, 0.5, 1.0, 2.0)
"""Of the steps of params.yaml: where accuracy against steps is looked at."""

Form = tuple[str, dict[str, Any], Coded]


def run(params: Params, atoms: int | None, weight_bits: int, as_json: bool) -> None:
    """Compute codes of test images in each way with settings chosen on val; print a table, and write it.

    Raises:
        UserError: if a store is missing, there are not so many atoms, or memory is too small.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    decoders = registry.decoders(params.decoders, params.decoder_options)
    lca = lca_params(params.lca)
    deployment = deployed(dictionary, lca, decoders, params.run.memory, atoms, weight_bits, track)
    images, seed = params.encode.images, params.encode.seed
    val, test = sample(dictionary, "val", images, seed, chosen_on(deployment)), sample(dictionary, "test", images, seed)
    rows, coded = [], {}
    for name, chosen, its in _forms(deployment, val, test, curve := _curve_steps(params.lca.steps)):
        coded[name] = its
        rows.append({"form": name, **chosen, **_figures(deployment, its, test, coded["float"])})
    m, n = deployment.exemplars.atoms.shape
    *_, spikes = coded.values()
    found = {
        "dictionary": dictionary.fingerprint,
        "atoms": m,
        "features": n,
        "images": len(test.truth),
        "chosen_on": len(val.truth),
        "weight_bits": weight_bits,
        "lambda": params.lca.lambda_,
        "tau": params.lca.tau,
        "steps": params.lca.steps,
        "forms": rows,
        "curve": list(_curve(deployment, curve, coded["float"], spikes, test)),
        "size": {form: size(form, m, n, weight_bits).figures() for form in ("one-layer", "two-layer")},
    }
    path = paths.DEPLOY / f"{atoms or 'all'}.json"
    with together() as aside:
        aside(path).write_text(f"{json_text(found)}\n", encoding="utf-8")
    if as_json:
        say_json(found)
    else:
        _show(found, path)


def _forms(deployment: Deployment, val: Sample, test: Sample, curve: Sequence[int]) -> Iterator[Form]:
    """Codes of test images in each form, with what was chosen for it on val."""
    p, shifted = deployment.params, deployment.shifted

    def run(name: str, way: Way) -> Coded:
        return deployment.run(way, test.features, f"test, {name}")

    yield "float", {}, run("float", deployment.floating(p))
    yield (late := "float, one step late"), {}, run(late, deployment.late())
    if shifted != p:
        yield (name := f"float, tau {shifted.tau:g}"), {}, run(name, deployment.floating(shifted))
    if deployment.holds_one_layer:
        scale = fitted_one_layer(deployment, val)
        yield (name := "integers, one layer"), {"scale": scale}, run(name, refusing(deployment.one_layer(scale)))
    else:
        m = len(deployment.exemplars.labels)
        say(f"integers, one layer: left out, run.memory does not hold {m * m:,} weights")
    scale, height = fitted_two_layers(deployment, val)
    coded = run(name := "integers, two layers", refusing(deployment.two_layers(scale, height)))
    yield name, {"scale": scale, "spike_height": height}, coded
    steps = SPIKING_STEPS * p.steps
    quantum = fitted_quantum(deployment, val)
    spikes = f"spikes, {steps} steps"
    yield spikes, {"quantum": quantum}, run(spikes, deployment.spiking(steps, quantum, look=curve))


def _curve_steps(steps: int) -> list[int]:
    return sorted({max(1, round(share * steps)) for share in SHARES_OF_STEPS})


def _curve(
    deployment: Deployment, curve: Sequence[int], floating: Coded, spikes: Coded, test: Sample
) -> Iterator[dict[str, Any]]:
    """Accuracy against steps, and so against what is sent, of activations and of spikes."""
    p = deployment.params
    for steps in curve:
        way = deployment.floating(replace(p, steps=steps), settled=False)
        graded = floating if steps == p.steps else deployment.run(way, test.features, f"test, float, {steps} steps")
        for form, coded in {"float": graded, "spikes": spikes.earlier[steps]}.items():
            top1 = deployment.top1(coded, test)
            yield {"form": form, "steps": steps, "messages": coded.messages, "top1": top1}


def _figures(deployment: Deployment, coded: Coded, test: Sample, reference: Coded) -> dict[str, Any]:
    return {
        "top1": deployment.top1(coded, test),
        "support_agreement": agreement(coded.codes, reference.codes),
        "messages": coded.messages,
        "operations": coded.operations,
        "energy_joules": energy(coded.operations),
        "peak_bits": coded.peak_bits,
        "negative": coded.negative,
        "refused": coded.refused,
    }


def _show(found: dict[str, Any], path: Path) -> None:
    forms: Sequence[dict[str, Any]] = found["forms"]
    say(
        f"{found['images']} test images, {found['atoms']} exemplars of {found['features']} features, "
        f"{found['weight_bits']}-bit weights; settings chosen on {found['chosen_on']} val images"
    )
    names = list(forms[0]["top1"])
    accuracy = ([one["form"], *(f"{one['top1'][name]:.2f}" for name in names), _same(one)] for one in forms)
    table("Accuracy, % (estimates of hardware, simulated)", ["computed in", *names, "same neurons"], accuracy)
    table("Cost per image", ["computed in", "messages", "operations", "energy, uJ", "bits"], map(_cost, forms))
    for form, its in found["size"].items():
        say(
            f"{form}: {its['neurons']:,} neurons, {its['synapses']:,} synapses: {its['chips_by_synapses']} Loihi 2 "
            f"chips by synapses, {its['chips_by_memory']} by memory"
        )
    for one in forms:
        if one["negative"]:
            warn(f"{one['form']}: {one['negative']} activations would have been negative, and stayed silent")
        if one["refused"]:
            warn(
                f"{one['form']}: states of {one['refused']} images leave {STATE_BITS} bits, undecided; a larger lca.tau"
            )
    low, high = PICOJOULES
    say(f"{path}; energies are estimates ({low:g} to {high:g} pJ an operation), and nothing here ran on a chip")


def _same(one: dict[str, Any]) -> str:
    return f"{100 * one['support_agreement']:.1f} %"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cost(one: dict[str, Any]) -> list[str]:
    low, high = (1e6 * joules for joules in one["energy_joules"])
    bits = "" if one["peak_bits"] is None else f"{one['peak_bits']:.1f}"
    return [
        one["form"],
        f"{one['messages']:,.0f}",
        f"{one['operations']:,.0f}",
        f"{_short(low)} to {_short(high)}",
        bits,
    ]
