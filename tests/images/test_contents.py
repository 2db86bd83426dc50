"""Whether images changed is decided by what is in their files; those that nobody touched are not read again."""

import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from dseld_cli.images import contents
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images
from tests.conftest import image_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    """Four pictures, old enough for their times to be trusted."""
    image_folder(tmp_path, {"ant": 2, "bee": 2})
    monkeypatch.setattr(contents, "RACY", -(10**12))
    monkeypatch.chdir(tmp_path)
    return images("folder:.", Path(), "train")


MEMORY = Path("seen.json")


def test_another_content_of_the_same_size_counts(folder: Images) -> None:
    before = contents.digest(folder, MEMORY)
    file = Path("train/ant/1.png")
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    assert contents.digest(folder, MEMORY) != before


def test_even_where_the_old_times_were_put_back(folder: Images) -> None:
    file = Path("train/ant/1.png")
    before, found = contents.digest(folder, MEMORY), file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert contents.digest(folder, MEMORY) != before


def test_other_times_and_inodes_do_not_count(folder: Images) -> None:
    before = contents.digest(folder, MEMORY)
    shutil.copytree("train", "copy")
    shutil.rmtree("train")
    Path("copy").rename("train")
    os.utime("train/bee/0.png", (1, 1))
    assert contents.digest(folder, MEMORY) == before


def test_untouched_files_are_not_read_again(folder: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents.digest(folder, MEMORY)
    Path("train/bee/0.png").touch()
    read: list[str] = []
    monkeypatch.setattr(Path, "open", _noted(read))
    assert contents.digest(folder, MEMORY) == before
    assert [name for name in read if name.endswith(".png")] == [str(Path("train/bee/0.png"))]


def _noted(read: list[str]):  # type: ignore[no-untyped-def]
    opened = Path.open

    def noted(self: Path, *args: object, **options: object):  # type: ignore[no-untyped-def]
        read.append(str(self))
        return opened(self, *args, **options)  # type: ignore[call-overload]

    return noted


def test_a_file_that_was_written_just_now_is_read_again(folder: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "RACY", 3600 * 10**9)
    contents.digest(folder, MEMORY)
    assert MEMORY.read_text() == "{}" if MEMORY.exists() else True
    monkeypatch.setattr(time, "time_ns", lambda: time.time() * 10**9 + 7200 * 10**9)
    contents.digest(folder, MEMORY)
    assert MEMORY.read_text().count("png") == 4


@pytest.mark.parametrize("memory", ["", "[]", '{"a": 1}', '{"train/ant/0.png": [["x"], "y"]}', "\xff"])
def test_a_damaged_memory_is_none(folder: Images, memory: str) -> None:
    before = contents.digest(folder, Path("other.json"))
    MEMORY.write_bytes(memory.encode("latin-1"))
    assert contents.digest(folder, MEMORY) == before


def test_labels_and_names_count(folder: Images) -> None:
    before = contents.digest(folder, MEMORY)
    Path("train/ant/1.png").rename("train/bee/7.png")
    moved = contents.digest(images("folder:.", Path(), "train"), MEMORY)
    Path("train/bee/7.png").rename("train/bee/8.png")
    assert len({before, moved, contents.digest(images("folder:.", Path(), "train"), MEMORY)}) == 3


def test_pixels_of_a_data_set_count(tmp_path: Path) -> None:
    found = images("digits", tmp_path, "test")
    other = Images(found.classes, found.labels, found.source, lambda i: found.raw(i) + (i == 3), Image.fromarray)
    assert contents.digest(found, tmp_path / "a") != contents.digest(other, tmp_path / "a")
