"""The command line as a stranger meets it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import dseld_cli
from dseld_cli.cli.app import app
from dseld_cli.cli.options import told
from tests.conftest import Run, set_params

COMMANDS = ["extract", "build-dict", "gramian", "encode", "decode", "evaluate", "add-exemplars"]
COMMANDS += ["remove-exemplars", "relabel", "audit", "classify", "verify", "deploy-check", "export"]
COMMANDS += ["train-decoder", "baselines", "workload", "reconstruct", "report", "sweep", "tune", "init", "timing"]


def test_help_shows_every_command_and_an_example(run: Run) -> None:
    said = run("--help").stdout
    assert all(command in said for command in COMMANDS)
    assert "dvc repro" in said
    assert run("").stdout.strip() == said.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_and_fits_a_terminal(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = run(f"{command} --help").stdout
    assert f"dseld {command}" in said.split("Example:")[1]
    assert "params.yaml" in said
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert "<bool>" not in said


def test_no_line_of_a_command_s_help_breaks_in_80_columns() -> None:
    """Each is printed as it is, two columns from the left and from the right."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for line in (command.help or "").splitlines()[1:]:
            assert len(re.sub(r"\[/?dim\]", "", line)) <= 78, (name, line)


def test_help_tells_what_a_key_is_and_its_value_here(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    set_params(lca__lambda=2.5)
    said = " ".join(run("encode --help").stdout.split())
    assert "a neuron fires while |membrane potential| > lambda. (lca.lambda: 2.5)" in said
    Path("params.yaml").unlink()
    assert "(lca.lambda)" in run("encode --help").stdout
    assert "pip install 'dseld[lite]', weights" in " ".join(run("extract --help").stdout.split())


@pytest.mark.parametrize("value", [r"\[/x]", r"folder:C:\pics\[new]", "[red]", "[/dim])", "a\\"])
def test_help_shows_a_value_as_it_is(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    set_params(data__dataset=value)
    assert f"(data.dataset: {value})" in " ".join(run("extract --help").stdout.split())


def test_an_argument_that_is_missing_is_told_by_its_command(run: Run) -> None:
    assert "`dseld encode --help` tells more" in run("encode --lambda", ok=False).stderr


def test_version(run: Run) -> None:
    assert run("--version").stdout.strip() == f"dseld {dseld_cli.__version__}"


MISTAKES = [
    ("encode --lamda 2", "--lambda"),
    ("encode --lambda", "requires an argument"),
    ("encode --lambda two", "--lambda: lca.lambda should be a valid number; got 'two'"),
    ("encode --lambda 0", "--lambda: lca.lambda should be greater than 0; got 0"),
    ("encode --lambda nan", "--lambda: lca.lambda should be"),
    ("encode --tau 1e400", "--tau: lca.tau should be a finite number"),
    ("encode --steps 1.5", "--steps: lca.steps should be a valid integer"),
    ("encode --steps ²", "--steps: lca.steps should be a valid integer; got '²'"),
    ("encode --steps " + "9" * 5000, "--steps: lca.steps should be"),
    ("encode --images=--5", "--images: encode.images should be 'all' or a whole number of at least 1; got '--5'"),
    (
        "encode --split train --images 0",
        "--images: train_decoder.images should be 'all' or a whole number of at least 1; got 0",
    ),
    ("encode --split foo", "'foo' is not one of 'train', 'val', 'test'"),
    (
        "encode --method workingset",
        "encode.method should be 'working-set' or 'direct'; got 'workingset' (did you mean",
    ),
    ("encode --memory 1e400GiB", "--memory: run.memory should be a size of at least 1.5GiB"),
    ("encode --memory " + "9" * 400 + "GiB", "--memory: run.memory should be a size"),
    ("build-dict --size ²", "--size: build_dict.size should be 'all' or a whole number of at least 1; got '²'"),
    ("build-dict --seed -1", "--seed: build_dict.seed should be greater than or equal to 0; got -1"),
    ("baselines --baseline knn", "--baseline: baselines.names.0 should be 'nearest-class-mean', 'cosine-knn'"),
    ("decode --decoder clas-sum", "(did you mean class-sum?)"),
    ("encodee", "Did you mean 'encode'"),
    ("classify", "give images, folders of them or -"),
    ("sweep foo", "'foo' is not one of 'size', 'lambda', 'tau', 'steps'"),
    ("sweep tau --values 1,x", "--values '1,x': should be numbers"),
    ("timing --batch 0", "--batch should be at least 1"),
    ("workload --atoms -5 --features 1", "--atoms should be at least 1"),
    ("init x --preset cifar100-resnet125", "(did you mean cifar100-resnet152?)"),
    ("init ~nobody-of-this-name/x", "there is no such home folder"),
]


@pytest.mark.parametrize(("line", "said"), MISTAKES, ids=[line[:30] for line, _ in MISTAKES])
def test_a_mistake_on_the_command_line_is_one_line(project: Path, run: Run, line: str, said: str) -> None:
    found = run(line, ok=False).stderr
    assert said in found
    assert len(found) <= 501


def test_the_first_line_tells_with_what_a_command_runs(project: Path, run: Run) -> None:
    set_params(train_decoder__images=7)
    said = run("encode --split train --tau 50", ok=False).stdout
    assert said.startswith("dseld encode: split train, lambda 1, tau 50, steps 100,")
    assert "images 7, seed 0" in said
    assert "memory 4GiB" in said
    assert run("classify x.jpg --json", ok=False).stdout == ""


def test_an_option_given_with_its_default_of_the_file_changes_nothing_else(project: Path, run: Run) -> None:
    plain, given = (run(f"gramian{option}", ok=False).stdout for option in ("", " --memory 4GiB"))
    assert plain == given


def test_every_option_of_a_key_is_documented_by_its_field() -> None:
    from typer.main import get_command

    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            if "__" in parameter.name:
                assert re.search(r"\w.* \[dim\]\([a-z_]+\.[a-z_]+\)", told(parameter.name.replace("__", ".")))
            elif parameter.param_type_name == "option":
                assert parameter.help


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dseld_cli", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "dseld")
