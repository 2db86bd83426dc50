"""What an option says holds for one run, and is kept in params.yaml on request."""

from pathlib import Path

from tests.conftest import Run


def test_an_option_is_kept_on_request_and_else_said_not_to_be(project: Path, run: Run) -> None:
    shipped = Path("params.yaml").read_text()
    said = run("extract --limit-per-class 3").output
    assert "extract.limit_per_class 3; --save" in said
    assert Path("params.yaml").read_text() == shipped
    run("extract --limit-per-class 4 --save")
    assert Path("params.yaml").read_text() == shipped.replace("limit_per_class: all", "limit_per_class: 4")
    assert "--save" not in run("extract").output
    assert "--save" not in run("extract --limit-per-class 4").output


def test_nothing_is_kept_of_a_run_that_failed(project: Path, run: Run) -> None:
    shipped = Path("params.yaml").read_text()
    run("extract --dataset folder:nowhere --save", ok=False)
    assert Path("params.yaml").read_text() == shipped
