"""What every figure is printed with: when and on what it was measured."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def takes_json(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark be told where to keep what it found; absolute, for some change the folder that they work in."""
    parser.add_argument("--json", type=lambda path: Path(path).absolute(), help="keep what was found, for docs/results")


def keep(path: Path | None, figures: dict[str, Any]) -> None:
    """Keep what a benchmark found, with when and on what it was measured."""
    if path:
        path.write_text(json.dumps(facts() | figures, indent=2) + "\n")


def facts() -> dict[str, Any]:
    """Date, command, processor, cores and versions of a run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {name: installed(name) for name in ("python", "dseld", "numpy", "numba", "torch")},
    }


def processor() -> str:
    """Name the processor, and the widest arithmetic that it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    flags = found.get("flags", "").split()
    wide = next((flag for flag in ("avx512_bf16", "avx512f", "avx2") if flag in flags), "")
    return f"{found.get('model name', platform.machine())}{f' ({wide})' if wide else ''}"


def installed(name: str) -> str:
    """Version of a package, or of Python."""
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"
