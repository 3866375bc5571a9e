"""Shows files that are fetched from the hub or converted: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from qakit import hub
from qakit.cli.terminal.console import err, plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS = 10.0
"""Between two lines about one file."""
PATIENCE = 2.0
"""What is done in less is not worth a line."""


class Lines:
    """Tells of slow files in lines of text."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._what = ""
        self._next = 0.0

    def __call__(self, progress: hub.Progress) -> None:
        now = time.monotonic()
        if progress.what != self._what:
            self._what, self._next = progress.what, now + PATIENCE
        elif now >= self._next and progress.done < progress.total:
            self._next = now + SECONDS
            done, total = progress.done / 1e6, progress.total / 1e6
            self._write(f"{progress.what}: {done:,.0f} of {total:,.0f} MB")


class FileDisplay:
    """Listens to :func:`qakit.hub.reporting` for a whole command; use it as a context manager."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._task: tuple[str, TaskID] | None = None
        self._lines = Lines(lambda text: err.print(plain(text)))
        self._listening = hub.reporting(self)

    def __enter__(self) -> Self:
        self._listening.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop()
        self._listening.__exit__(*error)

    def __call__(self, progress: hub.Progress) -> None:
        """Show one piece of progress."""
        if not err.is_terminal:
            self._lines(progress)
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if self._task is None or self._task[0] != progress.what:
            self._task = (progress.what, self._bars.add_task(str(plain(progress.what)), total=progress.total))
        self._bars.update(self._task[1], completed=progress.done, total=progress.total)
        if progress.done >= progress.total:
            self._stop()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None


def _bars() -> Progress:
    """Bars in bytes; rich's part for them is imported when there is something to show."""
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
        transient=True,
    )
