"""params.yaml: what it says is what commands get, and every mistake is one line that names the key."""

from pathlib import Path

import pytest
import yaml

from dseld_cli.config.load import load
from dseld_cli.config.values import parse_memory
from dseld_cli.errors import UserError
from tests.conftest import set_params


def test_shipped_file_is_valid_and_describes_the_digits(project: Path) -> None:
    params = load()
    assert (params.data.dataset, params.lca.lambda_, params.build_dict.size) == ("digits", 1.0, "all")


def test_command_line_overrides_a_value(project: Path) -> None:
    assert load({"lca.lambda": 2.5, "lca.tau": None}).lca.lambda_ == 2.5
    assert load().lca.lambda_ == 1.0


def test_what_was_given_once_does_not_stay(project: Path) -> None:
    before = load()
    assert load({"lca.lambda": 7.0, "decoders": ["class-sum"]}).lca.lambda_ == 7
    assert load() == before


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
        ({"lca__lamda": 2}, "unknown key lca.lamda (did you mean lambda?); allowed here: lambda, tau, steps"),
        ({"more": 1}, "unknown key more; allowed here: data, extract"),
        ({"build_dict__size": 0}, "build_dict.size should be 'all' or a whole number of at least 1; got 0"),
        ({"build_dict__size": "some"}, "build_dict.size should be 'all' or a whole number of at least 1; got 'some'"),
        ({"build_dict__seed": -1}, "build_dict.seed should be greater than or equal to 0; got -1"),
        ({"encode__inhibition": "both"}, "encode.inhibition should be 'auto', 'gramian' or 'atoms'; got 'both'"),
        ({"decoders": []}, "decoders"),
        ({"decoders": ["sum"]}, "decoders.0 should be a decoder: max-activation, class-sum"),
        ({"run__memory": "1GiB"}, "run.memory should be a size of at least 1.5GiB"),
        ({"run__memory": "much"}, "run.memory should be a size of at least 1.5GiB"),
        ({"run__device": "tpu"}, "run.device should be 'cpu' or 'cuda'; got 'tpu'"),
        ({"additions": "june"}, "additions should be a valid list; got 'june'"),
        ({"removals": "june"}, "removals should be a valid list; got 'june'"),
        ({"compact": 1}, "compact should be a valid boolean; got 1"),
        ({"gramian__dtype": "float64"}, "gramian.dtype should be 'float32' or 'float16'; got 'float64'"),
        ({"lca": 3}, "lca should have the keys lambda, tau, steps; got 3"),
        ({"relabels": ["x"]}, "relabels.0 should have the keys image, class; got 'x'"),
        ({"relabels": [{"image": "a"}]}, "key relabels.0.class is missing"),
        (
            {"relabels": [{"image": "a", "clas": "b"}]},
            "unknown key relabels.0.clas (did you mean class?); allowed here: image, class",
        ),
        ({"relabels": [{"image": "a", "class": 5}]}, "relabels.0.class should be a valid string; got 5"),
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


def nested(key: str, value: str) -> str:
    """The shipped params.yaml with the line of a top-level list replaced."""
    return Path("params.yaml").read_text().replace(f"{key}: []", f"{key}: {value}")


BOMB = "\n".join(["x0: &x0 [a, a]", *(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 9))])
NOT_YAML = [
    ("[1, 2]", "should map keys"),
    ("", "should map keys"),
    ("lca: {", "line 1 is not valid YAML"),
    ("\tx", "is not valid YAML"),
    ("a: 1\na: 2", "duplicate key"),
    ("a: \x1b", "is not valid YAML"),
    ("a: 2020-13-45", "is not valid YAML: month must be in 1..12"),
    ("a: " + "9" * 5000, "is not valid YAML: Exceeds the limit"),
    ("a: " + "[" * 1000, "nested too deeply"),
    (BOMB, "anchors"),
    ("a: !!python/object/apply:os.system [ls]", "is not valid YAML"),
]


@pytest.mark.parametrize(("content", "said"), NOT_YAML)
def test_what_is_no_plain_mapping_is_refused_in_one_line(project: Path, content: str, said: str) -> None:
    Path("params.yaml").write_text(content)
    with pytest.raises(UserError, match=said) as error:
        load()
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 500


def test_bytes_that_are_no_text_and_folders_are_refused_in_one_line(project: Path) -> None:
    file = Path("params.yaml")
    file.write_bytes(b"data: \xff")
    with pytest.raises(UserError, match="byte 6 is not UTF-8"):
        load()
    file.unlink()
    file.mkdir()
    with pytest.raises(UserError, match="is not a file"):
        load()


@pytest.mark.parametrize("written", ["1e0", "2e0", "1.5e-1", "+1e3", "1_000", "0x10"])
def test_numbers_are_read_as_dvc_reads_them(project: Path, written: str) -> None:
    from dvc.utils.serialize import parse_yaml

    file = Path("params.yaml")
    file.write_text(file.read_text().replace("tau: 100.0", f"tau: {written}"))
    read_by_dvc = parse_yaml(file.read_text(), "params.yaml")["lca"]["tau"]
    if read_by_dvc >= 1:
        assert load().lca.tau == read_by_dvc
    else:
        with pytest.raises(UserError, match=f"got {read_by_dvc}"):
            load()


@pytest.mark.parametrize(
    "value", ["x" * 10_000, list(range(10_000)), "\x1b[31m\n\u202e", [2**60_000], {"a": [[[["b"]]]] * 99}]
)
def test_a_value_is_quoted_in_80_printable_characters(project: Path, value: object) -> None:
    with pytest.raises(UserError) as error:
        load({"lca.steps": value})
    got = str(error.value).partition("got ")[2]
    assert got.isprintable()
    assert 0 < len(got) <= 80


def test_a_whole_number_may_be_written_with_an_exponent(project: Path) -> None:
    set_params(lca__steps=2e2, build_dict__size=1e3, build_dict__seed=1e0)
    params = load({"extract.image_size": 1.6e2})
    found = [params.lca.steps, params.build_dict.size, params.build_dict.seed, params.extract.image_size]
    assert found == [200, 1000, 1, 160]
    assert all(type(number) is int for number in found)


def test_a_misspelt_key_is_named_rather_than_the_one_that_is_missing(project: Path) -> None:
    file = Path("params.yaml")
    file.write_text(file.read_text().replace("lambda: 1.0", "lamda: 1.0"))
    with pytest.raises(UserError, match=r"unknown key lca.lamda \(did you mean lambda\?\)"):
        load()


def test_a_misspelt_name_is_guessed(project: Path) -> None:
    with pytest.raises(UserError, match=r"\(did you mean shallow-nn\?\)"):
        load({"trained_decoders": ["shalow-nn"]})


def test_no_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)):
        load()


@pytest.mark.parametrize(("text", "size"), [("4GiB", 2**32), ("1536MiB", 3 * 2**29), ("2.5G", 5 * 2**29)])
def test_memory_is_read_in_binary_units(text: str, size: int) -> None:
    assert parse_memory(text) == size


def test_a_gpu_that_is_not_there_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="torch finds no GPU here"):
        load({"run.device": "cuda"})


def test_a_decoder_is_either_trained_or_not(project: Path) -> None:
    set_params(trained_decoders=["class-sum"])
    with pytest.raises(UserError, match="class-sum is both in decoders and in trained_decoders"):
        load()
