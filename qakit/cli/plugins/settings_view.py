"""A settings model as a person writes it: each setting with its type, its default and what it means."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from qakit.components import Settings

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
_NAMES = {str: "str", NoneType: "null", Any: "any"}


@dataclass(frozen=True, slots=True)
class SettingView:
    """One setting."""

    name: str
    type: str
    """As in a recipe: ``int >= 1``, ``"mean" | "max" | null``."""
    required: bool
    default: Any
    """JSON-like; None also when there is no default."""
    description: str

    def __str__(self) -> str:
        value = "  (required)" if self.required else f" = {json.dumps(self.default, ensure_ascii=False)}"
        return f"{self.name}: {self.type}{value}"


def view_settings(model: type[Settings]) -> tuple[SettingView, ...]:
    """The settings of a component, in the order of their declaration."""
    return tuple(
        SettingView(
            name=field.alias or name,
            type=_bounded(_type_text(field.annotation), field.metadata),
            required=field.is_required(),
            default=None if field.is_required() else _json_like(field.get_default(call_default_factory=True)),
            description=" ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    )


def _json_like(value: Any) -> Any:
    return json.loads(to_json(value, inf_nan_mode="strings", fallback=str))


def _type_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join("null" if value is None else json.dumps(value, ensure_ascii=False) for value in arguments)
    if origin in (Union, UnionType):
        return " | ".join(_type_text(argument) for argument in arguments)
    if origin is Annotated:
        return _bounded(_type_text(arguments[0]), arguments[1:])
    if arguments:
        inner = ", ".join("..." if argument is Ellipsis else _type_text(argument) for argument in arguments)
        return f"{_type_text(origin)}[{inner}]"
    return _NAMES.get(annotation) or getattr(annotation, "__name__", None) or str(annotation)


def _bounded(text: str, metadata: Iterable[Any]) -> str:
    # Inside a union, `Annotated[int, Field(ge=0)]` still holds the whole Field.
    constraints = [
        inner for outer in metadata for inner in (outer.metadata if isinstance(outer, FieldInfo) else [outer])
    ]
    bounds = (
        f"{sign} {getattr(constraint, key)}"
        for constraint in constraints
        for key, sign in _BOUNDS.items()
        if getattr(constraint, key, None) is not None
    )
    return " ".join([text, ", ".join(bounds)]).rstrip()
