"""For the site: a docstring's ``:class:`~package.Name``` becomes the name in code."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":[a-z]+:`(~?)([^`]+)`")


class Roles(griffe.Extension):
    """Rewrites each docstring that is collected."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace roles in the object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(_name, obj.docstring.value)


def _name(role: re.Match[str]) -> str:
    short, name = role.groups()
    return f"`{name.rpartition('.')[2] if short else name}`"
