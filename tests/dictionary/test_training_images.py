"""What a decoder may learn from after growth: the split and every addition, in the dictionary's classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dseld_cli import store
from dseld_cli.dictionary.growth import grow
from dseld_cli.dictionary.leave_one_out import TrainingImages, own_atoms_of
from dseld_cli.dictionary.manifest import compose


@dataclass
class Listing:
    additions: tuple[str, ...]
    removals: tuple[str, ...] = ()
    compact: bool = False
    relabels: tuple[Any, ...] = ()


def made(path: Path, kind: str, rows: str, content: np.ndarray, classes: list[str]) -> Any:
    names = np.array([f"{path.stem}/{i}" for i in range(len(content))], dtype=np.dtypes.StringDType())
    origin = {"classes": tuple(classes), "extractor": {"backbone": "x"}, "split": "train"}
    drawn = {"sampling": "random", "size": "all", "seed": 0, "duplicates": "keep"}
    info = store.BaseInfo(**origin, **drawn) if kind == "base" else store.FeaturesInfo(**origin)
    labels = np.arange(len(content)) % len(classes)
    store.write(path, info, {rows: content, "labels": labels, "source": names})
    return store.open_store(path, type(info))


def test_the_images_of_additions_follow_those_of_the_split(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((9, 4), np.float32)
    exact = rows.astype(np.float64)
    unit = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)
    train = made(tmp_path / "train.zarr", "features", "features", rows[:5], ["ant", "bee"])
    base = made(tmp_path / "base.zarr", "base", "atoms", unit[:3], ["ant", "bee"])
    june = made(tmp_path / "june.zarr", "features", "features", rows[[5, 6, 7, 1]], ["cat", "ant"])
    wanted = compose(base, Listing(("june",)), lambda _: june)
    dictionary = grow(tmp_path / "dictionary.zarr", wanted).dictionary
    images = TrainingImages.of(train, wanted)
    order = np.array([8, 0, 6, 5, 4])
    np.testing.assert_array_equal(images.features(order), np.concatenate([rows[:5], rows[[5, 6, 7, 1]]])[order])
    assert [*images.classes] == ["ant", "bee", "cat"]
    assert images.labels.tolist() == [0, 1, 0, 1, 0, 2, 0, 2, 0]
    assert images.source.tolist()[4:6] == ["train/4", "june:june/0"]
    own = [atoms.tolist() for atoms in own_atoms_of(images, dictionary)]
    assert own == [[0], [1, 6], [2], [], [], [3], [4], [5], [1, 6]], "by content, and by name"
