"""A package that is installed beside ours adds decoders, and no line of ours changes."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.decoders import registry
from dseld_cli.decoders.base import Given
from dseld_cli.errors import UserError
from dseld_cli.store import project as paths
from tests.conftest import Run, set_params
from tests.decoders.test_decoders import scores, sparse

OWN = Path(__file__).parent / "own_decoder.py"
TRAINED = '''
from dataclasses import dataclass

import numpy as np

from dseld_cli.decoders.base import Trained, option
from dseld_cli.decoders.class_sum import ClassSum


@dataclass(frozen=True)
class Weighted:
    """Class-sum, each class weighted by how often it was right in training."""

    at_least: float = option(0.5, "The least weight.")
    loud: bool = option(False, "Whether to say so.")

    def scores(self, codes, given):
        return ClassSum().scores(codes, given) * given.learned["weights"]

    def train(self, codes, truth, given, seed, progress=iter):
        said = ClassSum().scores(codes, given).argmax(axis=1)
        right = [np.mean(said[truth == c] == c) if (truth == c).any() else 1 for c in range(given.n_classes)]
        weights = np.maximum(right, self.at_least).astype(np.float32)
        return Trained({"weights": weights}, "LOUD" if self.loud else "quiet")
'''
MISTAKES = {
    "decode --decoder power-sun": "did you mean power-sum",
    "decode --decoder power-sum --option power": "should be KEY=VALUE",
    "decode --option power=1": "--option takes one --decoder NAME",
    "decode --decoder power-sum --option power=x": "option power should be of type float; got 'x'",
    "train-decoder --decoder power-sum": "decoder power-sum is not trained: list it in params.yaml under decoders",
    "train-decoder --decoder class-sum": "decoder class-sum is not trained",
    "decode --decoder broken": "cannot be imported",
    "decode --decoder silent": "decoder silent has no scores(codes, given)",
    "decode --decoder other": "decoder other: ",
}
POINTS = """[dseld.decoders]
power-sum = own_decoder:PowerSum
weighted = weighted:Weighted
class-sum = weighted:Weighted
broken = no_such_module:Nothing
silent = decimal:Decimal
other = decimal:Decimal.from_float
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed a wheel into."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = folder / "mine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("own_decoder.py", OWN.read_text())
        archive.writestr("weighted.py", TRAINED)
        archive.writestr("mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        archive.writestr("mine-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("mine-1.0.dist-info/entry_points.txt", POINTS)
        archive.writestr("mine-1.0.dist-info/RECORD", "")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder / "site"),
    ]
    subprocess.run([*command, str(wheel)], check=True)
    return folder / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


@pytest.fixture
def coded(project: Path, run: Run) -> Path:
    set_params(build_dict__size=300, encode__images=120, train_decoder__images=100)
    for command in ("extract", "build-dict", "encode", "encode --split train"):
        run(command)
    return project


def predicted(name: str) -> store.Array:
    return store.open_store(paths.predictions(name, "test"), store.PredictionsInfo).read("scores")


def test_a_decoder_of_ones_own_is_less_than_30_lines() -> None:
    assert len(OWN.read_text().splitlines()) < 30


@pytest.mark.usefixtures("installed")
def test_its_options_are_read_and_refused() -> None:
    code, labels = np.array([[2.0, 2, 2, 5, -9]]), np.array([0, 0, 0, 1, 1])
    for power, wanted in (("2", [[12, 25]]), (1, [[6, 5]])):
        found = registry.decoder("power-sum", {"power": power}).scores(sparse(code), Given(labels, 2))
        np.testing.assert_allclose(found, wanted)
    assert registry.help_of("power-sum").startswith("Class-sum of activations raised to a power")
    for options, said in (
        ({"powr": 2}, "has no option 'powr': it has power"),
        ({"power": "two"}, "option power should be of type float; got 'two'"),
        ({"power": True}, "option power should be of type float; got True"),
    ):
        with pytest.raises(UserError, match=said):
            registry.decoder("power-sum", options)
    with pytest.raises(UserError, match="class-sum has no option 'power': it has none"):
        registry.decoder("class-sum", {"power": 2})


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_one_line_and_ours_keep_their_names() -> None:
    with pytest.raises(UserError, match=r"decoder broken \(no_such_module:Nothing\) cannot be imported"):
        registry.decoder("broken")
    np.testing.assert_allclose(scores("class-sum", np.array([[2.0, 3]]), np.array([1, 0]), 2), [[3, 2]])
    with pytest.raises(UserError, match=r"there is no decoder 'power-sun'.*did you mean power-sum"):
        registry.require("power-sun")


@pytest.mark.usefixtures("installed")
def test_it_goes_through_every_command(coded: Path, run: Run) -> None:
    assert "Class-sum of activations raised" in run("decode --list-decoders").stdout
    run("decode --decoder power-sum --option power=1")
    one = predicted("power-sum")
    set_params(decoders=["class-sum", "power-sum"], trained_decoders=["weighted", "shallow-nn"])
    set_params(decoder_options={"power-sum": {"power": 3}, "weighted": {"loud": True}})
    said = run("train-decoder").stdout
    assert "data/decoders/weighted.zarr: 100 images, LOUD" in said
    assert "data/decoders/shallow-nn.zarr: 100 images" in said
    said = run("decode").stdout
    assert all(f"data/predictions/test/{name}.zarr" in said for name in ("class-sum", "power-sum", "weighted"))
    assert not np.array_equal(one, predicted("power-sum")), "options of params.yaml count"
    assert all(name in run("evaluate").stdout for name in ("power-sum", "weighted", "shallow-nn"))
    assert "power-sum" in run("sweep lambda --values 1 --split test").stdout
    run("report")
    assert "weighted" in Path("report.html").read_text()
    set_params(decoder_options={})
    assert "weighted.zarr was learned with options" in run("decode --decoder weighted", ok=False).stderr
    for line, said in MISTAKES.items():
        assert said in run(line, ok=False).stderr
