"""What each key of params.yaml is: the docstring below it in the schema, read from there when a help page asks.

pydantic would do it too, at the start of every command.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


@cache
def descriptions(section: type[BaseModel]) -> dict[str, str]:
    """Name of each field of a part of the schema to its docstring, on one line; none where there is no source."""
    try:
        source = inspect.getsource(section)
    except OSError:
        return {}
    (its_class,) = ast.parse(source).body
    assert isinstance(its_class, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(its_class.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
