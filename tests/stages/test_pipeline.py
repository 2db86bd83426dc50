"""Every command through the command line, on the digits and on small folders of images, with good and bad input."""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from dseld_cli import store
from dseld_cli.dictionary import encoding
from dseld_cli.store import aside
from dseld_cli.store import project as paths
from dseld_cli.store.provenance import INFOS
from tests.conftest import Run, image_folder, set_params
from tests.reference import lca_float64

CLASSES = {"ant": 30, "bee": 25, "cat": 20}


@pytest.fixture
def folder(project: Path) -> Path:
    """A project on an image folder of three classes, 75 training and 15 test images of 6 x 6 x 3 pixels."""
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 5), "test", seed=1)
    set_params(data__dataset="folder:images", lca__lambda=0.5)
    return project


@pytest.fixture
def coded(folder: Path, run: Run) -> Path:
    """The same, coded."""
    for command in ("extract", "build-dict", "encode"):
        run(command)
    return folder


def opened(path: Path, kind: str) -> store.Store[Any]:
    return store.open_store(path, next(info for info in INFOS if info.kind == kind))


def test_digits_reach_the_accuracy_of_the_method(project: Path, run: Run) -> None:
    for command in ("extract", "build-dict", "gramian", "encode", "decode"):
        run(command)
    said = run("evaluate").stdout
    metrics = json.loads(Path("metrics.json").read_text())
    assert (metrics["images"], metrics["exemplars"], metrics["features"], metrics["classes"]) == (360, 1437, 64, 10)
    assert metrics["decoders"]["class-sum"]["top1"] >= 97
    assert metrics["decoders"]["max-activation"]["top1"] >= 97
    assert f"{metrics['decoders']['class-sum']['top1']:.2f} %" in said
    assert "\x1b" not in said, "no colours when piped"
    assert Path("data/evaluation/test/accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert Path("data/evaluation/test/firing.png").read_bytes().startswith(b"\x89PNG")
    assert len(Path("data/evaluation/test/per_class.csv").read_text().splitlines()) == 11


def test_stores_hold_what_the_data_model_says(coded: Path, run: Run) -> None:
    run("gramian")
    run("decode")
    features, base = opened(paths.features("train"), "features"), opened(paths.BASE, "base")
    dictionary, gramian = opened(paths.DICTIONARY, "dictionary"), opened(paths.GRAMIAN, "gramian")
    codes = opened(paths.codes("test"), "codes")
    predictions = opened(paths.predictions("class-sum", "test"), "predictions")
    assert features.shape("features") == (75, 108)
    assert features.info.classes == tuple(CLASSES)
    atoms = dictionary.read("atoms")
    assert atoms.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(atoms, base.read("atoms"))
    np.testing.assert_allclose(gramian.rows("gramian"), atoms @ atoms.T, atol=1e-6)
    assert codes.read("firing").shape == (15, 100)
    assert codes.info.inputs == {
        "features": opened(paths.features("test"), "features").fingerprint,
        "dictionary": dictionary.fingerprint,
    }
    assert predictions.read("scores").shape == (15, 3)
    assert base.info.inputs == {"features": features.fingerprint}
    for image, label in zip(dictionary.read("source"), dictionary.read("labels"), strict=True):
        assert image.split("/")[:2] == ["train", list(CLASSES)[label]]


def test_codes_are_those_of_the_float64_recurrence(coded: Path) -> None:
    codes = opened(paths.codes("test"), "codes")
    features = opened(paths.features("test"), "features").read("features")
    atoms = opened(paths.DICTIONARY, "dictionary").read("atoms")
    true = lca_float64(features, atoms, 0.5, 100, 100).code
    dense = np.zeros_like(true)
    image = np.repeat(np.arange(15), np.diff(codes.read("indptr")))
    dense[image, codes.read("indices")] = codes.read("values")
    np.testing.assert_allclose(dense, true, atol=1e-4)
    assert (dense != 0).any()


@pytest.mark.parametrize("method", ["working-set", "direct"])
@pytest.mark.parametrize("inhibition", ["atoms", "gramian"])
def test_all_ways_to_encode_give_the_same_codes(coded: Path, run: Run, method: str, inhibition: str) -> None:
    names = ("indptr", "indices", "values")
    default = {name: opened(paths.codes("test"), "codes").read(name) for name in names}
    run("gramian")
    said = run(f"encode --method {method} --inhibition {inhibition} --energy").stdout
    codes = opened(paths.codes("test"), "codes")
    assert (codes.info.method, codes.info.inhibition) == (method, inhibition)
    np.testing.assert_array_equal(codes.read("indices"), default["indices"])
    np.testing.assert_allclose(codes.read("values"), default["values"], atol=1e-4)
    assert (np.diff(codes.read("energy"), axis=1) < 1e-3).all(), "a stable recurrence never raises the energy"
    assert codes.read("energy").shape == (15, 101)
    proved = codes.read("proved").sum()
    assert f"{proved} images by working sets, {15 - proved} by all neurons" in said
    assert method == "working-set" or proved == 0


def test_runs_repeat_bit_for_bit(coded: Path, run: Run) -> None:
    first = opened(paths.codes("test"), "codes").fingerprint
    for command in ("extract", "build-dict", "encode"):
        run(command)
    assert opened(paths.codes("test"), "codes").fingerprint == first
    run("build-dict --seed 1")
    run("encode")
    assert opened(paths.codes("test"), "codes").fingerprint != first


def test_a_smaller_dictionary_is_a_prefix_of_a_larger_one(coded: Path, run: Run) -> None:
    whole = opened(paths.BASE, "base").read("atoms")
    run("build-dict --size 20")
    np.testing.assert_array_equal(opened(paths.BASE, "base").read("atoms"), whole[:20])


def test_a_sample_of_images_is_coded_and_evaluated(coded: Path, run: Run) -> None:
    for command in ("encode --images 6 --seed 3", "decode", "evaluate"):
        run(command)
    assert json.loads(Path("metrics.json").read_text())["images"] == 6


def test_one_decoder_may_be_chosen(coded: Path, run: Run) -> None:
    run("decode --decoder class-sum")
    assert "max-activation" not in run("evaluate --decoder class-sum").stdout
    assert not paths.predictions("max-activation", "test").exists()


def test_exemplars_join_with_new_classes_and_are_listed(coded: Path, run: Run) -> None:
    image_folder(Path("more"), {"bee": 4, "dog": 3}, seed=5)
    run("extract --dataset folder:more --split train --output data/additions/more.zarr")
    comments = Path("params.yaml").read_text()
    run("add-exemplars data/additions/more.zarr")
    dictionary = opened(paths.DICTIONARY, "dictionary")
    assert dictionary.shape("atoms") == (82, 108)
    assert dictionary.info.classes == ("ant", "bee", "cat", "dog")
    assert dictionary.read("labels")[75:].tolist() == [1] * 4 + [3] * 3
    assert dictionary.read("source")[75] == "data/additions/more.zarr:train/bee/0.png"
    base = opened(paths.BASE, "base")
    np.testing.assert_array_equal(dictionary.read("atoms")[:75], base.read("atoms"))
    assert "data/additions/more.zarr" in Path("params.yaml").read_text()
    assert "data/additions/more.zarr" not in comments
    grown = dictionary.fingerprint
    run("add-exemplars")
    assert opened(paths.DICTIONARY, "dictionary").fingerprint == grown
    assert "among the additions already" in run("add-exemplars ./data/additions/more.zarr/").stdout
    shutil.copytree("data/additions/more.zarr", "data/additions/copy.zarr")
    assert "was added already" in run("add-exemplars data/additions/copy.zarr", ok=False).stderr
    for command in ("encode", "decode", "evaluate"):
        run(command)


def test_params_yaml_keeps_its_comments_when_a_source_is_listed(project: Path, run: Run) -> None:
    run("extract")
    run("build-dict --size 100")
    image_folder(Path("more"), {"3": 2}, size=8)
    shipped = Path("params.yaml").read_text()
    shutil.copytree(paths.features("test"), "data/additions/extra.zarr")
    run("add-exemplars data/additions/extra.zarr")
    assert Path("params.yaml").read_text() == shipped.replace(
        "additions: []", "additions:\n  - data/additions/extra.zarr"
    )


# What the user can mend is one line and exit code 2 (asserted by `run(..., ok=False)`), and leaves no store behind.


def test_the_first_missing_stage_is_named(coded: Path, run: Run) -> None:
    said = []
    for path in (paths.codes("test"), paths.DICTIONARY, paths.BASE, paths.features("train")):
        shutil.rmtree(path)
        said.append(run("decode", ok=False).stderr.rpartition(": ")[2].strip())
    shutil.rmtree(paths.features("test"))
    said.append(run("decode", ok=False).stderr.rpartition(": ")[2].strip())
    made_by = ["encode", "add-exemplars", "build-dict", "build-dict", "extract"]
    assert said == [f"run `dseld {command}` first" for command in made_by]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("build-dict", "data/features/train.zarr"),
        ("add-exemplars", "data/base.zarr"),
        ("gramian", "no dictionary store at data/dictionary.zarr: run `dseld extract` first"),
        ("encode", "data/dictionary.zarr"),
        ("decode", "data/dictionary.zarr"),
        ("evaluate", "data/dictionary.zarr"),
        ("train-decoder", "run `dseld encode --split train` first"),
        ("baselines", "data/dictionary.zarr"),
    ],
)
def test_a_missing_input_names_the_command_that_makes_it(project: Path, run: Run, command: str, said: str) -> None:
    assert said in run(command, ok=False).stderr
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("extract --dataset folder:nowhere", "no folder nowhere: give one that has images"),
        ("extract --dataset imagenet22k", "unknown data set 'imagenet22k'"),
        ("extract --backbone resnet9000", "no backbone 'resnet9000'"),
        ("extract --backbone resnet18 --weights nowhere.pth", "no file nowhere.pth"),
        ("extract --backbone squeezenet1_0 --weights random", "does not end in a linear layer"),
        ("extract --split all", "'all' is not one of 'train', 'val', 'test'"),
        ("extract --output x.zarr", "--output takes one split"),
        ("build-dict --size 0", "build_dict.size should be"),
        ("build-dict --size 76", "76 atoms asked for, but there are 75"),
        ("build-dict --size 2", "2 atoms cannot cover 3 classes"),
        ("encode --lambda 0", "lca.lambda should be greater than 0"),
        ("encode --lambda -1", "lca.lambda should be greater than 0"),
        ("encode --steps 0", "lca.steps should be greater than or equal to 1"),
        ("encode --images 16", "the split has 15 to code"),
        ("encode --inhibition both", "encode.inhibition should be"),
        ("encode --inhibition gramian", "no gramian store"),
        ("encode --memory 1MiB", "run.memory should be"),
        ("decode --decoder shallow-nn", "no network store at data/decoders/shallow-nn.zarr: run `dseld train-decoder`"),
        ("encode --split train --images 76", "the split has 75 to code"),
        ("baselines --baseline oracle", "baselines.names.0 should be"),
        ("baselines --neighbours 0", "baselines.neighbours should be"),
        ("decode --decoder vote", "there is no decoder 'vote': there are max-activation"),
        ("add-exemplars data/nothing.zarr", "no features store at data/nothing.zarr"),
        ("add-exemplars data/base.zarr", "holds base, but features is needed"),
    ],
)
def test_a_bad_option_is_one_line(coded: Path, run: Run, command: str, said: str) -> None:
    before = {path for path in Path("data").rglob("zarr.json") if ".partial" not in str(path)}
    params = Path("params.yaml").read_text()
    result = run(command, ok=False)
    assert said in result.stderr
    assert {path for path in Path("data").rglob("zarr.json") if ".partial" not in str(path)} == before
    assert Path("params.yaml").read_text() == params


def test_a_broken_image_is_named(folder: Path, run: Run) -> None:
    (folder / "images/train/bee/3.png").write_bytes(b"no image")
    assert "images/train/bee/3.png is not a readable image" in run("extract", ok=False).stderr
    assert not paths.features("train").exists()


def test_images_of_different_sizes_need_a_backbone(folder: Path, run: Run) -> None:
    image_folder(folder / "images", {"cow": 1}, size=7)
    assert "images differ in size (6 x 6 RGB, 7 x 7 RGB)" in run("extract", ok=False).stderr


def test_a_test_class_that_train_lacks_is_named(folder: Path, run: Run) -> None:
    image_folder(folder / "images", {"cow": 1}, "test")
    assert "class cow has no folder in images/train" in run("extract", ok=False).stderr


def test_an_empty_class_is_named(folder: Path, run: Run) -> None:
    (folder / "images/train/empty").mkdir()
    assert "images/train/empty holds no image" in run("extract", ok=False).stderr


def test_a_blank_image_cannot_be_an_atom(folder: Path, run: Run) -> None:
    from PIL import Image

    Image.new("RGB", (6, 6)).save(folder / "images/train/ant/blank.png")
    run("extract")
    assert "train/ant/blank.png has features that are all zero" in run("build-dict", ok=False).stderr


def test_an_all_black_test_image_is_coded_as_silence_and_counted(folder: Path, run: Run) -> None:
    from PIL import Image

    Image.new("RGB", (6, 6)).save(folder / "images/test/ant/blank.png")
    for command in ("extract", "build-dict", "encode", "decode", "evaluate"):
        run(command)
    assert json.loads(Path("metrics.json").read_text())["decoders"]["class-sum"]["undecided"] == 1


@pytest.mark.parametrize("inhibition", ["atoms", "gramian"])
def test_a_diverging_recurrence_is_reported_with_a_remedy_that_holds(folder: Path, run: Run, inhibition: str) -> None:
    """Pixels of one pattern: 200 atoms of cosine 0.99 make the Euler step unstable at tau 20."""
    image_folder(folder / "images", {"ant": 200})
    run("extract")
    run("build-dict")
    run("gramian")
    said = run(f"encode --tau 20 --inhibition {inhibition}", ok=False).stderr
    assert "the recurrence diverges for" in said
    assert "test/ant/0.png" in said
    assert [file.name for file in Path("data/codes").iterdir()] == ["test.zarr.lock"]
    remedy = said.split("raise tau (")[1].split(" ")[0]
    run(f"encode --tau {remedy} --inhibition {inhibition}")


def test_stores_of_different_dictionaries_do_not_mix(coded: Path, run: Run) -> None:
    run("gramian")
    run("decode")
    run("build-dict --size 50")
    assert "data/gramian.zarr was not made from" in run("encode --inhibition gramian", ok=False).stderr
    assert "data/codes/test.zarr was not made from" in run("decode", ok=False).stderr
    assert "data/codes/test.zarr was not made from" in run("evaluate", ok=False).stderr
    run("encode")
    assert "data/predictions/test/max-activation.zarr was not made from" in run("evaluate", ok=False).stderr


def test_features_of_another_extractor_are_refused(coded: Path, run: Run) -> None:
    run("extract --backbone resnet18 --weights random --split test")
    said = run("encode", ok=False).stderr
    assert (
        "data/features/test.zarr was extracted with backbone resnet18@IMAGENET1K_V1, data/dictionary.zarr with none"
        in said
    )


def test_features_of_another_size_are_refused(coded: Path, run: Run) -> None:
    image_folder(Path("larger"), CLASSES, size=7)
    image_folder(Path("larger"), CLASSES, "test", size=7)
    run("extract --dataset folder:larger --split test")
    assert "147 features per image" in run("encode", ok=False).stderr


def test_atoms_that_are_not_unit_norm_are_refused(coded: Path, run: Run) -> None:
    dictionary = opened(paths.DICTIONARY, "dictionary")
    arrays = {name: dictionary.read(name) for name in dictionary.arrays}
    store.write(paths.DICTIONARY, dictionary.info, {**arrays, "atoms": 2 * arrays["atoms"]})
    assert "do not have unit L2 norm" in run("encode", ok=False).stderr
    assert "do not have unit L2 norm" in run("gramian", ok=False).stderr


def test_a_truncated_store_is_refused_by_every_reader(coded: Path, run: Run) -> None:
    run("gramian")
    run("decode")
    chunks = {  # and a store that has to go first, or the command has no need to read the chunk
        "data/predictions/test/class-sum.zarr/labels/c/0": ("evaluate", None),
        "data/codes/test.zarr/values/c/0": ("decode", None),
        "data/gramian.zarr/gramian/c/0/0": ("encode --inhibition gramian", None),
        "data/dictionary.zarr/atoms/c/0/0": ("encode", None),
        "data/dictionary.zarr/atoms/c/0/0 ": ("gramian", paths.GRAMIAN),
        "data/features/test.zarr/features/c/0/0": ("encode", None),
        "data/base.zarr/atoms/c/0/0": ("add-exemplars", paths.DICTIONARY),
        "data/features/train.zarr/features/c/0/0": ("build-dict", None),
    }
    for chunk, (command, made) in chunks.items():
        chunk = chunk.strip()
        content = Path(chunk).read_bytes()
        Path(chunk).write_bytes(content[: len(content) // 2])
        if made:
            shutil.rmtree(made)
        assert f"{chunk.split('.zarr')[0]}.zarr is damaged" in run(command, ok=False).stderr
        Path(chunk).write_bytes(content)


def test_a_hand_edited_store_is_refused(coded: Path, run: Run) -> None:
    zarr.open_group(paths.DICTIONARY, mode="r+")["labels"][0] = 2
    assert "data/dictionary.zarr is damaged" in run("decode", ok=False).stderr


@pytest.mark.parametrize("command", ["extract", "build-dict", "gramian", "encode", "decode"])
def test_a_full_disk_is_one_line_and_leaves_the_old_stores_in_force(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    run("gramian")
    run("decode")
    if command == "gramian":
        run("build-dict --seed 1")  # so that there is something to compute
    if command == "extract":
        next(Path("images/train").rglob("*.png")).unlink()
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(aside, "save", full)
        said = run(command, ok=False).stderr
    assert f"No space left on device, below {Path.cwd()}: make room" in said
    assert {path: path.read_bytes() for path in before} == before
    run(command)


def test_a_killed_encode_goes_on_and_gives_the_same_codes(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BATCH", 4)
    run("encode")
    whole = opened(paths.codes("test"), "codes").fingerprint
    save, calls = store.Draft.adopt, []

    def killed_at_the_third(*args: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(store.Draft, "adopt", killed_at_the_third)
        with pytest.raises(AssertionError):
            run("encode")
    shutil.rmtree(paths.codes("test"))
    monkeypatch.setattr(store.Draft, "adopt", lambda *args: (calls.append(args), save(*args)))
    run("encode")
    assert len(calls) == 3 + 2, "two batches of four were done before the kill"
    assert opened(paths.codes("test"), "codes").fingerprint == whole


def test_a_run_that_stores_the_energy_does_not_go_on_with_batches_that_lack_it(
    coded: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dseld_cli.stages import encode

    monkeypatch.setattr(encoding, "BATCH", 4)
    with monkeypatch.context() as patch:
        patch.setattr(encode, "_finish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(AssertionError):
            run("encode")
    run("encode --energy")
    assert opened(paths.codes("test"), "codes").read("energy").shape == (15, 101)


@pytest.mark.parametrize(
    ("command", "path"),
    [("extract --split test", paths.features("test")), ("encode", paths.codes("test"))],
)
def test_two_of_a_kind_at_once_one_is_refused(coded: Path, run: Run, command: str, path: Path) -> None:
    with Path(f"{path}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert f"another dseld is changing {path}" in run(command, ok=False).stderr
    run(command)
