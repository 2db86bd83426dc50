"""`dseld extract`: splits, limits, broken images, a killed run, features made elsewhere."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseld_cli import store
from dseld_cli.backbones import extraction
from dseld_cli.backbones.extraction import BLOCK
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params

CLASSES = {"ant": 20, "bee": 10, "cat": 30}


@pytest.fixture
def folder(project: Path) -> Path:
    image_folder(project / "images", CLASSES)
    image_folder(project / "images", dict.fromkeys(CLASSES, 3), "test", seed=1)
    set_params(data__dataset="folder:images", extract__workers=0)
    return project


def features(split: str) -> store.Store:
    return store.open_store(paths.features(split), store.FeaturesInfo)


def sources(split: str) -> set[str]:
    return set(features(split).read("source"))


def test_val_is_drawn_from_train_by_class_and_leaves_it(folder: Path, run: Run) -> None:
    run("extract")
    whole = sources("train")
    assert not paths.features("val").exists()
    set_params(extract__splits=["train", "val", "test"], extract__val_share=0.2)
    run("extract")
    train, val = sources("train"), sources("val")
    assert train | val == whole
    assert not train & val
    assert np.bincount(features("val").read("labels")).tolist() == [4, 2, 6]
    assert all(name.startswith("test/") for name in sources("test"))


def test_val_needs_to_be_listed_so_that_train_knows(folder: Path, run: Run) -> None:
    assert "add val to extract.splits" in run("extract --split val", ok=False).stderr
    set_params(extract__splits=["train", "val"])
    assert "--seed with one split" in run("extract --split val --seed 2", ok=False).stderr


def test_a_limit_takes_the_same_draw_every_time(folder: Path, run: Run) -> None:
    run("extract --limit-per-class 4")
    once = sources("train")
    assert np.bincount(features("train").read("labels")).tolist() == [4, 4, 4]
    run("extract --limit-per-class 4 --seed 1")
    assert sources("train") != once
    run("extract --limit-per-class 4 --seed 0")
    assert sources("train") == once


@pytest.fixture
def zoo(folder: Path) -> Path:
    """The same folder with files of every bad kind among its images."""
    train = folder / "images/train"
    (train / "ant/zero.jpg").touch()
    (train / "ant/text.jpg").write_text("no image")
    Image.effect_noise((64, 64), 50).save(train / "bee/cut.jpg")
    (train / "bee/cut.jpg").write_bytes((train / "bee/cut.jpg").read_bytes()[:-500])
    Image.new("1", (20000, 20000)).save(train / "bee/huge.png")
    (train / "cat/loop.jpg").symlink_to("loop.jpg")
    (train / "cat/inner/žirafa").mkdir(parents=True)
    Image.new("RGB", (6, 6), (9, 8, 7)).save(train / "cat/inner/žirafa/长颈鹿.webp")
    return folder


def test_names_that_are_no_unicode_are_escaped(folder: Path, run: Run) -> None:
    latin = folder / "images/train" / os.fsdecode(b"b\xeate")
    (folder / "images/train/bee").rename(latin)
    (folder / "images/test/bee").rename(folder / "images/test" / latin.name)
    (latin / "0.png").rename(latin / os.fsdecode(b"\xe9.png"))
    (latin / "1.png").write_text("no image")
    run("extract --broken skip")
    assert features("test").info.classes == ("ant", "b\\udceate", "cat")
    assert "train/b\\udceate/\\udce9.png" in sources("train")


BROKEN = ["ant/text.jpg", "ant/zero.jpg", "bee/cut.jpg", "bee/huge.png", "cat/loop.jpg"]


def test_a_broken_image_stops_the_run_and_is_named(zoo: Path, run: Run) -> None:
    said = run("extract", ok=False).stderr
    assert "5 files are not readable images: " in said
    for name in ("ant/text.jpg", "ant/zero.jpg", "bee/cut.jpg"):
        assert f"images/train/{name} (" in said
    assert "--broken skip" in said
    assert len(said) <= 500
    assert not paths.features("train").exists()


def test_broken_images_are_skipped_by_choice_and_listed(zoo: Path, run: Run) -> None:
    said = run("extract --broken skip").stderr
    found = features("train")
    assert found.info.skipped == tuple(f"train/{name}" for name in BROKEN)
    assert all(f"skipped: images/train/{name} is not a readable image" in said for name in BROKEN)
    assert found.shape("features") == (61, 108)
    assert not sources("train") & {f"train/{name}" for name in BROKEN}
    assert "train/cat/inner/žirafa/长颈鹿.webp" in sources("train")
    assert np.bincount(found.read("labels")).tolist() == [20, 10, 31]
    for row, name in enumerate(found.read("source")):
        pixels = np.asarray(Image.open(zoo / "images" / name).convert("RGB"), np.float32).ravel() / 255
        np.testing.assert_array_equal(found.rows("features", slice(row, row + 1))[0], pixels)


def test_only_broken_images_are_one_line(folder: Path, run: Run) -> None:
    for path in (folder / "images/train").rglob("*.png"):
        path.write_text("no image")
    assert "no readable images" in run("extract --broken skip", ok=False).stderr


class Killed(BaseException):
    """What a test kills a run with."""


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_a_killed_run_goes_on_at_the_last_whole_block_with_the_same_bytes(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dseld_cli.images import image_folder as folders
    from dseld_cli.images.image import open_image

    image_folder(project / "images", {"ant": 2500, "bee": 2000}, size=2)
    for name in ("ant/77.png", "bee/3.png", "bee/1999.png"):
        (project / "images/train" / name).write_text("no image")
    command = "extract --dataset folder:images --split train --broken skip --workers 0"
    run(command)
    whole = content(paths.features("train"))

    opened: list[Path] = []

    def killed_in_the_second_block(path: Path) -> Image.Image:
        opened.append(path)
        if len(opened) == 3000:
            raise Killed
        return open_image(path)

    run_killed = f"{command} --output data/again.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(folders, "open_image", killed_in_the_second_block)
        with pytest.raises(Killed):
            run(run_killed)

    opened.clear()
    with monkeypatch.context() as patch:
        patch.setattr(folders, "open_image", lambda path: opened.append(path) or open_image(path))
        run(run_killed)
    assert 1500 < len(opened) <= 1500 + 2 * BLOCK, "what was done stays, but for the last blocks"
    assert content(Path("data/again.zarr")) == whole


def test_a_finished_extraction_is_left_as_it_is(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("extract --split train")
    before = content(paths.features("train"))
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_extract", None)
        said = run("extract --split train").stdout
    assert "train.zarr: 60 images of 3 classes, 108 features each, up to date" in said
    (folder / "images/train/ant/0.png").touch()
    assert "up to date" in run("extract --split train").stdout, "content decides, not the time"
    chunk = paths.features("train") / "features/c/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-9] + b"x" * 9)
    assert "images/s" in run("extract --split train").stdout
    assert content(paths.features("train")) == before


def test_photographs_as_pixels_take_no_more_disk_than_they_have_pixels(project: Path, run: Run) -> None:
    image_folder(project / "images", {"ant": 2}, size=224)
    run("extract --dataset folder:images --split train")
    taken = sum(file.stat().st_size for file in paths.features("train").rglob("*") if file.is_file())
    assert taken < 1.1 * 2 * 4 * 224 * 224 * 3


def test_what_is_no_image_or_seen_on_white_is_said(folder: Path, run: Run) -> None:
    for name in ("Thumbs.db", "ant/Thumbs.db", "ant/notes.txt", "bee/desktop.ini"):
        (folder / "images/train" / name).write_text("no image")
    Image.new("RGBA", (6, 6)).save(folder / "images/train/ant/0.png")
    said = run("extract").stderr
    assert "4 files left out as no image: Thumbs.db, train/ant/Thumbs.db, train/ant/notes.txt, ..." in said
    assert "1 image with transparent pixels, which were put on white" in said
    assert features("train").shape("features") == (60, 108)


def test_class_folders_alone_are_enough(project: Path, run: Run) -> None:
    image_folder(project, {"ant": 10, "bee": 10}, "photos")
    run("extract --dataset folder:photos")
    assert (features("train").shape("features")[0], features("test").shape("features")[0]) == (16, 4)
    assert not sources("train") & sources("test")


def test_all_broken_files_of_all_splits_are_counted_before_any_work(folder: Path, run: Run) -> None:
    for name in ("train/ant/1.png", "test/bee/0.png"):
        path = folder / "images" / name
        path.write_bytes(path.read_bytes()[:-60])
    os.mkfifo(folder / "images/test/cat/pipe.jpg")
    said = run("extract", ok=False).stderr
    assert "3 files are not readable images: images/train/ant/1.png (" in said
    assert "images/test/cat/pipe.jpg (it is no regular file" in said
    assert not list(Path("data/features").glob("*.zarr*"))
    run("extract --broken skip")
    assert features("test").info.skipped == ("test/bee/0.png", "test/cat/pipe.jpg")


@pytest.mark.parametrize(
    ("factor", "said"),
    [(1e20, "features of length"), (1e-30, "scale those of all images alike"), (1e300, "not finite")],
)
def test_features_of_no_sensible_size_are_refused_at_intake(project: Path, run: Run, factor: float, said: str) -> None:
    np.savez("x.npz", features=np.eye(3, 4) * factor, labels=[0, 1, 1])
    assert said in run("extract --from-npz x.npz --split train --extractor x", ok=False).stderr
    assert not paths.features("train").exists()


def test_features_brought_along_keep_the_memory_budget(project: Path, run: Run) -> None:
    set_params(run__memory="1.5GiB")
    np.savez_compressed("x.npz", features=np.zeros((2, 2**26)), labels=[0, 1])
    said = run("extract --from-npz x.npz --split train --extractor x", ok=False).stderr
    assert "array features takes 1.00 GiB, and run.memory leaves 0.50" in said


def test_other_images_start_afresh(folder: Path, run: Run) -> None:
    run("extract")
    before = features("train").info.contents_sha256
    (folder / "images/train/ant/0.png").rename(folder / "images/train/ant/zero.png")
    run("extract")
    assert features("train").info.contents_sha256 != before


def test_the_extractor_says_how_features_were_made(folder: Path, run: Run) -> None:
    run("extract --backbone efficientnet_lite0 --image-size 64 --precision bfloat16 --limit-per-class 2")
    extractor = features("test").info.extractor
    assert extractor == features("train").info.extractor
    assert {key: extractor[key] for key in ("backbone", "weights", "image_size", "precision")} == {
        "backbone": "efficientnet_lite0",
        "weights": "trained",
        "image_size": "64",
        "precision": "bfloat16",
    }
    assert features("test").shape("features") == (6, 1280)


def test_features_made_elsewhere_join_the_pipeline(project: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16)) * 5
    for split, n in (("train", 60), ("test", 15)):
        labels = np.arange(n) % 3
        np.savez(f"{split}.npz", features=centres[labels] + rng.normal(size=(n, 16)), labels=labels)
        said = run(f"extract --from-npz {split}.npz --split {split} --extractor dino").stdout
        assert said.startswith(f"dseld extract: split {split}, from-npz {split}.npz, extractor dino\n")
    assert features("train").info.extractor == {"backbone": "dino", "weights": "given", "transform": "given"}
    for command in ("build-dict", "encode", "decode"):
        run(command)
    assert "100.00 %" in run("evaluate").stdout
    np.save("x.npy", np.ones((2, 16), np.float16))
    np.save("y.npy", np.array(["1", "2"]))
    run("extract --from-npy x.npy y.npy --split test --extractor clip")
    assert "was extracted with backbone clip" in run("encode", ok=False).stderr


def test_settings_of_a_network_are_not_used_for_pixels_and_that_is_said(project: Path, run: Run) -> None:
    said = run("extract --limit-per-class 2 --backbone none --image-size 64 --precision bfloat16").stderr
    assert "warning: image_size 64, precision bfloat16: not used, as backbone none takes pixels as they are" in said
    assert "not used" not in run("extract --limit-per-class 2").stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--from-npz x.npz", "take in one split"),
        ("--from-npz x.npz --from-npy x.npy y.npy --split train", "by --from-npz or --from-npy, one of them"),
        ("--split train --extractor x", "--extractor names what made features: take them in by --from-npz"),
        ("--from-npz x.npz --split train", "--extractor NAME is needed"),
        ("--from-npz bad.npz --split train --extractor x", "bad.npz/1 has features that are not finite"),
        ("--split dev", "'dev' is not one of 'train', 'val', 'test'"),
        ("--broken ignore", "extract.broken should be"),
        ("--image-size 0", "extract.image_size should be 'default' or a whole number of at least 1"),
        ("--workers -1", "extract.workers should be 'auto' or a whole number of at least 0"),
        ("--precision float16", "extract.precision should be"),
    ],
)
def test_a_bad_option_is_one_line(folder: Path, run: Run, options: str, said: str) -> None:
    np.savez("x.npz", features=np.ones((2, 3)), labels=[0, 1])
    np.savez("bad.npz", features=np.array([[1, 2], [np.nan, 1]]), labels=[0, 1])
    assert said in run(f"extract {options}", ok=False).stderr
    assert not paths.features("train").exists()


def test_the_table_of_backbones_has_the_papers(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["mobilenet_v3_large", "squeezenet1_0"]
    monkeypatch.setattr("dseld_cli.backbones.torchvision.architectures", lambda: names)
    lines = [line.split() for line in run("extract --list-backbones").stdout.splitlines()]
    assert ["mobilenet_v3_large", "IMAGENET1K_V2", "*", "960", "224", "5.5", "M", "0.22", "75.3", "%"] in lines
    assert ["efficientnet_lite0", "packaged", "*", "1280", "224", "4.7", "M", "0.41", "75.1", "%"] in lines
    assert not any("squeezenet1_0" in line for line in lines), "it has no penultimate linear layer"
