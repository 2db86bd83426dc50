"""D-SELD: exemplar-based sparse coding as a pipeline, and as a library.

    from dseld_cli import ExemplarClassifier, LCAParams, Project, SparseCodes, encode

Everything is imported when it is first used, so that `import dseld_cli` costs nothing and changes nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dseld_cli.errors import Diverged, DoesNotFit, OutOfDate, StoreDamaged, StoreMissing, UserError
    from dseld_cli.evaluation.estimator import ExemplarClassifier
    from dseld_cli.evaluation.project import Project
    from dseld_cli.lca.codes import SparseCodes
    from dseld_cli.lca.encoder import Encoder, EncodeResult, encode
    from dseld_cli.lca.recurrence import LCAParams

_FROM = {
    "Diverged": "errors",
    "DoesNotFit": "errors",
    "EncodeResult": "lca.encoder",
    "Encoder": "lca.encoder",
    "ExemplarClassifier": "evaluation.estimator",
    "LCAParams": "lca.recurrence",
    "OutOfDate": "errors",
    "Project": "evaluation.project",
    "SparseCodes": "lca.codes",
    "StoreDamaged": "errors",
    "StoreMissing": "errors",
    "UserError": "errors",
    "encode": "lca.encoder",
}
"""Where each public name is."""

__all__ = [
    "Diverged",
    "DoesNotFit",
    "EncodeResult",
    "Encoder",
    "ExemplarClassifier",
    "LCAParams",
    "OutOfDate",
    "Project",
    "SparseCodes",
    "StoreDamaged",
    "StoreMissing",
    "UserError",
    "encode",
]


def __getattr__(name: str) -> object:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM])
