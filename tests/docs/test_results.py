"""The page of results is what its figures give: none of them is typed by hand."""

import importlib.util
import json

import pytest

from tests.conftest import ROOT

RESULTS = ROOT / "benchmarks/results.py"
spec = importlib.util.spec_from_file_location("results", RESULTS)
assert spec
assert spec.loader
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)

FIGURES = sorted((ROOT / "benchmarks/figures").glob("*.json"))


def test_the_page_is_what_the_figures_give() -> None:
    assert (ROOT / "docs/results.md").read_text() == results.page()


@pytest.mark.parametrize("figure", [file for file in FIGURES if file.stem != "faults"], ids=lambda file: file.stem)
def test_a_figure_says_when_and_on_what_it_was_measured(figure) -> None:  # type: ignore[no-untyped-def]
    found = json.loads(figure.read_text())
    assert {"date", "command", "processor", "cores", "versions"} <= found.keys()
    assert figure.stem in results.RUNS
    assert "/root" not in figure.read_text()
