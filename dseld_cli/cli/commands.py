"""Which commands there are, and in which file: one is made when it is asked for, the overview asks for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

FILES = {
    "starting": ("init",),
    "pipeline": ("extract", "build-dict", "gramian", "encode", "decode", "evaluate"),
    "growing": ("add-exemplars", "remove-exemplars", "relabel", "audit", "condense"),
    "comparing": ("train-decoder", "baselines"),
    "paper": ("workload", "reconstruct", "timing", "sweep", "tune", "paper", "report"),
    "using": ("classify", "calibrate", "export-table"),
    "deploying": ("deploy-check", "export"),
    "checking": ("verify", "gc"),
}
"""File of `cli/` to its commands, in the order of the overview."""


class Made(Mapping[str, Any]):
    """Commands by name, each made at its first use."""

    def __init__(self) -> None:
        self._files = {name: file for file, names in FILES.items() for name in names}
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = import_module(f"dseld_cli.cli.{self._files[name]}").commands[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def plain_flag(option: Any) -> Any:
    """Name no kind of value for a flag, which takes none."""
    if option is not None:
        option.metavar = ""
    return option
