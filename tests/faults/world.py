"""A small project to run commands in under faults, and what may and may not come of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ONCE, READS = 1, 2
BASE = (
    "extract --limit-per-class 4",
    "extract --split test --limit-per-class 2 --output data/additions/more.zarr",
    "build-dict --size 24",
    "gramian",
    "encode --lambda 1.5",
    "encode --split train --lambda 1.5",
    "train-decoder",
    "decode",
    "baselines --baseline nearest-class-mean",
    "evaluate",
)


@dataclass(frozen=True)
class Case:
    """A command, and what makes it have something to do, in a project in which everything was run."""

    command: str
    before: tuple[str, ...] = ()


CASES = {
    "extract": Case("extract --split test --limit-per-class 5"),
    "build-dict": Case("build-dict --size 24 --seed 1"),
    "add-exemplars": Case("add-exemplars data/additions/more.zarr"),
    "remove-exemplars": Case("remove-exemplars --index 5"),
    "gramian": Case("gramian", ("build-dict --size 24 --seed 1",)),
    "encode": Case("encode --lambda 1.4"),
    "encode-train": Case("encode --split train --lambda 1.4"),
    "train-decoder": Case("train-decoder --seed 1"),
    "decode": Case("decode", ("encode --lambda 1.4",)),
    "baselines": Case("baselines --baseline nearest-class-mean", ("build-dict --size 24 --seed 1",)),
    "evaluate": Case("evaluate", ("encode --lambda 1.4", "decode")),
}


def build(folder: Path) -> Path:
    """Compile the layer.

    Raises:
        FileNotFoundError: if there is no gcc.

    """
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@dataclass
class World:
    """Trees of files before and after commands, and the process that runs commands.

    Attributes:
        folder: where trees are kept; the one that commands run in is `work`.
        begins, ends: by case, the tree that the command finds, and the state that it leaves.

    """

    folder: Path
    library: Path
    begins: dict[str, Path] = field(default_factory=dict)
    ends: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stores: dict[str, tuple[dict[str, str], dict[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        environment = {**os.environ, "LD_PRELOAD": str(self.library)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._answer("ready")
        self._prepare()

    @property
    def work(self) -> Path:
        """Project that commands run in."""
        return self.folder / "work"

    def close(self) -> None:
        """End the process."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()

    def _answer(self, wanted: str = "") -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line and line.startswith(wanted), "the runner ended"
        return line

    def run(
        self, command: str, at: int = -1, number: int = 0, flags: int = 0, log: Path | None = None
    ) -> dict[str, Any]:
        """Run a command with a fault at its k-th operation: what it said, its code, whether it was killed."""
        trial = {"folder": str(self.work), "command": command.split(), "at": at, "errno": number, "flags": flags}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({**trial, "log": str(log) if log else None}) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self._answer()))

    def side_by_side(self, command: str, other: str, delay: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run a command, and another that starts `delay` seconds later: what came of each."""
        trial = {"folder": str(self.work), "command": command.split(), "at": -1, "errno": 0, "flags": 0}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({**trial, "beside": other.split(), "delay": delay}) + "\n")
        self.process.stdin.flush()
        found = json.loads(self._answer())
        return found["first"], found["second"]

    def fine(self, command: str) -> dict[str, Any]:
        """Run a command without a fault, which has to succeed."""
        found = self.run(command)
        assert found.get("code") == 0, (command, found)
        return found

    def found(self) -> dict[str, str]:
        """Fingerprint of every store, all chunks verified, or what is wrong with it."""
        found = self.run("verify-all")
        found.pop("killed")
        return found

    def _prepare(self) -> None:
        self.work.mkdir()
        shutil.copy(ROOT / "params.yaml", self.work)
        params = yaml.safe_load((self.work / "params.yaml").read_text())
        params["train_decoder"]["images"] = 12
        (self.work / "params.yaml").write_text(yaml.safe_dump(params))
        for command in BASE:
            self.fine(command)
        self.base = self.folder / "base"
        copy(self.work, self.base)

    def case(self, name: str) -> Path:
        """Tree that a case's command finds; the first time, learn what it leaves."""
        if name not in self.begins:
            self.restore(self.base)
            for command in CASES[name].before:
                self.fine(command)
            self.begins[name] = self.folder / name
            copy(self.work, self.begins[name])
            old = self.found()
            self.fine(CASES[name].command)
            self.ends[name], self.stores[name] = state(self.work), (old, self.found())
        return self.begins[name]

    def restore(self, tree: Path) -> None:
        """Go back to a tree."""
        shutil.rmtree(self.work, ignore_errors=True)
        copy(tree, self.work)

    def operations(self, name: str, flags: int = 0) -> int:
        """How many operations a case's command has."""
        self.restore(self.case(name))
        return int(self.run(CASES[name].command, flags=flags)["operations"])

    def judge(self, name: str, what: object) -> None:
        """Every store is what it was or what it is to be, and running the command again ends as if undisturbed."""
        old, new = self.stores[name]
        for path, fingerprint in self.found().items():
            assert fingerprint in (old.get(path), new.get(path)), (what, path, fingerprint)
        gone = [path for path in old if path in new and not self.there(path)]
        assert not gone, (what, gone)
        again = self.run(CASES[name].command)
        assert again.get("code") == 0, (what, again)
        left, end = state(self.work), self.ends[name]
        differ = sorted(path for path in left.keys() | end.keys() if left.get(path) != end.get(path))
        assert not differ, (what, differ[:5])

    def there(self, path: str) -> bool:
        """Whether readers find a store."""
        return (self.work / path).exists() or (self.work / f"{path}.retired").exists()


def copy(tree: Path, target: Path) -> None:
    """Copy a tree; chunks, which nothing may change in place, as hard links."""

    def one(source: str, to: str) -> None:
        if "/c/" in source:
            os.link(source, to)
        else:
            shutil.copy2(source, to)

    shutil.copytree(tree, target, copy_function=one, ignore=shutil.ignore_patterns("*.lock"))


def state(folder: Path) -> dict[str, bytes]:
    """Every byte of a project, locks aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def one_line(found: dict[str, Any]) -> str | None:
    """What is wrong with how a command ended: success, or one line and exit code 2; None if nothing."""
    said = str(found["said"]).strip()
    lines = [line for line in said.splitlines() if line.startswith("error")]
    if found["code"] not in (0, 2):
        return f"exit code {found['code']}: {said[-300:]}"
    if "Traceback" in said or (found["code"] and (len(lines) != 1 or len(lines[0]) > 500)):
        return said[-500:]
    return None
