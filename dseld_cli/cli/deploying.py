"""The dictionary on neuromorphic hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dseld_cli.cli.command import Declared, Given, command
from dseld_cli.cli.options import Json, count
from dseld_cli.runtime.home import expanded

PANEL = "Neuromorphic hardware"
commands: Declared = {}
Atoms = Annotated[str, typer.Option(metavar="M", help="The M atoms that represent their classes best; all.")]
WeightBits = Annotated[int, typer.Option(metavar="N", min=2, max=8, help="Bits of a weight.")]


@command(commands, PANEL, ("lca.lambda", "lca.tau", "lca.steps", "encode.images", "run.memory"))
def deploy_check(
    given: Given,
    atoms: Atoms = "all",
    weight_bits: WeightBits = 8,
    as_json: Json = False,
) -> None:
    """Tell what the dictionary loses as integers and as spikes, and how large it is on chips.

    Reads data/dictionary.zarr and the features of val, on which scales and
    spikes are chosen, and of test; writes data/deploy/<atoms>.json. Codes the
    same images in floating point, in integers as Intel's Loihi 2 computes them,
    in one layer (through the Gramian) and in two (through the atoms and back),
    and with binary spikes; reads them with params.yaml's decoders. Messages and
    synaptic operations are counted, energy is estimated, nothing runs on a chip.

    [dim]Example:[/dim]  dseld deploy-check --images 500
    [dim]Example:[/dim]  dseld deploy-check --atoms 1000 --weight-bits 4
    """
    some = count("--atoms", atoms)
    params = given.load()
    from dseld_cli.stages import deploy_check as stage

    stage.run(params, some, weight_bits, as_json)


@command(commands, PANEL, ("lca.lambda", "lca.tau", "lca.steps", "encode.images", "run.memory"))
def export(
    given: Given,
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the network goes.")],
    format: Annotated[
        Literal["npz", "lava", "nest", "nir"],
        typer.Option(help="npz alone, or with it what runs in lava, in NEST, or what reads NIR.", metavar="NAME"),
    ] = "npz",
    form: Annotated[
        Literal["two-layer", "one-layer"] | None,
        typer.Option(
            help="two-layer: 2 M N weights, through a residual; one-layer: M^2 weights.",
            metavar="NAME",
            show_default="two-layer, where the format has it",
        ),
    ] = None,
    code: Annotated[
        Literal["graded", "spiking"] | None,
        typer.Option(
            help="graded: activations are sent; spiking: binary spikes, counted.",
            metavar="NAME",
            show_default="graded, where the format has it",
        ),
    ] = None,
    atoms: Atoms = "all",
    weight_bits: WeightBits = 8,
) -> None:
    """Write the dictionary as a network for neuromorphic hardware, with examples to check it by.

    Reads what dseld deploy-check reads, and chooses scale and spikes as it does.
    Writes FOLDER/network.npz (weights, labels, 20 test images and their codes)
    and network.json (threshold, steps, exponents or the worth of a spike,
    classes, the dictionary's fingerprint): graded codes in integers, as Intel's
    Loihi 2 computes them, spiking ones as counts. With --format lava, nest or
    nir also the network there, or a script that makes it, and compares every
    example with what is expected. What a format cannot express is refused.

    [dim]Example:[/dim]  dseld export chip --atoms 1000
    [dim]Example:[/dim]  dseld export chip --format lava && lava/bin/python chip/run_lava.py
    [dim]Example:[/dim]  dseld export spikes --format nir --atoms 2000
    """
    some = count("--atoms", atoms)
    params = given.load()
    from dseld_cli.evaluation.deploy_formats import Wanted
    from dseld_cli.stages import export as stage

    stage.run(params, expanded(output), Wanted(format, code, form, some, weight_bits))
