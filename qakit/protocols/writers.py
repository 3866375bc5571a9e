"""Writers: submission formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from qakit.values import Prediction


@runtime_checkable
class Writer(Protocol):
    """A submission format."""

    suffix: str
    """File ending with the dot."""

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write the file atomically: the old one or the new one is there, never half of one."""
        ...

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against the competition's sample submission; empty when it is fine."""
        ...
