"""From params.yaml to what the mathematics asks for: the one place where the two meet."""

from __future__ import annotations

from dseld_cli.config.schema import Lca, Params, Reconstruct
from dseld_cli.dictionary.encoding import Means
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.store import CodesInfo


def lca_params(section: Lca | Reconstruct) -> LCAParams:
    """Parameters of the recurrence, as a section of params.yaml has them."""
    return LCAParams(section.lambda_, section.tau, section.steps)


def other_settings(codes: CodesInfo, section: Lca) -> str | None:
    """Say which settings of a section differ from those that codes were made with; None if none do."""
    theirs = {"lambda": codes.lambda_, "tau": codes.tau, "steps": codes.steps}
    ours = {"lambda": section.lambda_, "tau": section.tau, "steps": section.steps}
    found = [f"{name} {theirs[name]:g}, not {ours[name]:g}" for name in ours if theirs[name] != ours[name]]
    return f"the codes were made with {', '.join(found)} as params.yaml has it" if found else None


def means(params: Params) -> Means:
    """By what means images are coded."""
    return Means(params.run.memory, params.run.device, params.encode.method, params.encode.inhibition)
