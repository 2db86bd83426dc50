"""Every command, killed or refused by the disk at any operation on a file: old or new, never lost, never mixed."""

import errno
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dseld_cli.store import disk
from tests.faults.power_loss import Disk, operations
from tests.faults.world import CASES, ONCE, READS, World, build, one_line

MODES = {
    "kill": (0, 0),
    "full": (errno.ENOSPC, 0),
    "broken": (errno.EIO, READS),
    "hiccup": (errno.EIO, READS | ONCE),
}
SAMPLED = ("extract", "add-exemplars", "gramian", "encode", "evaluate")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if shutil.which("gcc") is None:
        pytest.skip("NO FAULTS WERE TRIED: there is no gcc to build the failing file layer with")
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = World(Path(folder), build(Path(folder)))
        yield made
        made.close()


def tried(world: World, name: str, mode: str, k: int) -> None:
    number, flags = MODES[mode]
    world.restore(world.case(name))
    found = world.run(CASES[name].command, k, number, flags)
    what = (name, mode, k)
    if mode == "kill":
        assert found["killed"], (what, found)
    else:
        assert not found["killed"], what
        assert not (wrong := one_line(found)), (what, wrong)
        if found["code"] == 0:
            assert world.found() == world.stores[name][1], (what, "success, but not the new stores")
    world.judge(name, what)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_fault_at_some_operation_leaves_old_or_new_and_a_rerun_completes_it(world: World, name: str) -> None:
    draw = random.Random(name)
    for mode, (_, flags) in MODES.items():
        tried(world, name, mode, draw.randrange(world.operations(name, flags & READS)))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_a_fault_at_any_operation_leaves_old_or_new_and_a_rerun_completes_it(
    world: World, name: str, mode: str
) -> None:
    n = world.operations(name, MODES[mode][1] & READS)
    for k in range(n):
        tried(world, name, mode, k)
    print(f"{name}, {mode}: {n} tried, {n} held")


def damage(file: Path, draw: random.Random) -> str:
    """Do what a bad disk or a careless hand does to a file."""
    content, how = file.read_bytes(), draw.choice(["delete", "empty", "truncate", "flip", "zero"])
    file.unlink()  # and never through a second name that another tree has for it
    if how == "flip" and content:
        at = draw.randrange(len(content))
        content = content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    ends = {"empty": b"", "truncate": content[: len(content) // 2], "flip": content, "zero": bytes(len(content))}
    if how != "delete":
        file.write_bytes(ends[how])
    return how


def damaged_draft(world: World, name: str, draw: random.Random) -> bool:
    """Kill a command, damage a file of the draft that it left, and run it again; whether there was a draft."""
    world.restore(world.case(name))
    k = draw.randrange(world.operations(name))
    world.restore(world.case(name))
    world.run(CASES[name].command, k)
    drafts = sorted(path for path in world.work.rglob("*.partial/**/*") if path.is_file())
    if not drafts:
        return False
    file = draw.choice(drafts)
    how, sign = damage(file, draw), file.parent.suffix == ".partial" and not (file.parent / disk.JOURNAL).exists()
    if sign:  # of a folder that was being deleted, the last thing that said whose it is: refused, and left alone
        again = world.run(CASES[name].command)
        if again["code"] == 2:
            assert "is in the way, and is none of dseld's drafts: move it away" in again["said"]
            assert not one_line(again)
            shutil.rmtree(file.parent)
    world.judge(name, (name, k, how, file))
    return True


@pytest.mark.parametrize("name", ["extract", "encode"])
def test_damage_in_a_killed_draft_is_made_good_by_the_next_run(world: World, name: str) -> None:
    draw = random.Random(name)
    assert sum(damaged_draft(world, name, draw) for _ in range(3)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "evaluate"])
def test_any_damage_in_a_killed_draft_is_made_good_by_the_next_run(world: World, name: str) -> None:
    draw = random.Random(name)
    print(f"{name}: {sum(damaged_draft(world, name, draw) for _ in range(60))} drafts damaged, and made good")


def lost_power(world: World, name: str, seeds: list[int]) -> None:
    begin, log = world.case(name), world.folder / "log"
    world.restore(begin)
    world.run(CASES[name].command, log=log)
    done = operations(log.read_text(), str(world.work))
    for seed in seeds:
        draw = random.Random(seed)
        disk = Disk.of(begin)
        crash = draw.randrange(len(done) + 1)
        for operation in done[:crash]:
            disk.do(*operation)
        shutil.rmtree(world.work)
        disk.after_power_loss(draw, world.work)
        world.judge(name, (name, "power loss", seed, crash))


@pytest.mark.parametrize("name", ["build-dict", "remove-exemplars"])
def test_a_power_loss_that_drops_what_was_not_synchronised_leaves_old_or_new(world: World, name: str) -> None:
    lost_power(world, name, [0, 1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_any_power_loss_leaves_old_or_new(world: World, name: str) -> None:
    lost_power(world, name, list(range(60)))
