"""metrics.jsonl and timings.jsonl: append-only, and cut back to a checkpoint on resume."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.files import folder_to_disk, writing
from qakit.runs import Run


@dataclass(frozen=True, slots=True)
class Journal:
    """Writes a run's logs. With ``writes=False`` (processes other than the first) it does nothing."""

    run: Run
    writes: bool = True
    elapsed: Callable[[], float] | None = None
    """Of a training that has a limited time: the seconds it has taken, noted with the clock times."""

    def metrics(self, **entry: Any) -> None:
        """One line of figures. No clock times: the file is the same for an interrupted and an uninterrupted run."""
        self._append(self.run.metrics_log, entry)

    def timing(self, **entry: Any) -> None:
        """One line of clock times."""
        self._append(self.run.timings_log, entry if self.elapsed is None else entry | {"elapsed": self.elapsed()})

    def size(self) -> int:
        """Bytes in metrics.jsonl, after bringing them to disk."""
        if not self.writes or not self.run.metrics_log.exists():
            return 0
        with writing(self.run.metrics_log), self.run.metrics_log.open("rb") as file:
            os.fsync(file.fileno())
            folder_to_disk(self.run.folder)  # the file's name may be new
            return file.seek(0, os.SEEK_END)

    def losses(self) -> list[float]:
        """The losses logged so far; none in processes that don't write."""
        if not self.writes:
            return []
        lines = [line for line in self.run.metrics() if line["type"] == "train"]
        return [line["loss"] for line in lines if line["loss"] is not None]

    def cut(self, size: int) -> None:
        """Forget what was written after a checkpoint, and half a line of clock times."""
        if not self.writes:
            return
        if self.run.metrics_log.exists():
            with writing(self.run.metrics_log), self.run.metrics_log.open("rb+") as file:
                file.truncate(min(size, file.seek(0, os.SEEK_END)))
        if self.run.timings_log.exists():
            with writing(self.run.timings_log), self.run.timings_log.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    def _append(self, path: Path, entry: Mapping[str, Any]) -> None:
        if self.writes:
            with writing(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
