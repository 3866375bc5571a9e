"""The observer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qakit.api import Evaluated, ObserverRuntime

if TYPE_CHECKING:
    from qakit_curve import CurveSettings


class Curve:
    """Writes steps and figures into a file in the run's folder, which begins with the first of them, not before."""

    def __init__(self, settings: CurveSettings, runtime: ObserverRuntime) -> None:
        self.file = runtime.folder / settings.file

    def observe(self, event: Any) -> None:
        """Of the events it knows one; others pass."""
        if isinstance(event, Evaluated):
            self._write({"step": event.step, **event.figures})

    def close(self, error: str | None) -> None:
        """How it ended, where it had begun."""
        if self.file.is_file():
            self._write({"ended": error or "done"})

    def _write(self, line: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
