"""``--set key=value`` for one component, outside a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qakit.components import Settings
from qakit.errors import UsageError


def parse_settings(assignments: Sequence[str], model: type[Settings]) -> dict[str, Any]:
    """The settings of ``key=value`` words: values are JSON where they read as JSON and the setting is not plain text.

    The values themselves are checked when the component is built.

    Raises:
        UsageError: a word has no ``=``, or a key comes twice.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {assignment!r} should be key=value, for example remove_characters=,")
        if key in settings:
            raise UsageError(f"--set names {key!r} twice")
        field = model.model_fields.get(key)
        settings[key] = text if field is not None and field.annotation is str else _value(text)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
