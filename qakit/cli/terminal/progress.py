"""Shows a training: bars on a terminal, plain lines everywhere else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from qakit import hub
from qakit.cli.terminal.console import err, plain, print_text
from qakit.cli.terminal.file_progress import Lines
from qakit.training import events
from qakit.training.subprocesses import plain as as_plain

PLAIN_EVERY_SECONDS = 10.0
"""Without a terminal: at most one training line in this time."""


class TrainingDisplay:
    """A listener for :mod:`qakit.training.events`; use it as a context manager.

    Args:
        quiet: no progress; warnings are shown all the same.
        silent: nothing at all: another process, or another display, says it.
    """

    def __init__(self, *, quiet: bool = False, silent: bool = False) -> None:
        quiet = quiet or silent
        self._quiet, self._silent = quiet, silent
        self._live = err.is_terminal and not quiet
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not self._live,
            transient=False,
        )
        self.folder: Path | None = None
        """That of the run, once there is one."""
        self._training: TaskID | None = None
        self._side: TaskID | None = None
        self._nodes: dict[str, TaskID] = {}
        self._steps = 0
        self._last_line = 0.0
        self._began = time.monotonic()
        self._file_lines = Lines(self._line)
        self._listening = hub.reporting(self._file)

    def __enter__(self) -> Self:
        self._progress.start()
        self._listening.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._listening.__exit__(*error)
        self._progress.stop()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RunBegun():
                self.folder = self.folder or event.folder
            case events.NodeStarted():
                self._node_started(event)
            case events.NodeProgress():
                self._node_progress(event)
            case events.NodeEnded():
                self._node_ended(event)
            case events.NodesWaiting():
                self._line(f"waiting for what runs elsewhere: {', '.join(event.labels)} (Ctrl-C leaves it alone)")
            case events.Preparing():
                self._preparing(event)
            case events.Started():
                self._started(event)
            case events.StepDone():
                self._step(event)
            case events.Predicting():
                self._side_bar("predicting", event.done, event.total)
                if event.done >= event.total:
                    self._end_side_bar()
            case events.Evaluated():
                self._end_side_bar()
                self._line(evaluation_line(event))
            case events.CheckpointWritten():
                pass  # every epoch; the folder says it
            case events.Replanned():
                self._steps = event.steps
                if self._training is not None:
                    self._progress.update(self._training, total=event.steps)
                self._line(event.message)
            case events.StoppedEarly():
                self._line(f"stopped at step {event.step}: {event.reason}")
            case events.Remark():
                self._line(event.message)
            case events.Notice():
                self._warning(event.message)

    def _preparing(self, event: events.Preparing) -> None:
        if event.total:
            self._side_bar(event.what, event.done, event.total)
        else:
            self._end_side_bar()
            self._line(event.what)

    def _node_started(self, event: events.NodeStarted) -> None:
        self._line(f"{event.label or event.folder} ({event.number} of {event.total}): {event.what}")

    def _node_progress(self, event: events.NodeProgress) -> None:
        """A bar for each training in another process."""
        if not self._live:
            return
        if event.label not in self._nodes:
            self._nodes[event.label] = self._progress.add_task(event.label, total=event.steps, detail="")
        loss = "" if event.loss is None else f"loss {event.loss:.3f}"
        self._progress.update(self._nodes[event.label], completed=event.step, total=event.steps, detail=loss)

    def _node_ended(self, event: events.NodeEnded) -> None:
        if event.label in self._nodes:
            self._progress.remove_task(self._nodes.pop(event.label))
        if not event.label:
            return
        if event.error is None:
            self._line(f"{event.label}: done ({event.seconds:.0f} s)")
        else:
            self._line(f"{event.label}: failed: {' '.join(event.error.strip().splitlines()[-2:])}", "red")

    def _started(self, event: events.Started) -> None:
        self._end_side_bar()
        counts = event.parameters["all"]
        validation = f", {event.validation_examples:,} validation examples" if event.validation_examples else ""
        self._line(f"{event.train_examples:,} {event.texts} in {event.train_windows:,} windows{validation}")
        self._line(
            f"{counts['trainable']:,} of {counts['total']:,} parameters train on {event.device} "
            f"({event.precision}, {event.attention} attention)"
        )
        if event.unused_weights:
            shown, rest = event.unused_weights[:6], len(event.unused_weights) - 6
            more = f" and {rest} more" if rest > 0 else ""
            self._line(f"not used from the backbone's file: {', '.join(shown)}{more}")
        self._steps, self._last_line = event.steps, 0.0
        if self._training is not None:  # of the part before
            self._progress.remove_task(self._training)
        self._training = self._progress.add_task("training", total=event.steps, completed=event.first_step, detail="")

    def _step(self, event: events.StepDone) -> None:
        if event.loss is None:
            if self._training is not None:
                self._progress.update(self._training, completed=event.step)
            return
        parts = ", ".join(f"{name} {value:.3f}" for name, value in event.figures.items())
        detail = f"loss {event.loss:.3f}{f' ({parts})' if parts else ''}  lr {event.learning_rate:.1e}"
        if self._training is not None:
            short = f"{detail}  {event.windows_per_second:.1f}/s"
            self._progress.update(self._training, completed=event.step, detail=short)
        due = time.monotonic() - self._last_line >= PLAIN_EVERY_SECONDS or event.step in (1, self._steps)
        if not self._live and due:
            self._last_line = time.monotonic()
            speed = f"{event.windows_per_second:.1f} windows/s"
            self._line(f"step {event.step}/{self._steps}  epoch {event.epoch:.2f}  {detail}  {speed}")

    def _file(self, progress: hub.Progress) -> None:
        """A file that is fetched or converted."""
        if not self._live:
            self._file_lines(progress)
        elif progress.done < progress.total:
            self._side_bar(f"{progress.what}, MB", progress.done // 10**6, progress.total // 10**6)
        else:
            self._end_side_bar()

    def _side_bar(self, what: str, done: int, total: int) -> None:
        if not self._live:
            return
        if self._side is None:
            self._side = self._progress.add_task(what, total=total, detail="")
        self._progress.update(self._side, description=what, completed=done, total=total)

    def _end_side_bar(self) -> None:
        if self._side is not None:
            self._progress.remove_task(self._side)
            self._side = None

    def _warning(self, text: str) -> None:
        if not self._silent:
            self._progress.console.print(plain("warning: ", style="yellow") + plain(text))

    def _line(self, text: str, style: str = "") -> None:
        if not self._quiet:
            self._progress.console.print(plain(text, style))


class EventLines(TrainingDisplay):
    """A listener that writes each event as a line of JSON to stdout, for programs."""

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunBegun):
            self.folder = self.folder or event.folder
        print_text(json.dumps(events.as_json(event), default=as_plain) + "\n")
        sys.stdout.flush()


def evaluation_line(event: events.Evaluated) -> str:
    shown = {name: value for name, value in event.figures.items() if isinstance(value, float)}
    figures = "  ".join(f"{name} {value:.2f}" for name, value in list(shown.items())[:6])
    mark = "  (best so far)" if event.best else ""
    when = "before training" if event.step == 0 else f"step {event.step}"
    return f"evaluation {when}: {figures}{mark}"


@contextmanager
def bar(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, nothing elsewhere or where it is not to be ``shown``."""
    if not (shown and err.is_terminal):
        yield None
        return
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
