"""Where each store lives, relative to the project's folder (the one with params.yaml, where commands run)."""

from pathlib import Path

DATA = Path("data")
BASE = DATA / "base.zarr"
"""The dictionary as `build-dict` sampled it, before additions."""
DICTIONARY = DATA / "dictionary.zarr"
"""The dictionary in force: the base and every addition."""
GRAMIAN = DATA / "gramian.zarr"
BASELINES = DATA / "baselines"
RECONSTRUCTION = DATA / "reconstruction"
SWEEPS = DATA / "sweeps"
ADDED = DATA / "features" / "added"
"""Features of image folders that joined the dictionary."""
METRICS = Path("metrics.json")
PER_CLASS = DATA / "per_class.csv"
CONFUSION = DATA / "confusion.csv"
PLOTS = DATA / "plots"


def features(split: str) -> Path:
    """Features of a split, "train" or "test"."""
    return DATA / "features" / f"{split}.zarr"


def codes(split: str) -> Path:
    """Codes of a split over the dictionary in force."""
    return DATA / "codes" / f"{split}.zarr"


def network(decoder: str) -> Path:
    """Weights of a trained decoder."""
    return DATA / "decoders" / f"{decoder}.zarr"


def baseline(name: str) -> Path:
    """Predictions of a baseline for the whole test split."""
    return BASELINES / f"{name}.zarr"


def predictions(decoder: str) -> Path:
    """Predictions of a decoder for the coded split."""
    return DATA / "predictions" / f"{decoder}.zarr"
