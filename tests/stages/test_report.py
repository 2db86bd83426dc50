"""The page: whole, without anything outside it, and true to the stores."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dseld_cli.evaluation import report
from tests.conftest import Run, image_folder, set_params

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Collects references, ids and texts, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.open += [] if tag in VOID else [tag]
        self.ids |= {str(values["id"])} if "id" in values else set()
        self.references += [str(values[name]) for name in ("src", "href", "xlink:href") if name in values]
        self.references += re.findall(r"url\((.*?)\)", " ".join(str(v) for v in values.values()))
        self.images += [values] if tag == "img" else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1] if tag not in VOID else self.open

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def decoded(project: Path, run: Run) -> Path:
    set_params(build_dict__size=200, encode__images=60, encode__energy=True)
    for command in ("extract", "build-dict", "encode", "decode"):
        run(command)
    return project


def test_the_page_is_whole_and_refers_to_nothing_outside_it(decoded: Path, run: Run) -> None:
    run("reconstruct --images 2 --atoms 40 --steps 100 --tau 100")
    run("baselines --baseline cosine-knn")
    run("report")
    text = Path("report.html").read_text()
    page = Page(text)
    assert page.open == []
    for reference in page.references:
        assert reference.startswith("data:image/") or reference.lstrip("#") in page.ids, reference
    assert "@import" not in text
    assert all(image["alt"] for image in page.images)
    for image in page.images:
        assert base64.b64decode(str(image["src"]).split(",")[1]).startswith(b"\x89PNG")
    assert "prefers-color-scheme: dark" in text
    for heading in ("Accuracy", "Confusion", "Energy", "Reconstruction", "Cost per image"):
        assert f"<h2>{heading}</h2>" in text


def test_its_figures_are_those_of_evaluate(decoded: Path, run: Run) -> None:
    run("evaluate")
    run("report --output page.html")
    text = Path("page.html").read_text()
    for result in json.loads(Path("metrics.json").read_text())["decoders"].values():
        assert f">{result['top1']:.2f}</td>" in text
    gallery = re.findall(r'<figure class="(right|wrong)">.*?</figure>', text, re.DOTALL)
    assert gallery.count("right") == 6
    shares = [int(share) for share in re.findall(r"(\d+) %</span>", text)]
    assert shares
    assert max(shares) <= 100


@pytest.mark.parametrize(
    ("dataset", "backbone", "drawn"),
    [
        ("cifar10", "resnet50@IMAGENET1K_V2", ("Fig. 6", "Fig. 2")),
        ("mnist", "none", ("Fig. 6",)),
        ("digits", "none", ()),
    ],
)
def test_figures_of_the_papers_data_sets_stand_in_its_plots(
    decoded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, dataset: str, backbone: str, drawn: tuple[str, ...]
) -> None:
    """As if the data set of this run were one of the paper's."""
    real = report.figures
    monkeypatch.setattr(report, "figures", lambda found: real(found) | {"dataset": dataset, "backbone": backbone})
    run("report")
    page = Path("report.html").read_text()
    Page(page)
    assert tuple(name for name in ("Fig. 6", "Fig. 2") if name in page.partition("Confusion</h2>")[0]) == drawn
    assert "Beside the paper" in page


def test_what_it_needs_first_is_one_line(decoded: Path, run: Run) -> None:
    assert "there is no folder nowhere" in run("report --output nowhere/x.html", ok=False).stderr
    run("encode --lambda 2")
    assert "data/predictions/test/max-activation.zarr was not made from" in run("report", ok=False).stderr
    assert not Path("report.html").exists()


def test_names_are_escaped(project: Path, run: Run) -> None:
    from tests.conftest import image_folder

    classes = {"<b>ant": 6, "bee & co": 6}
    for split in ("train", "test"):
        image_folder(project / "images", classes, split)
    set_params(data__dataset="folder:images", lca__lambda=0.3)
    for command in ("extract", "build-dict", "encode", "decode", "report"):
        run(command)
    assert Page(Path("report.html").read_text()).open == []


def test_the_gallery_shows_exemplars_of_added_folders_and_gaps_are_not_counted(project: Path, run: Run) -> None:
    image_folder(Path("images"), {"ant": 4, "bee": 4})
    image_folder(Path("images"), {"ant": 2, "bee": 2}, "test", seed=1)
    image_folder(Path("june"), {"ant": 20, "bee": 20}, seed=2)
    set_params(data__dataset="folder:images", lca__lambda=0.5, encode__energy=True)
    for line in ("extract", "build-dict", "add-exemplars folder:june", "remove-exemplars train/ant/0.png", "encode"):
        run(line)
    run("decode")
    assert "4 test images, 47 exemplars" in run("evaluate").stdout
    run("report")
    assert "--output data is a folder" in run("report --output data", ok=False).stderr
    assert "ends in .html" in run("report --output params.yaml", ok=False).stderr
    Path("mine.html").write_text("<title>mine</title>")
    assert "is no report of dseld's" in run("report --output mine.html", ok=False).stderr
    assert Path("mine.html").read_text() == "<title>mine</title>"
    text = Path("report.html").read_text()
    assert 'alt="exemplar june:train/' in text
    assert '<span class="none">' not in text


def test_pictures_come_from_where_the_stores_say_and_no_path_is_told(project: Path, run: Run) -> None:
    image_folder(project / "photos", {"ant": 9, "bee": 9})
    image_folder(project / "photos", {"ant": 3, "bee": 3}, "test", seed=1)
    run(f"extract --dataset folder:{project}/photos")  # params.yaml stays on the digits
    set_params(lca__lambda=0.5)
    for line in ("build-dict", "encode", "decode", "report"):
        run(line)
    text = Path("report.html").read_text()
    assert '<span class="none">' not in text
    assert "<title>dseld: photos, none</title>" in text
    assert str(project) not in text


def test_pictures_of_a_folder_that_comes_in_no_splits(project: Path, run: Run) -> None:
    image_folder(project, {"ant": 15, "bee": 15}, "photos")
    set_params(data__dataset="folder:photos", lca__lambda=0.5)
    for line in ("extract", "build-dict", "encode", "decode", "report"):
        run(line)
    text = Path("report.html").read_text()
    assert '<span class="none">' not in text


def test_it_says_where_a_baseline_is_better(decoded: Path, run: Run) -> None:
    better = "cosine-knn, which reads the same features without any coding, is right more often here than every decoder"
    run("baselines --baseline cosine-knn")
    run("encode --lambda 6")
    run("decode")
    run("report")
    assert better in Path("report.html").read_text()
    run("encode --lambda 1 --images 60")
    run("decode")
    run("report")
    top1 = {name: found["top1"] for name, found in metrics(run).items()}
    assert (better in Path("report.html").read_text()) == (top1.pop("cosine-knn") > max(top1.values()))


def metrics(run: Run) -> dict[str, dict[str, float]]:
    run("evaluate")
    found = json.loads(Path("metrics.json").read_text())
    return {**found["decoders"], **found["baselines"]}
