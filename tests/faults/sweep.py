"""Faults of every kind at random places, as many as are asked for; a table of what was tried and what held.

    python -m tests.faults.sweep --kills 2000 --json faults.json      (minutes to an hour; all kinds by default)

The kinds are those of test_faults.py, drawn evenly over commands and their operations; and damage to committed stores,
two writers at a time. What does not hold is printed, with what it takes to see it again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.test_faults import MODES, damage, damaged_draft, lost_power, tried
from tests.faults.world import CASES, READS, World, build, one_line, state

WRITERS = [name for name in CASES if name != "evaluate"]


def one_fault(mode: str) -> Callable[[World, random.Random], bool]:
    def trial(world: World, draw: random.Random) -> bool:
        name = draw.choice(list(CASES))
        tried(world, name, mode, draw.randrange(operations(world, name, MODES[mode][1] & READS)))
        return True

    return trial


_operations: dict[tuple[str, int], int] = {}


def operations(world: World, name: str, flags: int) -> int:
    """As `World.operations`, counted once."""
    if (name, flags) not in _operations:
        _operations[name, flags] = world.operations(name, flags)
    return _operations[name, flags]


def power_loss(world: World, draw: random.Random) -> bool:
    lost_power(world, draw.choice(list(CASES)), [draw.randrange(10**6)])
    return True


def draft_damage(world: World, draw: random.Random) -> bool:
    return damaged_draft(world, draw.choice(WRITERS), draw)


def store_damage(world: World, draw: random.Random) -> bool:
    """Damage a file of a committed store: a command is refused, or does what it does without; verify sees it."""
    name = draw.choice(list(CASES))
    world.restore(world.case(name))
    files = [p for p in sorted(world.work.rglob("*.zarr/**/*")) if p.is_file() and p.suffix != ".lock"]
    file = draw.choice(files)
    before = file.read_bytes()
    how = damage(file, draw)
    if file.exists() and file.read_bytes() == before:
        return False
    what = (name, how, str(file.relative_to(world.work)))
    seen = world.run("verify")
    assert seen["code"] == 1, (what, "verify", seen)
    found = world.run(CASES[name].command)
    assert not (wrong := one_line(found)), (what, wrong)
    if found["code"] == 0:
        stores, (_, new) = world.found(), world.stores[name]
        ours = {path: mark for path, mark in stores.items() if not str(file.relative_to(world.work)).startswith(path)}
        assert all(mark == new[path] for path, mark in ours.items()), (what, "another result")
    return True


def two_writers(world: World, draw: random.Random) -> bool:
    """Two commands at a time: each succeeds or is refused, and running both again ends as in turns."""
    first, second = draw.choice(WRITERS), draw.choice(WRITERS)
    begin = world.case(first)
    a, b = CASES[first].command, CASES[second].command
    world.restore(begin)
    orderly = [world.run(command) for command in (a, b, a, b)]  # twice: one may read what the other writes
    if any(found["code"] != 0 for found in orderly):
        return False  # the second has nothing to work on
    end = state(world.work)
    world.restore(begin)
    what = (a, b, delay := draw.uniform(0, 0.3))
    for found in world.side_by_side(a, b, delay):
        assert not (wrong := one_line(found)), (what, wrong)
    for command in (a, b, a, b):
        world.fine(command)
    left = state(world.work)
    differ = sorted(path for path in left.keys() | end.keys() if left.get(path) != end.get(path))
    assert not differ, (what, differ[:5])
    return True


KINDS: dict[str, tuple[Callable[[World, random.Random], bool], int]] = {
    "kills": (one_fault("kill"), 2000),
    "full-disks": (one_fault("full"), 700),
    "broken-disks": (one_fault("broken"), 700),
    "hiccups": (one_fault("hiccup"), 600),
    "power-losses": (power_loss, 200),
    "damaged-drafts": (draft_damage, 250),
    "damaged-stores": (store_damage, 250),
    "two-writers": (two_writers, 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, (_, count) in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop then, wherever it is")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    memory = Path("/dev/shm")
    table = {kind: {"tried": 0, "held": 0} for kind in KINDS}
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        world = World(Path(folder), build(Path(folder)))
        draws = {kind: random.Random(f"{kind} {options.seed}") for kind in KINDS}
        wanted = {kind: getattr(options, kind.replace("-", "_")) for kind in KINDS}
        while time.monotonic() < end and (left := [k for k in KINDS if table[k]["tried"] < wanted[k]]):
            kind = min(left, key=lambda k: table[k]["tried"] / wanted[k])  # evenly, so that it can stop at any time
            try:
                if KINDS[kind][0](world, draws[kind]):
                    table[kind]["tried"] += 1
                    table[kind]["held"] += 1
            except AssertionError as error:
                table[kind]["tried"] += 1
                print(f"{kind}: {str(error)[:1500]}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(table, indent=2) + "\n")
        world.close()
        shutil.rmtree(folder, ignore_errors=True)
    for kind, found in table.items():
        print(f"{kind:16} tried {found['tried']:6} held {found['held']:6}")


if __name__ == "__main__":
    main()
