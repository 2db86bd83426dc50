"""The dictionary on neuromorphic hardware."""

from __future__ import annotations

from typing import Annotated

import typer

from dseld_cli.cli.command import Given, command
from dseld_cli.cli.options import Json, require_count

PANEL = "Neuromorphic hardware"
commands = typer.Typer()


@command(commands, PANEL, ("lca.lambda", "lca.tau", "lca.steps", "encode.images", "run.memory"))
def deploy_check(
    given: Given,
    atoms: Annotated[
        int | None,
        typer.Option(metavar="M", help="The first M atoms, which are a random draw.", show_default="all of them"),
    ] = None,
    weight_bits: Annotated[int, typer.Option(metavar="N", min=2, max=16, help="Bits of a weight.")] = 8,
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
