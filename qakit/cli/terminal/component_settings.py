"""``--reader-set key=value`` and its like: settings of one component, outside a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from qakit.components import Kind, Settings
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.registry import Registry


def build_component(
    registry: Registry, kind: Kind, name: str, assignments: Sequence[str] | None, *, option: str
) -> Any:
    """A component that needs to know nothing when it is built, with the settings of ``key=value`` words.

    Raises:
        UsageError: see :func:`parse_settings`.
        PluginError: see :meth:`~qakit.registry.Registry.build`.
    """
    from qakit.protocols import NoRuntime

    model = registry.get(kind, name).component.settings
    return registry.build(kind, name, parse_settings(assignments or [], model, option=option), NoRuntime())


def parse_settings(assignments: Sequence[str], model: type[Settings], *, option: str) -> dict[str, Any]:
    """The settings of ``key=value`` words: values are JSON where they read as JSON and the setting is not plain text.

    The values themselves are checked when the component is built; ``option`` is for messages.

    Raises:
        UsageError: a word has no ``=``, or a key comes twice.
    """
    settings: dict[str, Any] = {}
    example = "".join(f", for example {name}=..." for name in list(model.model_fields)[:1])
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {assignment!r} should be key=value{example}")
        if key in settings:
            raise UsageError(f"{option} names {key!r} twice")
        field = model.model_fields.get(key)
        kind = None if field is None else field.annotation
        value = _value(text)
        a_number_as_text = str in get_args(kind) and isinstance(value, int | float)  # ``id=0`` names a column
        settings[key] = text if kind is str or a_number_as_text else value
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
