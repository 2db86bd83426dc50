"""A project's folder to run commands in, small enough to build in every test."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from dseld_cli.cli.app import app
from dseld_cli.runtime.place import LOCAL, write_to

ROOT = Path(__file__).parents[1]

Run = Callable[..., Result]


def interruptible() -> None:
    """Have a child heed SIGINT, which shells tell what they start in the background to ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def unsynchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare tests the disk's acknowledgements; tests/faults has those that are about them."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the params.yaml that dseld ships, as the current folder."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Two workers of Dask, each a process, as a cluster that is there already."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0") as there:
        yield there.scheduler_address


@pytest.fixture(autouse=True)
def chunks_here() -> Iterator[None]:
    """Let no test's data.store outlive it."""
    yield
    write_to(LOCAL)


QUICKSTART = """
extract
build-dict --base-only
add-exemplars
gramian
encode
encode --split train --for-training
train-decoder
decode
baselines
evaluate
"""
"""The stages of dvc.yaml, as it runs them."""


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the whole pipeline has run on digits; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("quickstart") / "digits"
    (folder / "data/additions").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    with contextlib.chdir(folder):
        for line in QUICKSTART.split("\n")[1:-1]:
            done = CliRunner().invoke(app, line.split())
            assert done.exit_code == 0, (line, done.output)
    return folder


@pytest.fixture
def run() -> Run:
    """Run one dseld command line; `ok` says whether it is expected to succeed."""
    runner = CliRunner()

    def command(line: str, ok: bool = True) -> Result:
        result = runner.invoke(app, shlex.split(line))
        if ok:
            assert result.exit_code == 0, result.output
        else:
            assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
            assert len(result.stderr.strip().splitlines()) == 1, result.stderr
            assert result.stderr.startswith("error: ")
        return result

    return command


def set_params(**changes: object) -> None:
    """Change values of params.yaml: section__key=value."""
    path = Path("params.yaml")
    content = yaml.load(path.read_text(), yaml.CSafeLoader)
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            content[section][key] = value
        else:
            content[section] = value
    path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper))


def image_folder(path: Path, per_class: dict[str, int], split: str = "train", size: int = 6, seed: int = 0) -> None:
    """Write PATH/split/<class>/<i>.png: noise around a pattern of the class's own."""
    rng = np.random.default_rng(seed)
    for c, (name, count) in enumerate(per_class.items()):
        folder = path / split / name
        folder.mkdir(parents=True, exist_ok=True)
        pattern = np.random.default_rng(100 + c).integers(0, 200, (size, size, 3))
        for i in range(count):
            pixels = np.clip(pattern + rng.integers(0, 40, pattern.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")


def as_format_2(*stores: Path) -> None:
    """Turn stores, each after those that it was made from, into what dseld wrote before digests were BLAKE3's."""
    renamed: dict[str, str] = {}
    atoms: dict[str, object] = {}
    for path in stores:
        text = (path / "zarr.json").read_text()
        for now, then in renamed.items():
            text = text.replace(now, then)
        group = json.loads(text)
        mark = group["attributes"]["dseld"]
        fingerprint = mark.pop("fingerprint")
        mark["format"] = 2
        del mark["words"]
        for name, array in mark["arrays"].items():
            sides = zarr.open_array(path / name, mode="r").chunks
            array["sha256"] = {key: _sha256(path / name, key, sides) for key in array.pop("digests")}
        if mark["kind"] == "dictionary":
            atoms = mark["arrays"]["atoms"]
        if mark["kind"] == "gramian":
            mark["provenance"]["atoms"] = atoms
        as_written = json.dumps(mark, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        mark["fingerprint"] = renamed[fingerprint] = hashlib.sha256(as_written.encode()).hexdigest()
        (path / "zarr.json").write_text(json.dumps(group))


def _sha256(array: Path, key: str, sides: tuple[int, ...]) -> str:
    """SHA-256 of the type, shape and values of a chunk, as zarr reads it."""
    at = [slice(int(k) * side, (int(k) + 1) * side) for k, side in zip(key.split("/"), sides, strict=True)]
    values = np.asarray(zarr.open_array(array, mode="r")[tuple(at)])
    if values.dtype.kind in "OTU":
        return hashlib.sha256(f"str{values.shape}".encode() + "".join(f"{v}\0" for v in values).encode()).hexdigest()
    return hashlib.sha256(f"{values.dtype}{values.shape}".encode() + values.tobytes()).hexdigest()
