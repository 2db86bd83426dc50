"""What the benchmarks share: a project folder with a dictionary of synthetic features, and dseld run in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from dseld_cli import store
from dseld_cli.store import project as paths

ROOT = Path(__file__).parents[1]
EXTRACTOR = {"backbone": "synthetic", "weights": "none", "transform": "none"}


def features(path: Path, n: int, n_features: int, seed: int) -> None:
    """Commit a store of n positive features, as after a ReLU and pooling, of 100 classes."""
    info = store.FeaturesInfo(
        split="test" if path.stem == "test" else "train",
        classes=tuple(f"{c:03d}" for c in range(100)),
        extractor=EXTRACTOR,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).gamma(0.5, 1.0, (100, n_features)).astype(np.float32)
    labels = rng.integers(0, 100, n)
    with store.Draft(path, info, {"features": store.Spec.rows("float32", n, n_features)}) as draft:
        for i, part in enumerate(store.blocks(n)):
            noise = rng.standard_exponential((part.stop - part.start, n_features), np.float32)
            draft.write("features", (i, 0), centres[labels[part]] * 0.5 + noise)
        draft.put("labels", labels)
        draft.put("source", np.array([f"{seed}/{i}" for i in range(n)], dtype=np.dtypes.StringDType()))
        draft.commit()


def project(folder: Path, **changes: object) -> None:
    """Make a folder with a params.yaml to run dseld in."""
    folder.mkdir(parents=True, exist_ok=True)
    document = YAML().load((ROOT / "params.yaml").read_text())
    for name, value in changes.items():
        *section, key = name.split("__")
        (document[section[0]] if section else document)[key] = value
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(document, file)


def codes_fingerprint(folder: Path) -> str:
    """Fingerprint of the codes of the test split that are in force."""
    return store.open_store(folder / paths.codes("test"), store.CodesInfo).fingerprint


def dseld(folder: Path, *arguments: str) -> tuple[float, int, str]:
    """Run dseld in a folder: seconds, peak resident bytes, what it said."""
    command = [sys.executable, "-c", "from dseld_cli.cli.app import app; app()", *arguments]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(said.read() + errors.read())
        return seconds, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024), said.read().strip()
