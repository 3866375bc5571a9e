"""A reader for qakit: lines of JSON as in MRQA's shared task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, NoSettings, Reader, hookimpl

MRQA_LINES: Component[NoSettings, NoRuntime, Reader] = Component(
    name="mrqa_lines",
    summary="One context a line with its questions (MRQA 2019)",
    settings=NoSettings,
    build="qakit_mrqa_lines.reader:MrqaLines",
)


@hookimpl
def qakit_register_readers() -> Iterable[Component[Any, Any, Any]]:
    """The readers of this package."""
    return [MRQA_LINES]
