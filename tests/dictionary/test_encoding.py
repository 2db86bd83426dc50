"""Where inner products come from, if that is left to us: the rule, case by case."""

from pathlib import Path

import pytest

from dseld_cli import store
from dseld_cli.dictionary import encoding
from dseld_cli.dictionary.encoding import Means, encoder_over, stored_gramian
from dseld_cli.errors import StoreMissing
from dseld_cli.lca.encoder import BATCH
from dseld_cli.lca.recurrence import LCAParams

GIB = 2**30
FITTING = {"is_small": lambda *_: False, "free_memory": lambda: GIB}


def chosen(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch, n_images: int = 1000, inhibition: str = "auto", **facts: object
) -> store.Gramian | None:
    for name, fact in (FITTING | facts).items():
        monkeypatch.setattr(encoding, name, fact)
    dictionary = store.open_store(quickstart / "data/dictionary.zarr", store.DictionaryInfo)
    means = Means(4 * GIB, inhibition=inhibition)  # type: ignore[arg-type]
    return stored_gramian(dictionary, quickstart / "data/gramian.zarr", LCAParams(1.0), means, n_images)


def test_the_store_is_used_where_it_pays(quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(quickstart, monkeypatch) is not None


@pytest.mark.parametrize(
    "facts",
    [
        {"n_images": 10},
        {"inhibition": "atoms"},
        {"is_small": lambda *_: True},
        {"free_memory": lambda: 2**20},
    ],
)
def test_else_the_atoms_are_multiplied(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, object]
) -> None:
    assert chosen(quickstart, monkeypatch, **facts) is None  # type: ignore[arg-type]


def test_who_asks_for_the_store_gets_it_or_is_told(quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(quickstart, monkeypatch, inhibition="gramian", is_small=lambda *_: True) is not None
    dictionary = store.open_store(quickstart / "data/dictionary.zarr", store.DictionaryInfo)
    with pytest.raises(StoreMissing):
        stored_gramian(dictionary, quickstart / "none.zarr", LCAParams(1.0), Means(GIB, inhibition="gramian"), 9)


def test_any_number_of_images_is_coded_within_the_budget(quickstart: Path) -> None:
    """Features are read and codes are written batch by batch: 1.28 million images take their names and little else."""
    dictionary = store.open_store(quickstart / "data/dictionary.zarr", store.DictionaryInfo)
    encoder = encoder_over(dictionary, LCAParams(1.0), Means(4 * GIB), 1_281_167)
    assert encoder.batch == BATCH
