"""From params.yaml to what the mathematics asks for: the one place where the two meet."""

from __future__ import annotations

from dseld_cli.config.schema import Lca, Params, Reconstruct
from dseld_cli.dictionary.encoding import Means
from dseld_cli.lca.recurrence import LCAParams


def lca_params(section: Lca | Reconstruct) -> LCAParams:
    """Parameters of the recurrence, as a section of params.yaml has them."""
    return LCAParams(section.lambda_, section.tau, section.steps)


def means(params: Params) -> Means:
    """By what means images are coded."""
    return Means(params.run.memory, params.run.device, params.encode.method, params.encode.inhibition)
