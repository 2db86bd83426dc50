"""The dictionary on neuromorphic hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dseld_cli.cli.command import Given, command, expanded
from dseld_cli.cli.options import Json, require_count

PANEL = "Neuromorphic hardware"
commands = typer.Typer()
Atoms = Annotated[
    int | None,
    typer.Option(metavar="M", help="The first M atoms, which are a random draw.", show_default="all of them"),
]
WeightBits = Annotated[int, typer.Option(metavar="N", min=2, max=8, help="Bits of a weight.")]


@command(commands, PANEL, ("lca.lambda", "lca.tau", "lca.steps", "encode.images", "run.memory"))
def deploy_check(
    given: Given,
    atoms: Atoms = None,
    weight_bits: WeightBits = 8,
    as_json: Json = False,
) -> None:
    """Tell what the dictionary loses as integers and as spikes, and how large it is on chips.

    Reads data/dictionary.zarr and the features of val, on which scales and
    spikes are chosen, and of test; writes data/deploy.json. Codes the same
    images in floating point, in integers as Intel's Loihi 2 computes them, in
    one layer (through the Gramian) and in two (through the atoms and back), and
    with binary spikes; reads them with params.yaml's decoders. Messages and
    synaptic operations are counted, energy is estimated, nothing runs on a chip.

    [dim]Example:[/dim]  dseld deploy-check --images 500
    [dim]Example:[/dim]  dseld deploy-check --atoms 1000 --weight-bits 4
    """
    require_count("--atoms", atoms)
    params = given.load()
    from dseld_cli.stages import deploy_check as stage

    stage.run(params, atoms, weight_bits, as_json)


@command(commands, PANEL, ("lca.lambda", "lca.tau", "lca.steps", "encode.images", "run.memory"))
def export(
    given: Given,
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the network goes.")],
    form: Annotated[
        Literal["two-layer", "one-layer"],
        typer.Option(help="two-layer: 2 M N weights, through a residual; one-layer: M^2 weights.", metavar="NAME"),
    ] = "two-layer",
    atoms: Atoms = None,
    weight_bits: WeightBits = 8,
) -> None:
    """Write the dictionary as the integers that a neuromorphic chip holds, with examples to check it by.

    Reads what dseld deploy-check reads, and chooses the scale as it does. Writes
    FOLDER/network.npz (weights, labels, examples and their codes, integers all),
    network.json (exponents, threshold, steps, classes, the fingerprint of the
    dictionary) and run_lava.py, which runs the examples in Intel's lava and
    compares every integer. params.yaml has lambda, tau and steps.

    [dim]Example:[/dim]  dseld export chip --atoms 1000
    [dim]Example:[/dim]  dseld export chip --form one-layer && lava/bin/python chip/run_lava.py
    """
    require_count("--atoms", atoms)
    params = given.load()
    from dseld_cli.stages import export as stage

    stage.run(params, expanded(output), form, atoms, weight_bits)
