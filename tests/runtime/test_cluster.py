"""Blocks done by Dask: the same stores, whoever computes; workers and runs that end lose nothing."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from dseld_cli import store
from dseld_cli.backbones import blocks, extraction
from dseld_cli.dictionary import encoding
from dseld_cli.dictionary.inputs import Input
from dseld_cli.errors import UserError
from dseld_cli.runtime import cluster
from dseld_cli.runtime.cluster import Dask, engine
from dseld_cli.stages import extract
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params

DASK = "--engine dask --scheduler"


@pytest.fixture
def coded(project: Path, run: Run) -> Path:
    """A dictionary of 40 images of two classes, and 16 test images."""
    image_folder(project / "images", {"ant": 20, "bee": 20})
    image_folder(project / "images", {"ant": 8, "bee": 8}, "test", seed=1)
    set_params(data__dataset="folder:images", extract__workers=0, lca__lambda=0.5)
    for command in ("extract", "build-dict"):
        run(command)
    return project


@dataclass(frozen=True)
class Piece:
    number: int
    folder: Path


def square(piece: Piece) -> int:
    return piece.number**2


def square_unless_first(piece: Piece) -> int:
    """End the worker the first time that a piece is tried."""
    tried = piece.folder / str(piece.number)
    if not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return piece.number**2


def never(piece: Piece) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def refused(piece: Piece) -> int:
    raise UserError(f"piece {piece.number} is refused")


def pieces(folder: Path, n: int) -> list[Piece]:
    return [Piece(number, folder) for number in range(n)]


def test_every_block_is_done_once_by_whoever_is_there(scheduler: str, tmp_path: Path) -> None:
    wanted = {number: number**2 for number in range(20)}
    for name in ("threads", "dask"):
        with engine(name, scheduler, 2**30) as does:
            done = [(piece.number, result) for piece, result in does.as_done(square, pieces(tmp_path, 20))]
        assert len(done) == 20 and dict(done) == wanted
        with engine(name, scheduler, 2**30) as does:
            assert list(does.as_done(square, [])) == []


def test_a_block_whose_worker_is_killed_is_done_by_another(scheduler: str, tmp_path: Path) -> None:
    (tmp_path / "1").touch(), (tmp_path / "3").touch()
    with engine("dask", scheduler, 2**30) as does:
        done = [(piece.number, result) for piece, result in does.as_done(square_unless_first, pieces(tmp_path, 4))]
    assert sorted(done) == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_a_block_that_ends_every_worker_is_named(scheduler: str, tmp_path: Path) -> None:
    with engine("dask", scheduler, 2**30) as does, pytest.raises(UserError, match="block 0 ended every worker"):
        list(does.as_done(never, pieces(tmp_path, 1)))


def test_what_a_block_raises_is_raised_here(scheduler: str, tmp_path: Path) -> None:
    with engine("dask", scheduler, 2**30) as does:
        with pytest.raises(UserError, match=r"piece \d is refused"):
            list(does.as_done(refused, pieces(tmp_path, 3)))
        assert len(list(does.as_done(square, pieces(tmp_path, 3)))) == 3, "its workers live on"


def test_a_run_hands_out_no_more_than_workers_can_soon_do(scheduler: str, tmp_path: Path) -> None:
    drawn: list[Piece] = []

    def drawing() -> Iterator[Piece]:
        for piece in pieces(tmp_path, 100):
            drawn.append(piece)
            yield piece

    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2)
        done = Dask(client).as_done(square, drawing())
        next(done)
        assert len(drawn) <= 2 + 1
        done.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["a cluster", "local:2"])
def test_codes_are_the_same_to_the_last_bit(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str, where: str
) -> None:
    monkeypatch.setattr(encoding, "BATCH", 4)
    splits = ("test", "train") if where == "local:2" else ("test",)
    for split in splits:
        run(f"encode --split {split}")
        alone = store.open_store(paths.codes(split), store.CodesInfo).fingerprint
        shutil.rmtree(paths.codes(split))
        run(f"encode --split {split} {DASK} {scheduler if where == 'a cluster' else where}")
        assert store.open_store(paths.codes(split), store.CodesInfo).fingerprint == alone


def adopted_of(patch: pytest.MonkeyPatch, at_most: int = 99) -> list[int]:
    """Numbers of the blocks that drafts take over from now on; one beyond so many interrupts the run."""
    adopt, adopted = store.Draft.adopt, list[int]()

    def taking(draft: store.Draft[store.CodesInfo], number: int, part: store.Aside) -> None:
        if len(adopted) == at_most:
            raise KeyboardInterrupt
        adopted.append(number)
        adopt(draft, number, part)

    patch.setattr(store.Draft, "adopt", taking)
    return adopted


def halves(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    scheduler: str,
    line: str,
    made: Path,
    taken: Callable[..., list[int]],
    n: int,
) -> Iterator[None]:
    """Interrupt a command after two of n blocks, and let the other engine go on; each engine once in each place."""
    for first, second in ((f"{DASK} {scheduler}", ""), ("", f"{DASK} {scheduler}")):
        shutil.rmtree(made)
        with monkeypatch.context() as patch:
            done = taken(patch, at_most=2)
            with pytest.raises(AssertionError):
                run(f"{line} {first}")
        with monkeypatch.context() as patch:
            rest = taken(patch)
            run(f"{line} {second}")
        assert len(done) == 2 and sorted(done + rest) == list(range(n)), "no block twice, none left out"
        yield


def test_an_interrupted_run_goes_on_by_the_other_engine(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setattr(encoding, "BATCH", 2)
    run("encode")
    whole = store.open_store(paths.codes("test"), store.CodesInfo).fingerprint
    for _ in halves(run, monkeypatch, scheduler, "encode", paths.codes("test"), adopted_of, 8):
        assert store.open_store(paths.codes("test"), store.CodesInfo).fingerprint == whole


def test_a_recurrence_that_diverges_on_a_worker_is_one_line(coded: Path, run: Run, scheduler: str) -> None:
    here, there = (
        run(f"encode --tau 1 --lambda 0.01 {where}", ok=False).stderr for where in ("", f"{DASK} {scheduler}")
    )
    assert "diverges" in here and there == here
    assert not paths.codes("test").with_name("test.zarr.partial").exists()


def test_a_store_that_changes_meanwhile_is_noticed_by_a_worker(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    there = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    meant = Input(there.path, "0" * 64)
    with pytest.raises(UserError, match="is not what it was when the run began"):
        meant.opened(store.DictionaryInfo)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
        ("nobody.json", "nobody.json is no file, and neither tcp://HOST:PORT nor local:N"),
        ("local:0", "local:0 is no file"),
        ("ftp://x", "no Dask scheduler answers at ftp://x"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    assert said in run(f"encode {DASK} {where}", ok=False).stderr


def test_workers_with_too_little_memory_are_refused_before_work_is_handed_out(coded: Path, run: Run) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=2, memory_limit="3GiB", dashboard_address="127.0.0.1:0") as there:
        set_params(run__memory="2GiB")
        said = run(f"encode {DASK} {there.scheduler_address}", ok=False).stderr
    assert "may use 3.0 GiB, and does 2 blocks of run.memory (2.0 GiB) at once" in said


def test_without_dask_it_says_what_to_install(coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'dseld[dask]'" in run(f"encode {DASK} local:1", ok=False).stderr


def features(split: str) -> str:
    return store.open_store(paths.features(split), store.FeaturesInfo).fingerprint


@pytest.mark.parametrize("broken", [False, True])
def test_features_are_the_same_to_the_last_bit_and_broken_images_are_left_out_alike(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str, broken: bool
) -> None:
    monkeypatch.setattr(extraction, "BLOCK", 6)
    monkeypatch.setattr(blocks, "BLOCK", 6)
    if broken:
        for name in ("ant/3", "ant/4", "bee/19"):
            Path(f"images/train/{name}.png").write_bytes(b"no image")
        set_params(extract__broken="skip")
    set_params(extract__backbone="resnet18", extract__weights="random", extract__image_size=32)
    run("extract")
    alone = features("train"), features("test")
    shutil.rmtree("data/features")
    said = run(f"extract {DASK} {scheduler}")
    assert (features("train"), features("test")) == alone
    assert ("ant/3.png is not a readable image" in said.stderr) == broken


def test_a_folder_that_is_added_is_extracted_by_the_engine_too(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 6)
    image_folder(coded / "more", {"ant": 5, "wasp": 9}, seed=2)
    dictionaries, handed_out, read = [], list[slice](), blocks._read

    def reading(aside: store.Here, part: slice) -> extraction.Batch:
        handed_out.append(part)
        return read(aside, part)

    monkeypatch.setattr(blocks, "_read", reading)
    for where in ("", f"{DASK} {scheduler}"):
        run(f"add-exemplars folder:more {where}")
        dictionaries.append(store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint)
        run("remove-exemplars folder:more")
        shutil.rmtree(paths.ADDED)
    assert dictionaries[0] == dictionaries[1]
    assert len(handed_out) == 3, "14 images in blocks of 6, all by the workers"


def blocks_noted(patch: pytest.MonkeyPatch, at_most: int = 99) -> list[int]:
    """Numbers of the blocks that an extraction notes from now on; one beyond so many interrupts it."""
    note, noted = store.Draft.note, list[int]()

    def noting(draft: store.Draft[store.FeaturesInfo], value: list[int]) -> None:
        if len(noted) == at_most:
            raise KeyboardInterrupt
        noted.append(value[0])
        note(draft, value)

    patch.setattr(store.Draft, "note", noting)
    return noted


def test_an_interrupted_extraction_goes_on_by_the_other_engine(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setattr(extraction, "BLOCK", 4)
    monkeypatch.setattr(blocks, "BLOCK", 4)
    whole = features("train")
    for first, second in ((f"{DASK} {scheduler}", ""), ("", f"{DASK} {scheduler}")):
        shutil.rmtree(paths.features("train"))
        with monkeypatch.context() as patch:
            blocks_noted(patch, at_most=2)
            with pytest.raises(AssertionError):
                run(f"extract --split train {first}")
        with monkeypatch.context() as patch:
            again = blocks_noted(patch)
            run(f"extract --split train {second}")
        assert again == list(range(3, 11)), "two blocks of ten were done before"
        assert features("train") == whole


def test_an_image_that_breaks_on_a_worker_is_named_as_here(coded: Path, run: Run, scheduler: str) -> None:
    def looked(*_: object) -> None:
        """As if it broke after all were looked at."""

    Path("images/train/ant/3.png").write_bytes(Path("images/train/ant/4.png").read_bytes()[:60])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "require_whole", looked)
        here, there = (run(f"extract --split train {where}", ok=False).stderr for where in ("", f"{DASK} {scheduler}"))
    assert "ant/3.png is not a readable image" in here and there.endswith(here.removeprefix("error: "))


def scores(decoder: str) -> str:
    return store.open_store(paths.predictions(decoder, "test"), store.PredictionsInfo).fingerprint


@pytest.mark.parametrize("where", ["a cluster", "local:1"])
def test_scores_are_the_same_to_the_last_bit(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str, where: str
) -> None:
    monkeypatch.setattr(store.spec, "ROWS", 6)
    for command in ("encode", "encode --split train", "train-decoder --decoder ridge"):
        run(command)
    decoders = ("class-sum", "minimum-residual", "ridge")
    chosen = " ".join(f"--decoder {name}" for name in decoders)
    run(f"decode {chosen}")
    alone = [scores(name) for name in decoders]
    shutil.rmtree("data/predictions")
    run(f"decode {chosen} {DASK} {scheduler if where == 'a cluster' else where}")
    assert [scores(name) for name in decoders] == alone


def test_an_interrupted_decoder_goes_on_by_the_other_engine(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setattr(store.spec, "ROWS", 4)
    run("encode")
    run("decode --decoder class-sum")
    whole = scores("class-sum")
    made = Path("data/predictions")
    for _ in halves(run, monkeypatch, scheduler, "decode --decoder class-sum", made, blocks_noted, 4):
        assert scores("class-sum") == whole


def test_codes_that_are_not_of_these_features_are_refused_by_a_worker_as_here(
    coded: Path, run: Run, scheduler: str
) -> None:
    run("encode")
    set_params(extract__limit_per_class=5)
    run("extract --split test")
    here, there = (
        run(f"decode --decoder minimum-residual {where}", ok=False).stderr for where in ("", f"{DASK} {scheduler}")
    )
    assert "data/codes/test.zarr was not made from" in here and "was not made from" in there


def test_workers_without_a_common_folder_make_the_same_stores(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setenv("DSELD_CACHE", str(coded / "cache"))
    lines = ("extract --split test", "build-dict", "gramian", "encode", "decode")
    kinds = (paths.features("test"), paths.DICTIONARY, paths.GRAMIAN, paths.codes("test"))
    kinds += (paths.predictions("minimum-residual", "test"),)
    found = []
    for place, does in (("local", ""), (f"file://{coded}/objects", f"{DASK} {scheduler}")):
        set_params(data__store=place)
        for path in kinds:
            shutil.rmtree(path, ignore_errors=True)
        for line in lines:
            run(line if line == "build-dict" else f"{line} {does}")
        marks = [json.loads((path / "zarr.json").read_bytes())["attributes"]["dseld"] for path in kinds]
        found.append([mark["fingerprint"] for mark in marks])
    assert found[0] == found[1]
    assert not list((coded / "data").rglob("*.aside"))
    assert not [path for path in (coded / "objects").rglob("*.aside") if path.is_file()]
