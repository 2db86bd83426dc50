"""The schema of params.yaml and the shipped file tell the same."""

from collections.abc import Iterator

from pydantic import BaseModel

from dseld_cli.config.described import descriptions
from dseld_cli.config.schema import Params
from tests.conftest import ROOT


def documented(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each key of the schema, dotted, with its docstring on one line."""
    for name, field in model.model_fields.items():
        key, kind = prefix + (field.alias or name), field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from documented(kind, f"{key}.")
        else:
            yield key, descriptions(model).get(name, "")


def commented(text: str) -> Iterator[tuple[str, str]]:
    """Each key of the file, dotted, with the comment above it on one line."""
    section, comment = "", list[str]()
    for line in text.splitlines():
        if line.strip().startswith("#"):
            comment.append(line.strip(" #"))
        elif line.strip():
            key, _, value = line.strip().partition(":")
            if line.startswith(" "):
                yield f"{section}.{key}", " ".join(comment)
            elif value:
                yield key, " ".join(comment)
            else:
                section = key
        if not line.strip().startswith("#"):
            comment = []


def test_comments_of_the_shipped_file_are_the_docstrings_of_the_schema() -> None:
    found, told = dict(commented((ROOT / "params.yaml").read_text())), dict(documented(Params))
    assert found == told
    assert all(told.values())
