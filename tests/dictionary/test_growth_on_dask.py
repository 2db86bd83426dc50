"""Dictionary and Gramian by the workers of a cluster: as by threads, whoever ends in between."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from dseld_cli import store
from dseld_cli.dictionary import atom_blocks, tiles
from dseld_cli.errors import UserError
from dseld_cli.runtime import cluster
from dseld_cli.runtime.cluster import HERE, engine
from dseld_cli.store import project as paths
from tests.conftest import Run, set_params

DASK = "--engine dask --scheduler"
SIDE = 16
FEATURES = 12


def features(path: Path, n: int, seed: int) -> None:
    """Commit n positive random features."""
    identity = {"backbone": "none", "weights": "none", "transform": "pixels / 255"}
    store.write(
        path,
        store.FeaturesInfo(split="train", classes=("ant", "bee"), extractor=identity, seed=seed),
        {
            "features": np.random.default_rng(seed).random((n, FEATURES), np.float32),
            "labels": np.arange(n) % 2,
            "source": np.array([f"train/{seed}-{i}.png" for i in range(n)], dtype=np.dtypes.StringDType()),
        },
    )


@pytest.fixture
def base(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base of 75 atoms in blocks of 16, and forty features to add."""
    monkeypatch.setattr(store.spec, "ROWS", SIDE)
    set_params(build_dict__transform="centre")
    features(paths.features("train"), 75, 0)
    features(Path("data/additions/forty.zarr"), 40, 1)
    run("build-dict")
    return project


def fingerprints() -> tuple[str, str]:
    """Of the current dictionary and its Gramian."""
    return (
        store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint,
        store.open_store(paths.GRAMIAN, store.GramianInfo).fingerprint,
    )


def test_dictionary_and_gramian_are_the_same_to_the_last_bit(base: Path, run: Run, scheduler: str) -> None:
    shutil.copytree("data", "begin")
    found = []
    for does in ("", f"{DASK} {scheduler}"):
        shutil.rmtree("data")
        shutil.copytree("begin", "data")
        set_params(additions=[], removals=[])
        run(f"gramian {does}")
        run(f"add-exemplars data/additions/forty.zarr {does}")
        run(f"remove-exemplars train/0-7.png data/additions/forty.zarr:train/1-3.png {does}")
        found.append(fingerprints())
    assert found[0] == found[1]


def test_processes_of_this_machine_make_the_same_gramian(base: Path, run: Run) -> None:
    run("gramian")
    alone = fingerprints()
    shutil.rmtree(paths.GRAMIAN)
    run(f"gramian {DASK} local:1")
    assert fingerprints() == alone


@pytest.mark.parametrize("compact", [False, True])
def test_a_dictionary_that_is_made_at_once_is_the_same(base: Path, run: Run, scheduler: str, compact: bool) -> None:
    set_params(additions=["data/additions/forty.zarr"], removals=["train/0-7.png"], compact=compact)
    run("add-exemplars")
    alone = store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint
    shutil.rmtree(paths.DICTIONARY)
    run(f"add-exemplars {DASK} {scheduler}")
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint == alone


def adopted(patch: pytest.MonkeyPatch, then: Callable[[int], None] = lambda n: None) -> list[store.Key]:
    """Tiles that drafts take over from now on; `then` is told how many there were before each."""
    adopt, keys = store.Draft.adopt_chunk, list[store.Key]()

    def taking(draft: store.Draft[store.GramianInfo], name: str, key: store.Key, chunk: store.Aside) -> None:
        then(len(keys))
        keys.append(key)
        adopt(draft, name, key, chunk)

    patch.setattr(store.Draft, "adopt_chunk", taking)
    return keys


def test_a_worker_that_is_killed_during_a_gramian_costs_nothing_that_was_done(
    base: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    run("gramian")
    alone = fingerprints()
    shutil.rmtree(paths.GRAMIAN)
    monkeypatch.setattr(cluster, "BUNDLE", 1)
    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2)
        one = next(iter(client.run(os.getpid).values()))

        def kill(n: int) -> None:
            if n == 2:
                os.kill(one, signal.SIGKILL)

        done = adopted(monkeypatch, kill)
        run(f"gramian {DASK} {scheduler}")
    assert len(done) == len(set(done)) == 15, "each tile once"
    assert fingerprints() == alone


def test_an_interrupted_gramian_goes_on_by_the_other_engine(
    base: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setattr(cluster, "BUNDLE", 2)
    run("gramian")
    alone = fingerprints()

    def interrupt(n: int) -> None:
        if n == 4:
            raise KeyboardInterrupt

    for first, second in ((f"{DASK} {scheduler}", ""), ("", f"{DASK} {scheduler}")):
        shutil.rmtree(paths.GRAMIAN)
        with monkeypatch.context() as patch:
            done = adopted(patch, interrupt)
            with pytest.raises(AssertionError):
                run(f"gramian {first}")
        with monkeypatch.context() as patch:
            rest = adopted(patch)
            run(f"gramian {second}")
        assert len(done) == 4 and len(set(done + rest)) == len(done + rest) == 15
        assert fingerprints() == alone


def test_atoms_that_are_damaged_are_named_by_a_worker_as_here(base: Path, run: Run, scheduler: str) -> None:
    (paths.DICTIONARY / "atoms/c/2/0").write_bytes(b"")
    here, there = (run(f"gramian {where}", ok=False).stderr for where in ("", f"{DASK} {scheduler}"))
    assert "data/dictionary.zarr is damaged: array atoms, chunk 2/0" in here
    assert "data/dictionary.zarr is damaged: array atoms, chunk 2/0" in there


def test_workers_of_another_version_are_refused(base: Path) -> None:
    opened = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    its = tiles.Input.of(opened, HERE)
    for prepared in (
        lambda: tiles.prepared(tiles.Tiling(its, None, SIDE, "float32", "0.0")),
        lambda: atom_blocks.prepared(atom_blocks.Origins(its, (), "0.0")),
    ):
        with pytest.raises(UserError, match=r"this is 0\.0: install the same on both"):
            prepared()


def test_small_blocks_are_each_done_once_by_whoever_is_there(scheduler: str) -> None:
    keys = [tiles.Tile(None, number, (number, 0), False, Path()) for number in range(70)]  # type: ignore[arg-type]
    for name in ("threads", "dask"):
        with engine(name, scheduler, 2**30) as does:
            done = [(tile.number, doubled) for tile, doubled in does.one_core_each(twice, keys, 3)]
            assert sorted(done) == [(n, 2 * n) for n in range(70)]
            assert list(does.one_core_each(twice, [], 3)) == []


def twice(tile: tiles.Tile) -> int:
    return 2 * tile.number
