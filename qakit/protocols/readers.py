"""Readers: file formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from qakit.values import Example

if TYPE_CHECKING:
    from qakit.problems import Problems


@runtime_checkable
class Reader(Protocol):
    """A file format."""

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the file's examples in order.

        Whatever is wrong with a record goes through ``problems``, which raises :class:`~qakit.errors.DataError` or
        counts it, as the recipe's policy says; nothing is dropped without being counted.
        """
        ...
