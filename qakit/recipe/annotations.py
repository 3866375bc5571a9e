"""What a settings field accepts: found by path, and said in plain words."""

from __future__ import annotations

import ast
import enum
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qakit.recipe.model import HubSplit, IsPath, PluginRef
from qakit.recipe.section import Section

_NUMBERS = {int: "an integer", float: "a number"}
_BOUNDS = {"gt": "greater than", "ge": "of at least", "lt": "below", "le": "of at most"}
_PLURALS = {
    "text": "texts",
    "a path": "paths",
    "an integer": "integers",
    "a number": "numbers",
    "a plugin": "plugins",
    "a name": "names",
    "a path or a mapping with `dataset` and `split`": "paths and such mappings",
}


def field_annotation(model: type[BaseModel], name: str) -> Any | None:
    """The annotation of a field, with its constraints; None when there is no such field."""
    for own_name, field in model.model_fields.items():
        if name in (own_name, field.alias):
            annotation: Any = field.annotation
            for constraint in field.metadata:
                annotation = Annotated[annotation, constraint]
            return annotation
    return None


def alternatives(annotation: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """The members of a union, each with its constraints: ``Annotated[A, x] | B`` -> ``[(A, (x,)), (B, ())]``."""
    annotation = getattr(annotation, "__value__", annotation)  # of `type X = ...`
    if get_origin(annotation) is Annotated:
        inner, *given = get_args(annotation)
        metadata = [item for mark in given for item in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        return [(member, (*own, *metadata)) for member, own in alternatives(inner)]
    if get_origin(annotation) in (Union, UnionType):
        return [pair for argument in get_args(annotation) for pair in alternatives(argument)]
    return [(annotation, ())]


def below(annotation: Any, part: str) -> Any | None:
    """The annotation of the value under a key or index, or None where nothing is known."""
    for member, _ in alternatives(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            found = field_annotation(member, part)
        else:
            found = _item(member, part)
        if found is not None:
            return found
    return None


def at_path(model: type[BaseModel], path: Sequence[str]) -> Any | None:
    """The annotation of the value at a path below a model, or None."""
    annotation: Any = model
    for part in path:
        annotation = below(annotation, part) if annotation is not None else None
    return annotation


def describe(annotation: Any) -> str:
    """What a value must be: ``an integer greater than 0``, ``'linear', 'cosine' or 'constant'``."""
    members = [pair for pair in alternatives(annotation) if pair[0] is not NoneType]
    words = list(dict.fromkeys(_one(member, metadata) for member, metadata in members))
    if len(members) < len(alternatives(annotation)):
        words.append("null")
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def sections(annotation: Any) -> list[type[Section]]:
    """The sections that a value may be, or that it may list."""
    found: list[type[Section]] = []
    for member, _ in alternatives(annotation):
        if isinstance(member, type) and issubclass(member, Section):
            found.append(member)
        elif get_origin(member) is list:
            found += sections(get_args(member)[0])
    return found


def literals(annotation: Any) -> list[str]:
    """The texts that are spelt out as choices."""
    return [choice for member, _ in alternatives(annotation) for choice in _choices(member) if isinstance(choice, str)]


def _item(member: Any, part: str) -> Any | None:
    origin, arguments = get_origin(member), get_args(member)
    if not (isinstance(origin, type) and arguments):
        return None
    if issubclass(origin, Mapping):
        return arguments[1]
    if not part.isdigit():
        return None
    if origin is tuple and Ellipsis not in arguments:
        return arguments[int(part)] if int(part) < len(arguments) else None
    return arguments[0]


def _choices(member: Any) -> list[Any]:
    if get_origin(member) is Literal:
        return list(get_args(member))
    if isinstance(member, type) and issubclass(member, enum.Enum):
        return [choice.value for choice in member]
    return []


def _one(member: Any, metadata: Sequence[Any]) -> str:
    if choices := _choices(member):
        shown = [_literal(choice) for choice in choices]
        return " or ".join((", ".join(shown[:-1]), shown[-1])) if len(shown) > 1 else shown[0]
    if member is bool:
        return "true or false"
    if member in _NUMBERS:
        return _NUMBERS[member] + _bounds(metadata)
    if member is str:
        return _text(metadata)
    if member is Any:
        return "anything"
    if isinstance(member, type) and issubclass(member, Path):
        return "a path"
    if member is PluginRef:
        return "a plugin (its name, or a mapping with `name`)"
    if member is HubSplit:
        return "a mapping with `dataset` and `split`"
    return _container(member, _length(metadata))


def _container(member: Any, length: str) -> str:
    origin, arguments = get_origin(member) or member, get_args(member)
    if isinstance(origin, type) and issubclass(origin, (list, tuple, AbstractSet)):
        count = str(len(arguments)) if origin is tuple and arguments and Ellipsis not in arguments else length
        return f"a list of {count} {_plural(arguments[0])}".replace("  ", " ") if arguments else "a list"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names to {_plural(arguments[1])}" if arguments else "a mapping"
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return "a mapping"
    return getattr(member, "__name__", str(member))


def _plural(annotation: Any) -> str:
    words = describe(annotation).replace(" (its name, or a mapping with `name`)", "")
    return _PLURALS.get(words) or (f"values ({words})" if words else "values")


def _text(metadata: Sequence[Any]) -> str:
    for constraint in metadata:
        if isinstance(constraint, IsPath):
            return "a path or a name" if constraint.or_name else "a path"
    patterns = [pattern for item in metadata if (pattern := getattr(item, "pattern", None)) is not None]
    length = f" with a length of {length}" if (length := _length(metadata)) else ""
    return f"text that matches `{patterns[0]}`" if patterns else f"text{length}"


def _length(metadata: Sequence[Any]) -> str:
    """``2 or more``, ``up to 3``, ``1``; empty for any."""
    found = ([getattr(item, key, None) for item in metadata] for key in ("min_length", "max_length"))
    least, most = (next((end for end in ends if end is not None), None) for ends in found)
    if least is None:
        return "" if most is None else f"up to {most}"
    return f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"


def _bounds(metadata: Sequence[Any]) -> str:
    """`` greater than 0 and below 10``."""
    bounds = [
        f"{words} {getattr(item, key)}"
        for item in metadata
        for key, words in _BOUNDS.items()
        if getattr(item, key, None) is not None
    ]
    return " " + " and ".join(bounds) if bounds else ""


def _literal(choice: Any) -> str:
    if choice is None or isinstance(choice, bool):
        return json.dumps(choice)
    return repr(choice)


def all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The keys of a model and of its sections, dotted."""
    for name, field in model.model_fields.items():
        yield prefix + name
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel) and section is not PluginRef:
            yield from all_keys(section, f"{prefix}{name}.")


def field_doc(section: type[BaseModel], name: str) -> str:
    """What a field means, on one line: its description, or the string below it in the source; empty for nothing.

    pydantic's ``use_attribute_docstrings`` would read the source whenever the module is imported, which takes longer
    than all the rest of that import.
    """
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
