"""What it costs that nothing is lost or silently wrong: fsync, and digests of all that is written and read, in pairs.

    python benchmarks/durability.py FOLDER [--atoms 50000] [--features 1280] [--added 1000] [--pairs 3] [--json FILE]

The Gramian is built, and exemplars are added (which grows dictionary and Gramian), by dseld as it is and by dseld
without either, in turns, each in a project of its own. FOLDER needs room for two Gramians and their growth.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from facts import keep, takes_json
from project import project

from dseld_cli.store import project as paths

APP = "from dseld_cli.cli.app import app; app()"
WITHOUT = """
import os
from blake3 import blake3
import dseld_cli.store.chunks
class Sample:  # of what is new, and what is not, digests have to tell: else nothing would be computed
    def __init__(self): self.found = blake3()
    def update(self, data): self.found.update(bytes(data[:4096]) + bytes(data[-4096:]))
    def hexdigest(self): return self.found.hexdigest()
dseld_cli.store.chunks.blake3 = Sample
os.fsync = os.fdatasync = lambda _: None
"""
ADDED = Path("data/additions/more.zarr")


def run(folder: Path, code: str, *arguments: str) -> float:
    """Run a command in a folder: seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code + APP, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - began


def written_since(folder: Path, moment: float) -> int:
    """Bytes of the files below a folder that are new since then."""
    return sum(
        its.st_size for its in (file.stat() for file in folder.rglob("*") if file.is_file()) if its.st_mtime > moment
    )


def disk(file: Path, size: int) -> float:
    """Seconds in which the disk takes so many bytes: one file, written from memory, and one fsync."""
    piece = os.urandom(2**24)
    began = time.monotonic()
    with file.open("wb", buffering=0) as out:
        for start in range(0, size, len(piece)):
            out.write(piece[: size - start])
        os.fsync(out.fileno())
    taken = time.monotonic() - began
    file.unlink()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--atoms", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--added", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=3)
    takes_json(parser)
    wanted = parser.parse_args()
    sides = {"as it is": "", "without": WITHOUT}
    for name, code in sides.items():
        folder = wanted.folder / name.replace(" ", "-")
        project(folder, build_dict__size=wanted.atoms)
        make = f"{code}\nimport sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom project import features\n"
        for path, n, seed in ((paths.features("train"), wanted.atoms, 0), (ADDED, wanted.added, 1)):
            made = f"from pathlib import Path; features(Path({str(path)!r}), {n}, {wanted.features}, {seed})"
            subprocess.run([sys.executable, "-c", make + made], cwd=folder, check=True)
        run(folder, code, "build-dict")
    times: dict[str, dict[str, list[float]]] = {what: {name: [] for name in sides} for what in ("gramian", "growth")}
    wrote = {}
    for pair in range(wanted.pairs):
        for name, code in list(sides.items())[:: 1 if pair % 2 else -1]:
            folder = wanted.folder / name.replace(" ", "-")
            shutil.rmtree(folder / paths.GRAMIAN, ignore_errors=True)
            for what, command in (("gramian", ("gramian",)), ("growth", ("add-exemplars", str(ADDED)))):
                began = time.time()
                times[what][name].append(run(folder, code, *command))
                wrote[what] = written_since(folder / paths.DATA, began)
            run(folder, code, "remove-exemplars", str(ADDED))
    figures = {}
    for what, found in times.items():
        prices = [a / b - 1 for a, b in zip(*found.values(), strict=True)]
        alone = statistics.median(disk(wanted.folder / "plain", wrote[what]) for _ in range(3))
        figures[what] = {"seconds": found, "price": statistics.median(prices), "bytes": wrote[what], "disk": alone}
        seconds = ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in found.items())
        print(f"{what}: {seconds}; price {100 * statistics.median(prices):.1f} %")
        print(f"  {wrote[what] / 1e6:.0f} MB, which the disk alone takes in {alone:.2f} s")
    keep(wanted.json, {"atoms": wanted.atoms, "features": wanted.features, "added": wanted.added, "figures": figures})


if __name__ == "__main__":
    main()
