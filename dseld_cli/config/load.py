"""Reading params.yaml: once, whole, as DVC reads it (YAML 1.2), and every mistake one line that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from dseld_cli.config.schema import Params
from dseld_cli.errors import UserError
from dseld_cli.runtime.text import LONGEST_VALUE, quoted, shown, suggestion

PATH = Path("params.yaml")
LARGEST = 64 * 2**20
"""Bytes of a params.yaml at most."""


def load(
    overrides: Mapping[str, object] | None = None, path: Path = PATH, options: Mapping[str, str] | None = None
) -> Params:
    """Read and validate params.yaml.

    Args:
        overrides: dotted key ("lca.lambda") to what the command line says instead; None leaves the file's value.
        path: the file.
        options: dotted key to the option that overrides it ("--lambda"), for messages.

    Raises:
        UserError: naming the key or option, and what is allowed.

    """
    from pydantic import ValidationError

    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    raw = read(path)
    for key, value in given.items():
        section, _, leaf = key.rpartition(".")
        target = raw.setdefault(section, {}) if section else raw
        if isinstance(target, dict):
            target[leaf] = value
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        origins = {key: (options or {}).get(key, "command line") for key in given}
        raise UserError(_explain(error, origins, path)) from None
    if both := [name for name in params.trained_decoders if name in params.decoders]:
        raise UserError(f"{path}: {both[0]} is both in decoders and in trained_decoders: keep it in one of them")
    if params.run.device == "cuda":
        _require_cuda()
    return params


def read(path: Path = PATH) -> dict[str, Any]:
    """Read a YAML file that maps keys to values, without checking them.

    Raises:
        UserError: if there is none, or it is none.

    """
    raw = parse(read_text(path), path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} should map keys to values; `dseld init` writes one with every key explained")
    return raw


def read_text(path: Path) -> str:
    """Read a YAML file as it is, its line ends included.

    Raises:
        UserError: if there is none, or it is no text.

    """
    if not path.exists():
        raise UserError(f"no {path} in {shown(Path.cwd())}: run dseld in a project's folder, or `dseld init` makes one")
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise UserError(f"{path} is not a file of at most {LARGEST >> 20} MiB: restore it, `git checkout {path}`")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: byte {error.start} is not UTF-8") from None


def parse(text: str, path: Path) -> Any:
    """Read YAML 1.2: plain values alone, no anchors, no tags.

    Raises:
        UserError: naming the line, if it is none.

    """
    return deepcopy(_parsed(text, path))


@lru_cache(maxsize=8)
def _parsed(text: str, path: Path) -> Any:
    """Do so once for one text, which a command asks for up to four times."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.tokens import AnchorToken

    yaml = YAML(typ="safe", pure=True)
    try:
        if "&" in text and any(isinstance(token, AnchorToken) for token in yaml.scan(text)):
            raise UserError(f"{path}: anchors (&name, *name) are not read here: write each value out")
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        reason = f"{error.context or ''} {error.problem or ''}"
    except (YAMLError, ValueError) as error:  # ValueError: a date or number that none is
        where, reason = str(path), str(error)
    except RecursionError:
        where, reason = str(path), "it is nested too deeply"
    raise UserError(f"{where} is not valid YAML: {shown(' '.join(reason.split()))[:200]}")


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UserError("run.device: cuda, but torch finds no GPU here: use cpu, or a torch build for your GPU")


def _explain(error: Any, origins: Mapping[str, str], path: Path) -> str:
    """One line for the first thing wrong: where, which key, what is allowed, what was there."""
    found = error.errors(include_url=False)
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])  # misspelt, so that another is missing
    location = [part for part in first["loc"] if not str(part).startswith("function-")]
    key = ".".join(shown(part)[:LONGEST_VALUE] for part in location)
    origin = origins.get(key) or origins.get(key.rpartition(".")[0]) or str(path)
    if first["type"] == "missing":
        return f"{path}: key {key} is missing; `dseld init` writes a params.yaml with every key explained"
    if first["type"] == "extra_forbidden":
        known = _allowed(location[:-1])
        return f"{path}: unknown key {key}{suggestion(str(location[-1]), known)}; allowed here: {', '.join(known)}"
    if first["type"] == "model_type":
        return f"{origin}: {key} should have the keys {', '.join(_allowed(location))}; got {quoted(first['input'])}"
    if first["type"] == "too_short":
        return f"{origin}: {key} is empty: name at least one"
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    meant = ""
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        meant = suggestion(first["input"], first["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    return f"{origin}: {key} {message}; got {quoted(first['input'])}{meant}"


def _allowed(location: list[Any]) -> list[str]:
    model: Any = Params
    for part in location:
        model = get_args(model)[0] if isinstance(part, int) else model.model_fields[part].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
