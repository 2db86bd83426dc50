"""Where inner products come from, if that is left to us: the rule, case by case."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.dictionary import encoding
from dseld_cli.dictionary.encoding import Means, encoder_over, fixed_batch, stored_gramian
from dseld_cli.errors import StoreMissing, UserError
from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.encoder import BATCH
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.store import project as paths
from tests.conftest import Run

GIB = 2**30
FITTING = {
    "is_small": lambda *_: False,
    "machine_memory": lambda: GIB,
    "multiplied_later": lambda _: True,
}


def chosen(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch, n_images: int = 10_000, inhibition: str = "auto", **facts: object
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
        {"n_images": 1000},
        {"inhibition": "atoms"},
        {"is_small": lambda *_: True},
        {"machine_memory": lambda: 2**20},
        {"multiplied_later": lambda _: False, "n_images": 50_000},
    ],
)
def test_else_the_atoms_are_multiplied(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, object]
) -> None:
    assert chosen(quickstart, monkeypatch, **facts) is None  # type: ignore[arg-type]


def test_atoms_of_few_features_are_multiplied_sooner_than_looked_up() -> None:
    assert encoding.multiplied_later(2048)
    assert not encoding.multiplied_later(784)


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


def test_a_batch_is_as_large_as_the_dictionary_lets_it_be_whatever_the_budget(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary = store.open_store(quickstart / "data/dictionary.zarr", store.DictionaryInfo)
    for m, n, images in ((1_437, 64, BATCH), (50_000, 2_048, 520), (1_281_167, 2_048, 159)):
        monkeypatch.setattr(store.Store, "shape", lambda self, name, shape=(m, n): shape)
        assert fixed_batch(dictionary, 100) == images
        if m == 50_000:
            assert encoder_size(dictionary, monkeypatch, 4 * GIB, 520) == 520, "params.yaml's budget"


def encoder_size(dictionary: store.Dictionary, patch: pytest.MonkeyPatch, memory: int, batch: int) -> int:
    """Batch of an encoder of 10,000 images whose atoms nobody reads."""
    patch.setattr(encoding, "atoms_of", lambda dictionary, memory: quick_atoms())
    return encoder_over(dictionary, LCAParams(1.0), Means(memory), 10_000, batch=batch).batch


def quick_atoms() -> Atoms:
    return Atoms.of(np.eye(2, dtype=np.float32))


def test_a_budget_that_does_not_hold_the_batch_has_smaller_ones(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary = store.open_store(quickstart / "data/dictionary.zarr", store.DictionaryInfo)
    monkeypatch.setattr(encoding, "is_small", lambda *_: False)
    assert encoder_over(dictionary, LCAParams(1.0), Means(3 * GIB), 1000, batch=BATCH).batch == BATCH
    assert 100 < encoder_over(dictionary, LCAParams(1.0), Means(2 * GIB), 1000, batch=BATCH).batch < BATCH
    with pytest.raises(UserError, match=r"does not hold .* the network of an image; at least 1\.3GiB is needed"):
        encoder_over(dictionary, LCAParams(1.0), Means(GIB), 1000, batch=BATCH)


def test_codes_are_the_same_on_a_machine_of_any_size(
    quickstart: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(quickstart, tmp_path / "digits")
    monkeypatch.chdir(tmp_path / "digits")
    monkeypatch.setattr(encoding, "BATCH", 100)
    found = set()
    for memory in ("1.5GiB", "2GiB", "8GiB"):
        run(f"encode --memory {memory}")
        found.add(store.open_store(paths.codes("test"), store.CodesInfo).fingerprint)
        shutil.rmtree(paths.codes("test"))
    assert len(found) == 1
    monkeypatch.setattr(encoding, "is_small", lambda *_: False)
    monkeypatch.setattr(encoding, "BATCH", 300)
    warned = run("encode --memory 1.5GiB").stderr
    assert re.search(r"warning: run.memory: 1.5GiB holds \d+ images at a time, not 300: codes are the same", warned)
    few = store.open_store(paths.codes("test"), store.CodesInfo)
    run("encode --memory 8GiB")
    many = store.open_store(paths.codes("test"), store.CodesInfo)
    assert few.info.batch < many.info.batch == 300
    np.testing.assert_array_equal(few.read("values"), many.read("values"))
