"""What each format that a network is exported to can express."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dseld_cli.deploy import nir_graph
from dseld_cli.deploy.footprint import Form
from dseld_cli.errors import UserError

Code = Literal["graded", "spiking"]


@dataclass(frozen=True)
class Format:
    """What a format can express.

    Attributes:
        code: the codes that it has; the first where nothing is asked for.
        form: the forms that it has, alike.
        why: for the rest, what it lacks.
        most: atoms that it holds, at most.
        runs: where it runs.
        script: runs it there.

    """

    code: tuple[Code, ...]
    form: tuple[Form, ...]
    why: str = ""
    most: int | None = None
    runs: str = "simulator that reads it"
    script: str | None = None


BOTH: tuple[Form, ...] = ("two-layer", "one-layer")
FORMATS = MappingProxyType(
    {
        "npz": Format(("graded", "spiking"), BOTH),
        "lava": Format(("graded",), BOTH, "its LCA layers send graded spikes", None, "Intel's lava", "run_lava.py"),
        "nest": Format(
            ("graded",),
            ("one-layer",),
            "it has the recurrence as rate neurons that inhibit each other",
            300,
            "NEST",
            "run_nest.py",
        ),
        "nir": Format(
            ("spiking",),
            ("one-layer",),
            "NIR has no soft threshold, and norse no residual",
            nir_graph.MOST_ATOMS,
            "norse",
            "run_nir.py",
        ),
    }
)


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        format: key of FORMATS.
        code, form: None for the format's first.
        atoms: how many, None for all.
        weight_bits: of integers.

    """

    format: str
    code: Code | None = None
    form: Form | None = None
    atoms: int | None = None
    weight_bits: int = 8

    @property
    def kind(self) -> tuple[Code, Form]:
        """The code and the form.

        Raises:
            UserError: if the format cannot express them.

        """
        has = FORMATS[self.format]
        code = self.code or has.code[0]
        form = self.form or (has.form[0] if code == "graded" else "one-layer")
        if code == "spiking" and form == "two-layer":
            raise UserError(
                "--code spiking --form two-layer: a residual is not sent in binary spikes; --form one-layer"
            )
        for option, value, allowed in (("code", code, has.code), ("form", form, has.form)):
            if value not in allowed:
                raise UserError(
                    f"--format {self.format} --{option} {value}: {has.why}; leave --{option} out, or --format npz"
                )
        return code, form
