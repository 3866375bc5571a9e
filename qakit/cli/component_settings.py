"""``--set key=value`` for one component, outside a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qakit.components import Settings
from qakit.errors import UsageError

_EXAMPLES = {"--set": ", for example remove_characters=,", "--reader-set": ", for example task=CoLA"}


def parse_settings(assignments: Sequence[str], model: type[Settings], *, option: str = "--set") -> dict[str, Any]:
    """The settings of ``key=value`` words: values are JSON where they read as JSON and the setting is not plain text.

    The values themselves are checked when the component is built; ``option`` is for messages.

    Raises:
        UsageError: a word has no ``=``, or a key comes twice.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {assignment!r} should be key=value{_EXAMPLES.get(option, '')}")
        if key in settings:
            raise UsageError(f"{option} names {key!r} twice")
        field = model.model_fields.get(key)
        settings[key] = text if field is not None and field.annotation is str else _value(text)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
