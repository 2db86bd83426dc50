"""Workers and drivers killed at random while `dseld encode` runs on Dask: codes as by threads, each block once.

    python benchmarks/cluster.py FOLDER [--workers-killed 100] [--drivers-killed 20] [--seed 0]

Features are synthetic; blocks are of 20 images, so that there are many. A killed driver's draft is gone on with, by
either engine in turn. Exit code 1 where codes differ or a block was taken over twice.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
from distributed import Client, LocalCluster
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
EVERY = (0.1, 0.8)
"""Seconds between kills of workers."""


def encode(folder: Path, *engine: str) -> subprocess.Popen[bytes]:
    """Start a driver."""
    command = [sys.executable, "-c", DRIVER, "encode", "--lambda", "8", *engine]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Killer(threading.Thread):
    """Kills a random worker every now and then, until it is told to stop."""

    def __init__(self, client: Client, draw: random.Random, most: int) -> None:
        super().__init__()
        self.client, self.draw, self.most, self.killed, self.over = client, draw, most, 0, threading.Event()

    def run(self) -> None:
        """Kill."""
        while not self.over.wait(self.draw.uniform(*EVERY)) and self.killed < self.most:
            pids = list(self.client.run(os.getpid, on_error="ignore").values())
            if pids:
                os.kill(self.draw.choice(pids), signal.SIGKILL)
                self.killed += 1


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
    workers = drivers = runs = doubled = 0
    different = []
    dask.config.set({"distributed.scheduler.allowed-failures": 10_000})
    with (
        LocalCluster(
            2, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as there,
        Client(there, set_as_default=False) as client,
    ):
        engine = ("--engine", "dask", "--scheduler", there.scheduler_address)
        while workers < wanted.workers_killed or drivers < wanted.drivers_killed:
            shutil.rmtree(folder / paths.codes("test"))
            killer = Killer(client, draw, wanted.workers_killed - workers)
            killer.start()
            driver, ended = encode(folder, *engine), False
            if drivers < wanted.drivers_killed:
                time.sleep(draw.uniform(1.0, 1.0 + seconds))
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
            killer.over.set()
            killer.join()
            workers, runs = workers + killer.killed, runs + 1
            if code or codes_fingerprint(folder) != whole:
                different.append(said.decode())
            print(f"{workers} workers and {drivers} drivers killed in {runs} runs, {len(different)} unlike", flush=True)
    print("the same codes, each block once" if not (different or doubled) else f"{different} {doubled} blocks twice")
    keep(
        wanted.json,
        {"workers": workers, "drivers": drivers, "runs": runs, "different": len(different), "twice": doubled},
    )
    sys.exit(bool(different or doubled))


if __name__ == "__main__":
    main()
