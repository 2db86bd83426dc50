"""params.yaml: what it says is what commands get, and every mistake is one line that names the key."""

from pathlib import Path

import pytest
import yaml

from dseld_cli.config.schema import edit, load, parse_memory
from dseld_cli.errors import UserError
from tests.conftest import ROOT, set_params


def test_shipped_file_is_valid_and_describes_the_digits(project: Path) -> None:
    params = load()
    assert (params.data.dataset, params.lca.lambda_, params.build_dict.size) == ("digits", 1.0, "all")


def test_command_line_overrides_a_value(project: Path) -> None:
    assert load({"lca.lambda": 2.5, "lca.tau": None}).lca.lambda_ == 2.5
    assert load().lca.lambda_ == 1.0


def test_every_key_has_a_comment_above_it() -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    for number, line in enumerate(lines):
        key = line.strip().split(":")[0]
        is_leaf = line.startswith("  ") or not isinstance(sections.get(key), dict)
        if line.strip() and not line.strip().startswith("#") and is_leaf:
            assert lines[number - 1].strip().startswith("#"), line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lca__lambda": 0}, "lca.lambda should be greater than 0; got 0"),
        ({"lca__lambda": -1.5}, "lca.lambda should be greater than 0; got -1.5"),
        ({"lca__lambda": "two"}, "lca.lambda should be a valid number; got 'two'"),
        ({"lca__lambda": float("nan")}, "lca.lambda should be"),
        ({"lca__steps": 0}, "lca.steps should be greater than or equal to 1; got 0"),
        ({"lca__steps": 1.5}, "lca.steps should be a valid integer; got 1.5"),
        ({"lca__tau": 0.5}, "lca.tau should be greater than or equal to 1; got 0.5"),
        ({"lca__lamda": 2}, "unknown key lca.lamda; allowed here: lambda, tau, steps"),
        ({"extra": 1}, "unknown key extra; allowed here: data, extract"),
        ({"build_dict__size": 0}, "build_dict.size should be 'all' or a whole number of at least 1; got 0"),
        ({"build_dict__size": "some"}, "build_dict.size should be 'all' or a whole number of at least 1; got 'some'"),
        ({"build_dict__seed": -1}, "build_dict.seed should be greater than or equal to 0; got -1"),
        ({"encode__inhibition": "both"}, "encode.inhibition should be 'atoms' or 'gramian'; got 'both'"),
        ({"decoders": []}, "decoders"),
        ({"decoders": ["sum"]}, "decoders.0 should be 'max-activation', 'class-sum'"),
        ({"run__memory": "1GiB"}, "run.memory should be a size of at least 1.5GiB"),
        ({"run__memory": "much"}, "run.memory should be a size of at least 1.5GiB"),
        ({"run__device": "tpu"}, "run.device should be 'cpu' or 'cuda'; got 'tpu'"),
        ({"additions": "june"}, "additions should be a valid list; got 'june'"),
        ({"removals": "june"}, "removals should be a valid list; got 'june'"),
        ({"compact": 1}, "compact should be a valid boolean; got 1"),
        ({"gramian__dtype": "float64"}, "gramian.dtype should be 'float32' or 'float16'; got 'float64'"),
        ({"lca": 3}, "lca should be a valid dictionary"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(project: Path, change: dict[str, object], said: str) -> None:
    set_params(**change)
    with pytest.raises(UserError) as error:
        load()
    assert str(error.value).startswith("params.yaml: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named(project: Path) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    del content["lca"]["tau"]
    Path("params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"params.yaml: key lca.tau is missing"):
        load()


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(project: Path) -> None:
    with pytest.raises(UserError, match=r"^command line: lca.steps should be"):
        load({"lca.steps": 0})


@pytest.mark.parametrize("content", ["[1, 2]", "lca: {", "\tx", ""])
def test_what_is_no_mapping_is_refused_in_one_line(project: Path, content: str) -> None:
    Path("params.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        load()
    assert "\n" not in str(error.value)


def test_no_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)):
        load()


@pytest.mark.parametrize(("text", "size"), [("4GiB", 2**32), ("1536MiB", 3 * 2**29), ("2.5G", 5 * 2**29)])
def test_memory_is_read_in_binary_units(text: str, size: int) -> None:
    assert parse_memory(text) == size


def test_editing_lists_touches_no_other_line_and_can_be_taken_back(project: Path) -> None:
    file = Path("params.yaml")
    before = file.read_text()
    steps: list[dict[str, object]] = [
        {"additions": ["data/june.zarr"]},
        {"removals": ["a.png", "folder:x: y/#1.png"]},
        {"additions": ["data/june.zarr", "folder:data/july"], "compact": True},
        {"removals": ["folder:x: y/#1.png"], "additions": ["folder:data/july"]},
    ]
    for changes in steps:
        edit(changes)
        assert {key: yaml.safe_load(file.read_text())[key] for key in changes} == changes
        comments = [line for line in file.read_text().splitlines() if line.lstrip().startswith("#")]
        assert comments == [line for line in before.splitlines() if line.lstrip().startswith("#")]
    edit({"additions": [], "removals": [], "compact": False})
    assert file.read_text() == before


def test_comments_between_items_stay_and_other_layouts_are_refused(project: Path) -> None:
    file = Path("params.yaml")
    text = file.read_text()
    for other in ("additions:\n- a.zarr  # May\n# why\n  # june\n- b.zarr", '"additions": []'):
        file.write_text(text.replace("additions: []", other))
        with pytest.raises(UserError, match="additions is laid out"):
            edit({"additions": ["a.zarr", "b.zarr", "c.zarr"]})
    file.write_text(text.replace("additions: []", "additions:\n  - a.zarr  # May\n  # june\n  - b.zarr"))
    edit({"additions": ["a.zarr", "b.zarr", "c.zarr"]})
    assert "additions:\n  - a.zarr  # May\n  # june\n  - b.zarr\n  - c.zarr\n" in file.read_text()


def test_a_gpu_that_is_not_there_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="torch finds no GPU here"):
        load({"run.device": "cuda"})
