"""Compare two commits, pair by pair, in one run: the same commands on the same data, old and new in turns.

    python benchmarks/regress.py v0.4 . --cases start repro
    python benchmarks/regress.py 077a890 . --cases encode encode-gramian --train train.npz --test test.npz
    python benchmarks/regress.py 077a890 . --cases extract --images photographs/

A side is a commit, or a folder that has a checkout. Each has a project folder of its own for each case, prepared by its
own commands; what is timed is a whole process, as a user would wait for it. A pair is (old, new), the next one (new,
old), and so on; printed are both medians and the median of the pairs' ratios, old by new. One pair is run before, which
does not count: it compiles.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facts import keep, takes_json

ROOT = Path(__file__).parents[1]
RUN = """
try: from dseld_cli.cli.start import run
except ImportError: from dseld_cli.cli import app as run
run()"""
"""How any commit is started."""


@dataclass(frozen=True)
class Side:
    """A checkout, and the folder that has its projects."""

    checkout: Path
    folder: Path

    def run(self, command: list[str], place: Path) -> dict[str, float]:
        """Run a command, in which `dseld` is this checkout's, in a folder of this side; what that took."""
        scripts = self.folder / "bin"
        if not scripts.exists():
            scripts.mkdir(parents=True)
            (scripts / "dseld").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{RUN}' \"$@\"\n")
            (scripts / "dseld").chmod(0o755)
        path = os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ["PATH"]])
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            command,
            cwd=place,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(self.checkout), "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{self.checkout}: {' '.join(command)}\n{done.stdout}{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return {"seconds": seconds, "cpu_seconds": cpu, "minor_faults": after.ru_minflt - before.ru_minflt}


@dataclass(frozen=True)
class Case:
    """What is timed: commands that prepare a project, the command that is timed, and what is deleted before it."""

    prepare: list[list[str]]
    timed: list[str]
    deleted: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", help="commit, or folder of a checkout")
    parser.add_argument("new", nargs="?", default=str(ROOT), help="commit, or folder of a checkout (this one)")
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=["start", "repro"])
    parser.add_argument("--train", type=Path, help="npz with features and labels of the exemplars, for encode")
    parser.add_argument("--test", type=Path, help="npz with features and labels of the test images, for encode")
    parser.add_argument("--images", type=Path, help="folder of images by class, for extract")
    parser.add_argument("--count", type=int, default=2000, help="test images that are encoded")
    parser.add_argument("--lambda", dest="lambda_", default="2")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the projects are made (default: a temporary folder)")
    takes_json(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        with checkout(options.old, folder / "old") as old, checkout(options.new, folder / "new") as new:
            sides = {"old": Side(old, folder / "old"), "new": Side(new, folder / "new")}
            compared_with = "this version" if options.new == str(ROOT) else options.new
            result: dict[str, Any] = {"old": options.old, "new": compared_with, "cases": {}}
            for name in options.cases:
                result["cases"][name] = found = compared(sides, name, CASES[name](options), options.pairs)
                show(name, found)
                keep(options.json, result)


def show(name: str, found: dict[str, dict[str, Any]]) -> None:
    """Print a line for each thing that was measured."""
    for key, pair in found.items():
        print(f"{name:16} {key:14} old {pair['old']:10.2f}   new {pair['new']:10.2f}   {pair['ratio']:6.2f} times")


@contextmanager
def checkout(what: str, folder: Path) -> Iterator[Path]:
    """Check out a commit beside this repository, for as long as it is needed; a folder is taken as it is."""
    if (Path(what) / "dseld_cli").is_dir():
        yield Path(what).resolve()
        return
    place = folder / "checkout"
    subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(place), what], check=True)
    try:
        yield place
    finally:
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(place)], check=True)


def compared(sides: dict[str, Side], name: str, case: Case, pairs: int) -> dict[str, dict[str, Any]]:
    """Run both sides of a case in turns: of each thing measured both medians, the pairs' median ratio, and all."""
    places = {}
    for who, side in sides.items():
        places[who] = side.folder / name
        if not places[who].exists():
            (places[who] / "data/additions").mkdir(parents=True)
            for file in ("params.yaml", "dvc.yaml"):
                shutil.copy(side.checkout / file, places[who])
            for command in case.prepare:
                side.run(command, places[who])
    runs: dict[str, list[dict[str, float]]] = {"old": [], "new": []}
    for pair in range(pairs + 1):
        for who in ("old", "new") if pair % 2 else ("new", "old"):
            for path in case.deleted:
                shutil.rmtree(places[who] / path, ignore_errors=True)
            took = sides[who].run(case.timed, places[who])
            runs[who] += [took] if pair else []
    found = {}
    for key in runs["old"][0]:
        old, new = ([run[key] for run in runs[who]] for who in ("old", "new"))
        ratio = statistics.median([a / b for a, b in zip(old, new, strict=True)])
        found[key] = {"old": statistics.median(old), "new": statistics.median(new), "ratio": ratio, "all": [old, new]}
    return found


GIT = [["git", "init", "-q"], ["dvc", "init", "-q", "-f"]]
DIGITS = [["dseld", "extract"], ["dseld", "build-dict"], ["dseld", "gramian"], ["dseld", "encode"]]


def start(options: argparse.Namespace) -> Case:
    """Read the codes of digits: all that takes time is the start."""
    return Case(DIGITS, ["dseld", "decode", "--decoder", "class-sum"], ("data/predictions",))


def repro(options: argparse.Namespace) -> Case:
    """Run the quickstart's pipeline again."""
    return Case([*GIT, ["dvc", "repro"]], ["dvc", "repro", "-f"])


def encode(options: argparse.Namespace, more: tuple[str, ...] = (), gramian: bool = False) -> Case:
    """Encode test images over a dictionary of given features."""
    if not (options.train and options.test):
        raise SystemExit("--train and --test: the features to encode, as npz")
    taken = [
        ["dseld", "extract", "--split", split, "--from-npz", str(path.resolve()), "--extractor", "given"]
        for split, path in (("train", options.train), ("test", options.test))
    ]
    built = [["dseld", "build-dict"], *([["dseld", "gramian"]] if gramian else [])]
    command = ["dseld", "encode", "--lambda", options.lambda_, "--images", str(options.count), *more]
    return Case([*taken, *built], command, ("data/codes",))


def encode_from_gramian(options: argparse.Namespace) -> Case:
    """Encode with a Gramian in place, each commit as it does by default."""
    return encode(options, gramian=True)


def extract(options: argparse.Namespace) -> Case:
    """Extract features of images by class."""
    if not options.images:
        raise SystemExit("--images: a folder of images by class")
    command = [
        "dseld", "extract", "--dataset", f"folder:{options.images.resolve()}", "--split", "test",
        "--backbone", "efficientnet_lite0", "--image-size", "160",
    ]  # fmt: skip
    return Case([], command, ("data/features",))


CASES: dict[str, Callable[[argparse.Namespace], Case]] = {
    "start": start,
    "repro": repro,
    "encode": encode,
    "encode-gramian": encode_from_gramian,
    "extract": extract,
}


if __name__ == "__main__":
    main()
