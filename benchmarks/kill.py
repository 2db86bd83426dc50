"""SIGKILL at random moments of gramian, add-exemplars and remove-exemplars: nothing lost, nothing mixed, the same end.

python benchmarks/kill.py FOLDER [--kills 50] [--atoms 20000] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from facts import keep, takes_json
from project import dseld, features, project

from dseld_cli import store
from dseld_cli.store import project as paths

COMMANDS = (
    ("gramian",),
    ("add-exemplars", "data/additions/more.zarr"),
    ("remove-exemplars", "0/77", "0/1234"),
)


def state() -> str:
    """Hash of every byte of the dictionary, the Gramian and params.yaml; fails if anything lies beside them."""
    digest = hashlib.sha256(Path("params.yaml").read_bytes())
    assert not list(Path("data").glob("*.partial")) + list(Path("data").glob("*.retired"))
    for folder in (paths.DICTIONARY, paths.GRAMIAN):
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            digest.update(str(file).encode() + file.read_bytes())
    return digest.hexdigest()


def restore(begin: Path) -> None:
    """Go back to the beginning."""
    for path in (paths.DICTIONARY, paths.GRAMIAN):
        for ending in ("", ".partial", ".retired"):
            shutil.rmtree(f"{path}{ending}", ignore_errors=True)
        if (begin / path.name).exists():
            shutil.copytree(begin / path.name, path, copy_function=os.link)
    shutil.copy(begin / "params.yaml", "params.yaml")


def killed(arguments: tuple[str, ...], after: float) -> bool:
    """Run dseld and kill it; whether it was still running."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from dseld_cli.cli.app import app; app()", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after)
    running = process.poll() is None
    if running:
        process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def in_force() -> tuple[str, ...]:
    """Fingerprints of what a reader finds, every chunk of it verified."""
    found = []
    for path, kind in ((paths.DICTIONARY, store.DictionaryInfo), (paths.GRAMIAN, store.GramianInfo)):
        opened = store.previous(path, kind)
        if opened:
            assert all(opened.intact(name, key) for name, key in opened.all_chunks()), f"{path} is a mixture"
        found.append(opened.fingerprint if opened else "none")
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--atoms", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    takes_json(parser)
    wanted = parser.parse_args()
    project(wanted.folder, build_dict__size=wanted.atoms)
    os.chdir(wanted.folder)
    features(paths.features("train"), wanted.atoms, wanted.features, 0)
    features(Path("data/additions/more.zarr"), 3000, wanted.features, 1)
    dseld(Path(), "build-dict")
    begin, draw, done = Path("data/begin"), random.Random(wanted.seed), 0
    for command in COMMANDS:
        shutil.rmtree(begin, ignore_errors=True)
        begin.mkdir()
        shutil.copy("params.yaml", begin)
        for path in (paths.DICTIONARY, paths.GRAMIAN):
            if path.exists():
                shutil.copytree(path, begin / path.name, copy_function=os.link)
        old, seconds = in_force(), dseld(Path(), *command)[0]
        end, new = state(), in_force()
        print(f"{' '.join(command)}: {seconds:.1f} s")
        kills = wanted.kills // len(COMMANDS) + (command == COMMANDS[0]) * (wanted.kills % len(COMMANDS))
        late = 0
        while late < kills:
            restore(begin)
            after = draw.uniform(0.3 * seconds, 1.05 * seconds)
            if not killed(command, after):
                seconds = min(seconds, after)  # the machine is less busy than it was
                continue
            late += 1
            found = in_force()
            assert all(f in both for f, both in zip(found, zip(old, new, strict=True), strict=True)), (
                "neither old nor new"
            )
            stage = "old" if found == old else "new" if found == new else "dictionary new, Gramian old"
            dseld(Path(), *command)
            assert state() == end, "another end"
            done += 1
            print(f"  killed after {after:.2f} s: {stage} in force; the rerun ends the same", flush=True)
    print(f"{done} kills: nothing lost, nothing mixed, end state identical")
    keep(wanted.json, {"atoms": wanted.atoms, "kills": done})


if __name__ == "__main__":
    main()
