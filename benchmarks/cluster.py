"""Workers and drivers killed at random while `dseld encode` runs on Dask: codes as by threads, each block once.

    python benchmarks/cluster.py FOLDER [--workers-killed 100] [--drivers-killed 20] [--seed 0]

Features are synthetic; blocks are of 20 images, so that there are many. A killed driver's draft is gone on with, by
either engine in turn. Exit code 1 where codes differ or a block was taken over twice.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
from distributed import LocalCluster
from facts import keep, takes_json
from project import codes_fingerprint, dseld, features, project

from dseld_cli.store import project as paths

DRIVER = """
import sys
from dseld_cli.dictionary import encoding
encoding.BATCH = 20
from dseld_cli.cli.app import app
app(sys.argv[1:])
"""
EVERY = (1.0, 4.0)
"""Seconds between kills of workers, which take some two to start: faster, and none does a block."""
WORKERS = 2


def encode(folder: Path, *engine: str) -> subprocess.Popen[bytes]:
    """Start a driver."""
    command = [sys.executable, "-c", DRIVER, "encode", "--lambda", "8", *engine]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Workers(threading.Thread):
    """Workers of a scheduler, of which a random one is killed, and another started, every now and then until the end.

    Dask's own nanny gives up on a worker that is killed while it starts.
    """

    def __init__(self, scheduler: str, draw: random.Random, most: int) -> None:
        super().__init__()
        command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler]
        self.command = [*command, "--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--no-dashboard"]
        self.draw, self.most, self.killed, self.over = draw, most, 0, threading.Event()
        self.there = [self._new() for _ in range(WORKERS)]

    def _new(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self) -> None:
        """Kill."""
        while not self.over.wait(self.draw.uniform(*EVERY)):
            if self.killed < self.most:
                self._kill(i := self.draw.randrange(WORKERS))
                self.killed += 1
                self.there[i] = self._new()
        for i in range(WORKERS):
            self._kill(i)

    def _kill(self, i: int) -> None:
        self.there[i].kill()
        self.there[i].wait()


def twice(folder: Path) -> int:
    """Count blocks that the journal of a draft has more than once."""
    journal = folder / paths.codes("test").with_name("test.zarr.partial") / "dseld-journal"
    if not journal.exists():
        return 0
    parts = [line.split(b" ", 1)[1] for line in journal.read_bytes().splitlines() if b'"part"' in line]
    return len(parts) - len(set(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers-killed", type=int, default=100)
    parser.add_argument("--drivers-killed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    takes_json(parser)
    wanted = parser.parse_args()
    folder, draw = wanted.folder, random.Random(wanted.seed)
    project(folder)
    features(folder / paths.features("train"), 6000, 256, 0)
    features(folder / paths.features("test"), 3000, 256, 1)
    dseld(folder, "build-dict")
    began = time.monotonic()
    assert encode(folder).wait() == 0
    seconds, whole = time.monotonic() - began, codes_fingerprint(folder)
    drivers = runs = doubled = 0
    different = []
    dask.config.set({"distributed.scheduler.allowed-failures": 10_000})
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as there:
        engine = ("--engine", "dask", "--scheduler", there.scheduler_address)
        its = Workers(there.scheduler_address, draw, wanted.workers_killed)
        its.start()
        while its.killed < wanted.workers_killed or drivers < wanted.drivers_killed:
            shutil.rmtree(folder / paths.codes("test"))
            driver, ended = encode(folder, *engine), False
            if drivers < wanted.drivers_killed:
                time.sleep(draw.uniform(1.0, 1.0 + 2 * seconds))
                ended = driver.poll() is None
                driver.kill()
            said = driver.communicate()[1]
            drivers += ended
            doubled += twice(folder)
            if ended:
                again = encode(folder, *(engine if drivers % 2 else ()))
                said, code = again.communicate()[1], again.returncode
            else:
                code = driver.returncode
            runs += 1
            if code or codes_fingerprint(folder) != whole:
                different.append(said.decode())
            print(
                f"{its.killed} workers and {drivers} drivers killed, {runs} runs, {len(different)} unlike", flush=True
            )
        its.over.set()
        its.join()
    print("the same codes, each block once" if not (different or doubled) else f"{different} {doubled} blocks twice")
    keep(
        wanted.json,
        {"workers": its.killed, "drivers": drivers, "runs": runs, "different": len(different), "twice": doubled},
    )
    sys.exit(bool(different or doubled))


if __name__ == "__main__":
    main()
