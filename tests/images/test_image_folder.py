"""Folders of images as people have them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images
from dseld_cli.images.image_folder import IMAGENETTE, files_of, synset_names
from tests.conftest import image_folder


def folder(path: Path, split: str) -> Images:
    return images(f"folder:{path}", Path("unused"), split)


def labelled(found: Images) -> list[tuple[str, str]]:
    return [(found.classes[label], source) for label, source in zip(found.labels, found.source, strict=True)]


def test_classes_are_folders_of_train_and_images_may_lie_deeper(tmp_path: Path) -> None:
    image_folder(tmp_path, {"bee": 1, "ant": 2})
    image_folder(tmp_path, {"bee": 1}, "test")
    (tmp_path / "train/ant/1.png").rename(tmp_path / "train/ant/deep.png")
    (tmp_path / "train/ant/under").mkdir()
    (tmp_path / "train/ant/deep.png").rename(tmp_path / "train/ant/under/deep.png")
    (tmp_path / "train/ant/.DS_Store").touch()
    (tmp_path / "train/.ipynb_checkpoints").mkdir()
    assert labelled(folder(tmp_path, "train")) == [
        ("ant", "train/ant/0.png"),
        ("ant", "train/ant/under/deep.png"),
        ("bee", "train/bee/0.png"),
    ]
    test = folder(tmp_path, "test")
    assert (test.classes, labelled(test)) == (("ant", "bee"), [("bee", "test/bee/0.png")])
    assert test.load(0).size == (6, 6)


def test_val_is_the_test_split_where_there_is_no_test(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 1})
    image_folder(tmp_path, {"ant": 1}, "val")
    assert folder(tmp_path, "test").source == ["val/ant/0.png"]
    image_folder(tmp_path, {"ant": 1}, "test")
    assert folder(tmp_path, "test").source == ["test/ant/0.png"]


def test_names_need_not_be_ascii_nor_even_unicode(tmp_path: Path) -> None:
    image_folder(tmp_path, {"žirafa 长颈鹿": 1})
    (tmp_path / "train/žirafa 长颈鹿/0.png").rename(tmp_path / "train/žirafa 长颈鹿" / os.fsdecode(b"\xff.png"))
    found = folder(tmp_path, "train")
    assert found.classes == ("žirafa 长颈鹿",)
    assert found.load(0).size == (6, 6)


def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 1})
    image_folder(tmp_path, {"more": 1}, "elsewhere")
    (tmp_path / "train/ant/more").symlink_to(tmp_path / "elsewhere/more")
    assert folder(tmp_path, "train").source == ["train/ant/0.png", "train/ant/more/0.png"]
    (tmp_path / "elsewhere/more/back").symlink_to(tmp_path / "train/ant")
    with pytest.raises(UserError, match=r"links back to .*train/ant"):
        folder(tmp_path, "train")


def nothing(path: Path) -> None:
    pass


def no_class(path: Path) -> None:
    (path / "train").mkdir()


def empty_class(path: Path) -> None:
    image_folder(path, {"ant": 1})
    (path / "train/bee").mkdir()


def loose(path: Path) -> None:
    image_folder(path, {"ant": 1})
    (path / "train/ant/0.png").rename(path / "train/0.png")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nothing, "no folder .*train: images belong in train/<class>/"),
        (no_class, "train has no class folders"),
        (empty_class, "class folder .*bee holds no image"),
        (loose, r"0\.png is in no class folder: move it"),
    ],
)
def test_a_folder_out_of_order_is_one_line(tmp_path: Path, make: object, said: str) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(UserError, match=said):
        folder(tmp_path, "train")


def test_folders_beside_train_are_named_as_they_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test", "val", "plane"):
        image_folder(tmp_path, {"a": 1, "b": 1}, split)
    (tmp_path / ".hidden").mkdir()
    images(f"folder:{tmp_path}", tmp_path, "train")
    assert f"{tmp_path} has plane, val beside train, not read" in " ".join(capsys.readouterr().err.split())
    images(f"folder:{tmp_path}", tmp_path, "test")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "imagenet", "folder:~nobody-of-this-name/x"])
def test_a_home_that_is_not_there_is_one_line(dataset: str) -> None:
    with pytest.raises(UserError, match="there is no such home folder"):
        images(dataset, Path("~nobody-of-this-name/x"), "train")


def test_a_test_class_that_train_lacks_is_named(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 1})
    image_folder(tmp_path, {"ant": 1, "cow": 1}, "test")
    with pytest.raises(UserError, match="class cow has no folder in"):
        folder(tmp_path, "test")


def test_what_is_known_to_be_no_image_is_left_out_and_said(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 1, "bee": 1})
    for name in ("Thumbs.db", "ant/thumbs.db", "ant/desktop.ini", "bee/notes.TXT", "bee/labels.csv"):
        (tmp_path / "train" / name).write_text("no image")
    (tmp_path / "train/bee/film.mp4").touch()
    found = folder(tmp_path, "train")
    assert found.source == ["train/ant/0.png", "train/bee/0.png", "train/bee/film.mp4"]
    assert sorted(found.ignored) == [
        "Thumbs.db",
        "train/ant/desktop.ini",
        "train/ant/thumbs.db",
        "train/bee/labels.csv",
        "train/bee/notes.TXT",
    ]
    assert files_of(tmp_path / "train/ant") == [tmp_path / "train/ant/0.png"]


def test_a_class_of_nothing_but_notes_is_empty(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 1})
    (tmp_path / "train/bee").mkdir()
    (tmp_path / "train/bee/notes.txt").touch()
    with pytest.raises(UserError, match=r"class folder .*bee holds no image"):
        folder(tmp_path, "train")


def test_class_folders_alone_are_divided_by_a_seeded_draw(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 10, "bee": 5}, ".")
    (tmp_path / "ant/notes.txt").touch()
    name = f"folder:{tmp_path}"
    parts = {seed: [images(name, tmp_path, split, 0.2, seed) for split in ("train", "test")] for seed in (0, 1)}
    for train, test in parts.values():
        assert train.classes == test.classes == ("ant", "bee")
        assert (np.bincount(train.labels).tolist(), np.bincount(test.labels).tolist()) == ([8, 4], [2, 1])
        assert not set(train.source) & set(test.source)
        assert train.load(0).size == (6, 6)
        assert train.ignored == ("ant/notes.txt",)
    assert parts[0][1].source != parts[1][1].source
    assert len(images(name, tmp_path, "train")) == 15, "an addition takes them all"
    with pytest.raises(UserError, match=r"extract\.test_share: 0\.01 of each class leaves test without images"):
        images(name, tmp_path, "test", 0.01)


def test_unicode_forms_of_a_class_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    image_folder(tmp_path, {composed: 1})
    image_folder(tmp_path, {decomposed: 1}, "test")
    assert folder(tmp_path, "train").classes == folder(tmp_path, "test").classes == (composed,)
    assert folder(tmp_path, "test").load(0).size == (6, 6)
    image_folder(tmp_path, {decomposed: 1})
    with pytest.raises(UserError, match=r"two class folders .*differ only in Unicode form .*merge them"):
        folder(tmp_path, "train")


def test_synsets_that_share_a_name_are_told_apart() -> None:
    names = {"n1": ["crane"], "n2": ["tench", "Tinca tinca"], "n3": ["crane"]}
    assert synset_names(["n1", "n2", "n3", "n4"], names) == ("crane (n1)", "tench", "crane (n3)", "n4")


def test_imagenet_as_torchvision_lays_it_out(tmp_path: Path) -> None:
    for split in ("train", "val"):
        image_folder(tmp_path, {"n01440764": 2, "n01443537": 1}, split)
    names = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish", "Carassius auratus")}
    torch.save((names, ["n01443537"]), tmp_path / "meta.bin")
    found = images("imagenet", tmp_path, "test")
    assert found.classes == ("tench", "goldfish")
    assert found.source == ["val/n01440764/0.png", "val/n01440764/1.png", "val/n01443537/0.png"]


def test_imagenet_without_its_devkit_is_one_line(tmp_path: Path) -> None:
    image_folder(tmp_path, {"n01440764": 1})
    with pytest.raises(UserError, match=r"neither meta\.bin nor a whole ILSVRC2012_devkit"):
        images("imagenet", tmp_path, "train")


def test_tiny_imagenet_as_published(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    image_folder(root / "train", {"images": 2}, "n2")
    image_folder(root / "train", {"images": 1}, "n1")
    image_folder(root, {"images": 2}, "val")
    (root / "words.txt").write_text("n1\tgoldfish, Carassius auratus\nn2\tbullfrog\nn9\tdog\n")
    (root / "val/val_annotations.txt").write_text("0.png\tn2\t0\t32\t44\t62\n1.png\tn1\t0\t0\t5\t5\n")
    train, test = images("tiny-imagenet", tmp_path, "train"), images("tiny-imagenet", root, "test")
    assert train.classes == test.classes == ("goldfish", "bullfrog")
    np.testing.assert_array_equal(train.labels, [0, 1, 1])
    assert labelled(test) == [("goldfish", "val/images/1.png"), ("bullfrog", "val/images/0.png")]
    assert test.load(0).size == (6, 6)


def test_imagenette_as_published(tmp_path: Path) -> None:
    root = tmp_path / "imagenette2-160"
    image_folder(root / "train", dict.fromkeys(IMAGENETTE, 1), ".")
    with pytest.raises(UserError, match="pass --data-root DIR that holds it, unpacked"):
        images("imagenette", tmp_path, "test")
    image_folder(root / "val", dict.fromkeys(IMAGENETTE, 2), ".")
    train, test = images("imagenette", tmp_path, "train"), images("imagenette", root, "test")
    assert train.classes == test.classes == tuple(IMAGENETTE.values())
    assert (len(train), len(test)) == (10, 20)
    assert labelled(test)[-1] == ("parachute", "val/n03888257/1.png")


def test_files_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 2})
    assert files_of(tmp_path / "train/ant/1.png") == [tmp_path / "train/ant/1.png"]
    assert files_of(tmp_path) == [tmp_path / "train/ant/0.png", tmp_path / "train/ant/1.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="none holds no image"):
        files_of(tmp_path / "none")
