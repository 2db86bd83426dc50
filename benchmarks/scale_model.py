"""Hours and money for more exemplars, images and workers than one machine has: arithmetic with measured rates.

    python benchmarks/scale_model.py [--features 2048] [--price 0.04]

Rates come from benchmarks/figures: what an image costs over 1.28 million exemplars (scale), and what extracting one
does (extraction). A worker is a machine like the one they were measured on. Coding is split by images: every worker
reads all atoms, from its memory or its disk, once for each pass of a batch. Times of the passes grow with the number
of exemplars (measured: `growth`); nothing here ran on more than one machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facts import keep, takes_json

FIGURES = Path(__file__).parent / "figures"
CASES = ((50_000, 50_000), (1_281_167, 50_000), (1_281_167, 1_281_167), (100_000_000, 50_000))
"""Exemplars and images: the paper's, ImageNet's validation and training images over all of it, and LAION's order."""
WORKERS = (1, 16, 256)


@dataclass(frozen=True)
class Rates:
    """What was measured, and what is assumed.

    Attributes:
        coding: seconds an image over `exemplars`.
        exemplars: over which that was.
        passes: readings of all atoms that a batch takes.
        extraction: images a second.
        memory: bytes of a worker that may hold atoms.
        disk: bytes a second of its disk.
        network: bytes a second that reach a worker.
        batch: images worked on together.

    """

    coding: float
    exemplars: int
    passes: float
    extraction: float
    memory: float = 12 * 2**30
    disk: float = 2e9
    network: float = 1.25e9
    batch: int = 1000

    def extract(self, images: int, workers: int) -> float:
        """Seconds to extract the features of images."""
        return images / self.extraction / workers

    def encode(self, exemplars: int, images: int, features: int, workers: int) -> float:
        """Seconds to code images: fetch the atoms once, then compute, or wait for the disk, whichever takes longer."""
        size = 4.0 * exemplars * features
        mine = -(-images // workers)
        compute = mine * self.coding * exemplars / self.exemplars
        readings = -(-mine // self.batch) * self.passes
        reading = 0.0 if size <= self.memory else readings * size / self.disk
        return size / self.network + max(compute, reading)

    def batch_that_computes(self, features: int) -> float:
        """Images of a batch from which on a worker computes longer than it reads: below, sharding atoms would win."""
        read = self.passes * 4 * features * self.exemplars / self.disk
        return read / self.coding


def measured() -> Rates:
    """Read rates from the figures."""
    scale, extraction = (json.loads((FIGURES / f"{name}.json").read_text()) for name in ("scale", "extraction"))
    largest = str(scale["atoms"])
    passes = float(scale["stages"]["encode"][largest]["said"].rpartition(";")[2].split()[0])
    seconds = scale["stages"]["encode"][largest]["seconds"]
    return Rates(seconds / scale["images"], scale["atoms"], passes, statistics.median(extraction["rates"]))


def table(rates: Rates, features: int, price: float, cores: int) -> list[dict[str, Any]]:
    """Hours, and money at a price per core and hour, of each case by each number of workers."""
    rows = []
    for exemplars, images in CASES:
        for workers in WORKERS:
            seconds = {
                "extract": rates.extract(exemplars + images, workers),
                "encode": rates.encode(exemplars, images, features, workers),
            }
            hours = sum(seconds.values()) / 3600
            rows.append({"exemplars": exemplars, "images": images, "workers": workers} | seconds | {
                "hours": hours, "money": hours * workers * cores * price,
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--price", type=float, default=0.04, help="of a core for an hour")
    parser.add_argument("--cores", type=int, default=2, help="of the machine that the rates are of")
    takes_json(parser)
    options = parser.parse_args()
    rates = measured()
    rows = table(rates, options.features, options.price, options.cores)
    print(f"{'exemplars':>12} {'images':>10} {'workers':>7} {'extract h':>10} {'encode h':>10} {'money':>10}")
    for row in rows:
        hours = " ".join(f"{row[stage] / 3600:10.2f}" for stage in ("extract", "encode"))
        print(f"{row['exemplars']:12,} {row['images']:10,} {row['workers']:7} {hours} {row['money']:10.2f}")
    batch = rates.batch_that_computes(options.features)
    print(f"a batch of {batch:.0f} images computes as long as its atoms are read from disk")
    keep(options.json, {"rows": rows, "rates": vars(rates), "price": options.price})


if __name__ == "__main__":
    main()
