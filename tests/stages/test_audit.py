"""`dseld audit`: wrong labels rank first, their exemplars are named, and its table is what remove-exemplars takes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseld_cli import store
from dseld_cli.decoders.base import Given
from dseld_cli.dictionary.labels import training_labels
from dseld_cli.evaluation.audit import argued, influence, taken, twins
from dseld_cli.runtime.text import cell, uncell
from dseld_cli.store import project as paths
from tests.conftest import Run, image_folder, set_params
from tests.decoders.test_decoders import sparse

CLASSES = {"ant": 30, "bee": 30, "cat": 30}
SWAPPED = {"bee/3.png": "ant", "cat/7.png": "bee", "ant/11.png": "cat"}
"""Images that show another class than their folder says."""


@pytest.fixture
def mislabelled(project: Path, run: Run) -> Path:
    """Three images of another class than their folder's, and a copy of one image in two folders."""
    folder = project / "images"
    image_folder(folder, CLASSES)
    image_folder(folder, dict.fromkeys(CLASSES, 3), "test", seed=1)
    image_folder(project / "more", dict.fromkeys(CLASSES, 1), seed=9)
    for name, shown in SWAPPED.items():
        (folder / "train" / name).write_bytes((project / "more/train" / shown / "0.png").read_bytes())
    (folder / "train/bee/20.png").write_bytes((folder / "train/ant/20.png").read_bytes())
    set_params(data__dataset="folder:images", extract__workers=0, lca__lambda=0.5)
    for command in ("extract", "build-dict", "encode --split train"):
        run(command)
    return project


def test_wrong_labels_come_first_with_who_argues_against_them(mislabelled: Path, run: Run) -> None:
    found = json.loads(run("audit --json").stdout)
    wrong = {f"train/{name}" for name in SWAPPED}
    first = found["suspects"][:5]
    assert wrong < {one["image"] for one in first}
    for one in first:
        assert one["suggested"] != one["label"] == one["image"].split("/")[1]
        assert all(f"/{one['suggested']}/" in name for name in one["against"])
    copy = next(one for one in found["suspects"] if one["image"] == "train/bee/20.png")
    assert copy["copies"] == ["train/ant/20.png"]
    assert found["images"] == 90
    quality = [one["quality"] for one in found["suspects"]]
    assert quality == sorted(quality)


def test_its_table_is_what_remove_exemplars_takes(mislabelled: Path, run: Run) -> None:
    said = run("audit").stdout
    assert "Labels" in said
    with Path("data/audit/labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["margin"]) < 0 for row in rows)
    run("remove-exemplars --from data/audit/labels.csv")
    left = set(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source"))
    assert not left & {row["image"] for row in rows}
    assert len(left) == 90 - len(rows) + 1  # and the word for tombstones
    assert "was not made from" in run("audit", ok=False).stderr


def labels() -> dict[str, str]:
    opened = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    names = [opened.info.classes[label] for label in opened.read("labels")]
    return dict(zip(map(str, opened.read("source")), names, strict=True))


def test_its_table_is_what_relabel_takes_and_the_list_brings_the_old_labels_back(mislabelled: Path, run: Run) -> None:
    run("audit")
    table = Path("data/audit/labels.csv")
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"].removeprefix("train/") in SWAPPED]
    table.write_text("image,suggested\n" + "".join(f"{row['image']},{row['suggested']}\n" for row in rows))
    before, opened = labels(), store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    fingerprint, atoms = opened.fingerprint, opened.read("atoms")
    run("gramian")
    tiles = store.open_store(paths.GRAMIAN, store.GramianInfo).fingerprint
    said = run("relabel --from data/audit/labels.csv").stdout
    assert "3 relabelled" in said and "0 of 1 blocks of atoms written" in said
    right = {f"train/{name}": shown for name, shown in SWAPPED.items()}
    assert labels() == before | right
    np.testing.assert_array_equal(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("atoms"), atoms)
    assert store.open_store(paths.GRAMIAN, store.GramianInfo).fingerprint == tiles
    run("encode --split train")
    found = json.loads(run("audit --json").stdout)
    assert not right.keys() & {one["image"] for one in found["suspects"]}, "their labels are right now"
    set_params(relabels=[])
    assert "relabels does not list train/" in run("classify images/test/ant/0.png").stderr
    run("add-exemplars")
    assert labels() == before
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).fingerprint == fingerprint


def test_a_table_that_somebody_worked_on_is_kept(mislabelled: Path, run: Run) -> None:
    table, kept = Path("data/audit/labels.csv"), Path("data/audit/labels.edited.csv")
    for _ in range(2):
        assert "kept as" not in run("audit").stderr
    written = table.read_bytes()
    mine = b"\n".join(written.splitlines()[:3])
    table.write_bytes(mine)
    assert f"{table} was edited since it was written: kept as {kept}" in run("audit").stderr
    assert (table.read_bytes(), kept.read_bytes()) == (written, mine)
    assert "kept as" not in run("audit").stderr
    table.write_bytes(mine[:-1])
    run("audit")
    assert kept.read_bytes() == mine
    assert Path("data/audit/labels.edited1.csv").read_bytes() == mine[:-1]


def test_a_listed_class_that_no_image_has_is_put_right_by_relabelling(mislabelled: Path, run: Run) -> None:
    text = Path("params.yaml").read_text()
    assert "relabels: []" in text
    listed = "relabels:\n  - {image: train/bee/3.png, class: gone}"
    Path("params.yaml").write_text(text.replace("relabels: []", listed))
    assert "gone, a class that no image has" in run("add-exemplars", ok=False).stderr
    run("relabel train/bee/3.png ant")


def test_names_that_no_screen_can_show_find_their_images_again(mislabelled: Path, run: Run) -> None:
    """As macOS names a picture of the screen: with a narrow space before PM."""
    folder = mislabelled / "images/train/bee"
    (folder / "3.png").rename(folder / "at 3\u202fPM.png")
    (folder / "4.png").rename(folder / "at 4\u202fPM.png")
    for command in ("extract", "build-dict", "encode --split train", "audit"):
        run(command)
    with Path("data/audit/labels.csv").open(newline="") as file:
        assert "train/bee/at 3\\u202fPM.png" in [row["image"] for row in csv.DictReader(file)]
    run("relabel --from data/audit/labels.csv")
    assert "image: train/bee/at 3\u202fPM.png" in Path("params.yaml").read_text()
    Path("names.txt").write_text("train/bee/at 4\\u202fPM.png\n")
    assert "1 removed" in run("remove-exemplars --from names.txt").stdout


def test_two_classes_of_one_image_are_refused(mislabelled: Path, run: Run) -> None:
    Path("twice.csv").write_text("image,class\ntrain/ant/0.png,bee\ntrain/ant/0.png,cat\n")
    said = run("relabel --from twice.csv", ok=False).stderr
    assert "train/ant/0.png is named twice, as bee and as cat" in said


def test_a_decoder_learns_from_the_right_labels(mislabelled: Path, run: Run) -> None:
    run("relabel train/bee/3.png ant")
    run("relabel train/bee/3.png cat")
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.open_store(paths.features("train"), store.FeaturesInfo)
    found = dict(zip(map(str, features.read("source")), training_labels(features, dictionary), strict=True))
    assert dictionary.info.classes[found["train/bee/3.png"]] == "cat"
    assert dictionary.info.classes[found["train/bee/4.png"]] == "bee"
    assert Path("params.yaml").read_text().count("train/bee/3.png") == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("relabel", "give an IMAGE and the CLASS"),
        ("relabel train/bee/3.png", "give an IMAGE and the CLASS"),
        ("relabel train/nobody.png ant", "train/nobody.png is no image in data/dictionary.zarr"),
        ("relabel train/bee/3.png dog", "a class that no image has; known are ant, bee, cat"),
        ("relabel train/bee/3.png beee", "a class that no image has (did you mean bee?)"),
        ("relabel train/nobody.png dog", "train/nobody.png is no image in data/dictionary.zarr"),
        ("relabel train/bee/3.png \udcff", "is no text: it has bytes that are no UTF-8"),
        ("relabel --from images", "cannot be read as text"),
        ("relabel --from names.txt", "no CSV table with the columns image and suggested"),
        ("relabel --from empty.csv", "train/bee/3.png has nothing in the column class"),
    ],
)
def test_a_mistaken_relabel_changes_nothing(mislabelled: Path, run: Run, command: str, said: str) -> None:
    Path("names.txt").write_text("train/bee/3.png\n")
    Path("empty.csv").write_text("image,class\ntrain/bee/3.png,\n")
    before, text = labels(), Path("params.yaml").read_text()
    assert said in run(command, ok=False).stderr
    assert labels() == before and Path("params.yaml").read_text() == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names no exemplar"),
        (b"image,label\n", "names no exemplar"),
        (b"image,exemplar\nx,no\n", "names no exemplar"),
        (b"\xff\xfe\x00", "cannot be read as text"),
        (None, ""),
    ],
)
def test_a_file_that_names_nothing_is_refused(mislabelled: Path, run: Run, content: bytes | None, said: str) -> None:
    if content is not None:
        Path("names.csv").write_bytes(content)
    assert said in run("remove-exemplars --from names.csv", ok=False).stderr


def test_images_that_are_no_exemplars_are_named_and_left_alone(mislabelled: Path, run: Run) -> None:
    """A dictionary of some of the images: the others are judged, too, but there is nothing to take out."""
    run("build-dict --size 40")
    run("encode --split train --images all")
    run("audit")
    with Path("data/audit/labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    inside = {row["image"] for row in rows if row["exemplar"] == "yes"}
    before = set(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source"))
    assert inside == {row["image"] for row in rows} & before
    assert 0 < len(inside) < len(rows)
    said = run("remove-exemplars --from data/audit/labels.csv").stdout
    assert f"{len(rows) - len(inside)} of the {len(rows)} images" in said
    assert not set(store.open_store(paths.DICTIONARY, store.DictionaryInfo).read("source")) & inside


def test_names_come_one_a_line_too(mislabelled: Path, run: Run) -> None:
    Path("names.txt").write_text("train/ant/0.png\n\ntrain/ant/1.png\ntrain/ant/0.png\n")
    run("remove-exemplars --from names.txt")
    assert store.open_store(paths.DICTIONARY, store.DictionaryInfo).info.removed != ()


def test_without_codes_it_says_what_makes_them(project: Path, run: Run) -> None:
    assert "dseld encode --split train" in run("audit", ok=False).stderr


def test_shares_are_compared_and_influence_is_summed_by_hand() -> None:
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0, 0, 0], [0, 0.4, 0.6]], np.float32)
    found = argued(shares, np.array([0, 2, 1, 0]), np.array([0.1, 0.4, 0.5, 0.3], np.float32))
    np.testing.assert_allclose(found.own, [0.6, 0.3, 0.0, 0.0], atol=1e-7)
    np.testing.assert_array_equal(found.other[[0, 1, 3]], [1, 1, 2])
    np.testing.assert_allclose(found.margin, [0.3, -0.2, 0, -0.6], atol=1e-6)
    np.testing.assert_array_equal(found.order, [3, 1])
    np.testing.assert_array_equal(
        taken(np.array([0, 2, 1, 0]), found.other, found.margin, 3), [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    )
    codes = sparse(np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 4.0]]))
    helped, harmed = influence(codes, np.array([0, 1]), np.array([0, 1, 1]))
    np.testing.assert_allclose(helped, [1.0, 0.0, 4.0])
    np.testing.assert_allclose(harmed, [0.5, 2.0, 0.0])


@pytest.mark.parametrize("name", ["=1+1.png", "'quoted.png", "+a", "plain.png", "@x", "-y"])
def test_a_name_in_a_table_is_read_back(name: str) -> None:
    assert uncell(cell(name)) == name


def test_the_report_shows_them_while_the_dictionary_is_the_one_that_was_audited(mislabelled: Path, run: Run) -> None:
    run("audit")
    for command in ("encode", "decode", "report"):
        run(command)
    page = Path("report.html").read_text()
    assert "Labels that the exemplars argue against" in page
    for name in SWAPPED:
        assert f"training image train/{name}" in page
    run("remove-exemplars train/bee/3.png")
    for command in ("encode", "decode", "report"):
        run(command)
    assert "argue against" not in Path("report.html").read_text()


def test_images_that_are_nearly_equal_and_of_different_classes_are_named(mislabelled: Path, run: Run) -> None:
    folder = mislabelled / "images/train"
    pixels = np.asarray(Image.open(folder / "ant/25.png")).astype(np.int16)
    noise = np.random.default_rng(0).integers(-2, 3, pixels.shape)
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(folder / "cat/25.png")
    for command in ("extract", "build-dict", "encode --split train"):
        run(command)
    pairs = json.loads(run("audit --json").stdout)["pairs"]
    first, *others = [({one["image"], one["exemplar"]}, one["cosine"]) for one in pairs]
    assert first == ({"train/ant/20.png", "train/bee/20.png"}, 1.0)
    assert ({"train/ant/25.png", "train/cat/25.png"}, pytest.approx(1, abs=0.01)) in others
    assert len({frozenset(pair) for pair, _ in [first, *others]}) == len(pairs)
    assert all(one["label"] != one["its_label"] for one in pairs)
    with Path("data/audit/pairs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(pairs)


def test_twins_worked_by_hand() -> None:
    atoms = np.array([[1, 0], [0.999, 0.0447], [0, 1]], np.float32)
    images = np.array([[2, 0], [0, 3]], np.float32)
    given = Given(np.array([1, 0, 0]), 2, atoms.__getitem__, lambda: images)
    codes = sparse(np.array([[0.5, 0.4, -0.1], [0, 0.2, 2.0]], np.float32))
    assert [(one.image, one.atom, round(one.cosine, 3)) for one in twins(codes, np.array([0, 1]), given)] == [
        (0, 0, 1.0),
        (1, 2, 1.0),
    ]
