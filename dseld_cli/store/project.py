"""Where each store lives, relative to the project's folder (the one with params.yaml, where commands run)."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

DATA = Path("data")
BASE = DATA / "base.zarr"
"""The dictionary as `build-dict` sampled it, before additions."""
DICTIONARY = DATA / "dictionary.zarr"
"""The current dictionary: the base and every addition."""
GRAMIAN = DATA / "gramian.zarr"
BASELINES = DATA / "baselines"
RECONSTRUCTION = DATA / "reconstruction"
SWEEPS = DATA / "sweeps"
PAPER = DATA / "paper"
AUDIT = DATA / "audit"
DEPLOY = DATA / "deploy"
"""What the dictionary loses as integers and as spikes, a file for each number of exemplars."""
ADDED = DATA / "features" / "added"
"""Features of image folders that joined the dictionary."""

MADE_OF = MappingProxyType(
    {
        "base": ("features", DATA / "features"),
        "dictionary": ("base", BASE),
        "gramian": ("dictionary", DICTIONARY),
        "codes": ("dictionary", DICTIONARY),
        "predictions": ("codes", DATA / "codes" / "test.zarr"),
        "calibration": ("dictionary", DICTIONARY),
    }
)
"""Kind of store, and what kind it is made of and where that lies."""


def kind_at(path: Path) -> str | None:
    """Kind of the store that belongs at a path below data/; None elsewhere."""
    if path.parts[:1] != DATA.parts or len(path.parts) < 2:
        return None
    first = path.parts[1].removesuffix(".zarr")
    return {"decoders": "network", "baselines": "baseline"}.get(first, first)


def features(split: str) -> Path:
    """Features of a split, "train" or "test"."""
    return DATA / "features" / f"{split}.zarr"


def codes(split: str) -> Path:
    """Codes of a split over the current dictionary."""
    return DATA / "codes" / f"{split}.zarr"


def metrics(split: str) -> Path:
    """Figures of a split: metrics.json for test, the one that is reported; metrics-val.json for val."""
    return Path("metrics.json" if split == "test" else f"metrics-{split}.json")


def evaluation(split: str) -> Path:
    """Folder of a split's tables and plots."""
    return DATA / "evaluation" / split


def network(decoder: str) -> Path:
    """Weights of a trained decoder."""
    return DATA / "decoders" / f"{decoder}.zarr"


def calibration(decoder: str) -> Path:
    """Learned on val: what the shares of a decoder are worth."""
    return DATA / "calibration" / f"{decoder}.zarr"


def baseline(name: str, split: str) -> Path:
    """Predictions of a baseline for a whole split."""
    return BASELINES / split / f"{name}.zarr"


def predictions(decoder: str, split: str) -> Path:
    """Predictions of a decoder for the coded images of a split."""
    return DATA / "predictions" / split / f"{decoder}.zarr"


def first_missing(kind: str, there: Callable[[Path], bool]) -> str:
    """Kind of store that is to be made first where one of `kind` is missing: the earliest of those that it is made of.

    Features of whichever split count, since a base may be drawn from any.
    """
    if kind not in MADE_OF:
        return kind
    needed, path = MADE_OF[kind]
    stores = path.glob("*.zarr") if needed == "features" else [path]
    return kind if any(map(there, stores)) else first_missing(needed, there)
