"""The documentation of the recipe's fields: the string below each field in the module of its section.

Read from the source when it is needed. pydantic's ``use_attribute_docstrings`` reads it whenever the module is
imported, which takes longer than all the rest of that import.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from types import ModuleType

from pydantic import BaseModel

from qakit.recipe.section import Section


def field_doc(section: type[BaseModel], name: str) -> str:
    """What a field means, on one line; empty when nothing is said."""
    given = section.model_fields[name].description
    if given is None and issubclass(section, Section):
        given = _docs(sys.modules[section.__module__]).get((section.__name__, name))
    return " ".join((given or "").split())


@cache
def _docs(module: ModuleType) -> dict[tuple[str, str], str]:
    """The string that follows each annotated assignment of each class, by (class, field)."""
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    return {
        (node.name, field.target.id): text.value.value
        for node in classes
        for field, text in pairwise(node.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
