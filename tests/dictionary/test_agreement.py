"""A dictionary that is not what params.yaml lists is used, and said to be."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.dictionary.agreement import MOST, disagreements, other_dictionary, other_features
from dseld_cli.dictionary.growth import grow
from dseld_cli.dictionary.manifest import compose


@dataclass
class Relabel:
    image: str
    class_: str


@dataclass
class Listing:
    additions: list[str] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    compact: bool = False
    relabels: tuple[Any, ...] = ()


INFOS: dict[str, store.Info] = {
    "features": store.FeaturesInfo(classes=("ant",), extractor={"backbone": "x"}, split="train"),
    "base": store.BaseInfo(
        classes=("ant",),
        extractor={"backbone": "x"},
        split="train",
        sampling="random",
        size="all",
        seed=0,
        duplicates="keep",
    ),
}


def made(path: Path, kind: str, rows: str, seed: int) -> Any:
    atoms = np.eye(6, dtype=np.float32)[np.random.default_rng(seed).permutation(6)]
    names = np.array([f"{seed}/{i}" for i in range(6)], dtype=np.dtypes.StringDType())
    store.write(path, INFOS[kind], {rows: atoms, "labels": np.zeros(6, np.int64), "source": names})
    return store.open_store(path, type(INFOS[kind]))


@pytest.fixture
def base(tmp_path: Path) -> Any:
    for name, seed in (("june.zarr", 1), ("july.zarr", 2)):
        made(tmp_path / name, "features", "features", seed)
    return made(tmp_path / "base.zarr", "base", "atoms", 0)


def dictionary(base: Any, listing: Listing) -> Any:
    folder = base.path.parent
    wanted = compose(base, listing, lambda name: store.open_store(folder / name, store.FeaturesInfo))
    return grow(folder / "dictionary.zarr", wanted).dictionary


@pytest.mark.parametrize(
    "listing",
    [Listing(), Listing(["june.zarr"], ["0/3"]), Listing(["july.zarr", "june.zarr"], ["june.zarr:1/2"], True)],
)
def test_what_params_yaml_lists_is_no_difference(base: Any, listing: Listing) -> None:
    found = dictionary(base, listing)
    assert disagreements(found, listing, base) == []
    assert other_dictionary(found, listing, base.path) is None


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (Listing([], ["0/3"]), ["additions does not list june.zarr, which is in it"]),
        (Listing(["june.zarr", "july.zarr"], ["0/3"]), ["additions lists july.zarr, which is not in it"]),
        (Listing(["june.zarr"], []), ["1 image removed from it, removals lists none"]),
        (Listing(["june.zarr"], ["0/3", "0/4"]), ["removals lists 0/4, which is in it"]),
        (Listing(["june.zarr"], ["0/3"], True), ["compact is true, it was made with false"]),
    ],
)
def test_every_difference_is_named(base: Any, listing: Listing, said: list[str]) -> None:
    found = dictionary(base, Listing(["june.zarr"], ["0/3"]))
    assert disagreements(found, listing, base) == said
    assert said[0] in str(other_dictionary(found, listing, base.path))


def test_another_class_of_an_image_is_a_difference(base: Any) -> None:
    right, wrong = (Listing(["june.zarr"], relabels=(Relabel(name, "ant"),)) for name in ("0/3", "june.zarr:1/2"))
    found = dictionary(base, right)
    assert disagreements(found, right, base) == []
    assert disagreements(found, wrong, base) == [
        "relabels has june.zarr:1/2 as ant, it does not",
        "relabels does not list 0/3, which is ant in it",
    ]


def test_another_order_and_another_base_are_differences(base: Any) -> None:
    found = dictionary(base, Listing(["june.zarr", "july.zarr"]))
    other = made(base.path, "base", "atoms", 5)
    assert disagreements(found, Listing(["july.zarr", "june.zarr"]), other) == [
        "additions lists them in another order",
        f"its base is not {base.path} as it is now",
    ]


def test_many_differences_stay_one_printable_line(base: Any) -> None:
    found = dictionary(base, Listing())
    said = str(other_dictionary(found, Listing([f"{i}.zarr" for i in range(50)]), base.path))
    assert f"and {50 - MOST} more" in said
    assert "\n" not in said


def test_a_base_that_cannot_be_read_is_no_matter_of_those_who_use_the_dictionary(base: Any) -> None:
    found = dictionary(base, Listing(["june.zarr"]))
    (base.path / "zarr.json").write_text("{")
    assert other_dictionary(found, Listing(["june.zarr"]), base.path) is None
    assert "additions lists july.zarr" in str(other_dictionary(found, Listing(["june.zarr", "july.zarr"]), base.path))


@pytest.mark.parametrize(
    ("dataset", "backbone", "made", "said"),
    [
        ("digits", "none", "digits", None),
        ("digits", "resnet50@IMAGENET1K_V2", "digits", "extract.backbone is resnet50@IMAGENET1K_V2, not none"),
        ("mnist", "none", "digits", "data.dataset is mnist, not digits"),
        ("mnist", "none", "given", None),
    ],
)
def test_features_of_another_data_set_are_said_to_be(
    tmp_path: Path, dataset: str, backbone: str, made: str, said: str | None
) -> None:
    info = store.FeaturesInfo(split="test", classes=("a",), extractor={"backbone": "none"}, dataset=made)
    rows = {"features": np.ones((1, 2), np.float32), "labels": np.zeros(1, np.int64), "source": np.array(["x"], "T")}
    store.write(tmp_path / "test.zarr", info, rows)
    found = other_features(store.open_store(tmp_path / "test.zarr", store.FeaturesInfo), dataset, backbone)
    assert (found is None) if said is None else (found is not None and said in found)
