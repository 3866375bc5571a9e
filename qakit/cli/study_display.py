"""Shows a study that runs: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from qakit.cli.console import err, plain
from qakit.cli.tables import new_table, number
from qakit.study import events


@dataclass(slots=True)
class _Line:
    """A training that runs."""

    began: float
    progress: events.TrialProgress | None = None


class StudyDisplay:
    """A listener for :mod:`qakit.study.events`; use it as a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = Live(console=err, refresh_per_second=2, transient=True) if err.is_terminal and not quiet else None
        self._running: dict[str, _Line] = {}
        self._done = 0
        self._failed = 0
        self._trials = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.StudyStarted():
                self._trials, self._done, self._failed = event.trials, event.finished, event.failed
                left = event.trials - event.finished - event.failed
                failed = f", {event.failed} failed before" if event.failed else ""
                self._line(f"{event.trials} trials, {left} to train, {event.jobs} at a time{failed}")
            case events.TrialStarted():
                self._running[event.run] = _Line(time.monotonic())
                self._line(f"{event.run}: {'goes on' if event.resumed else 'starts'}")
            case events.TrialProgress():
                if event.run in self._running:
                    self._running[event.run].progress = event
            case events.TrialEnded():
                self._running.pop(event.run, None)
                self._ended(event)
            case events.Elsewhere():
                self._line(f"waiting for what runs elsewhere: {', '.join(event.runs)} (Ctrl-C leaves it alone)")
        if self._live is not None:
            self._live.update(self._table())

    def _ended(self, event: events.TrialEnded) -> None:
        if event.state == "failed":
            self._failed += 1
            last = event.error.strip().splitlines()[-2:] if event.error.strip() else ["no reason was given"]
            self._line(f"{event.run}: failed: {' '.join(last)}", "red")
            return
        if event.state == "waiting":
            self._line(f"{event.run}: interrupted")
            return
        self._done += 1
        figure = "" if event.value is None else f": {event.selected_by} {event.value:.2f}"
        self._line(f"{event.run}: {event.state}{figure} ({event.seconds:.0f} s), {self._done} of {self._trials}")

    def _table(self) -> Table:
        title = f"{self._done} of {self._trials} trained" + (f", {self._failed} failed" if self._failed else "")
        columns = ("run", "step", "loss", "figure", "minutes")
        table = new_table(title, *columns, numbers=columns[1:])
        for run, line in self._running.items():
            seen = line.progress
            step = "preparing" if seen is None or not seen.step else f"{seen.step:,} / {number(seen.steps)}"
            table.add_row(
                plain(run),
                step,
                number(seen.loss if seen else None),
                number(seen.figure if seen else None),
                f"{(time.monotonic() - line.began) / 60:.1f}",
            )
        return table

    def _line(self, text: str, style: str = "") -> None:
        if not self._quiet:
            err.print(plain(text, style))
