"""How a command ends that is asked to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from qakit.cli.terminal.console import print_error
from qakit.names import quoted

INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def stops_told(
    folder: Callable[[], Path | None],
    *,
    first: bool = True,
    go_on: str = "resume with: qakit train --resume --output {}",
) -> Iterator[None]:
    """Around a training: when it is asked to stop, one line says how to continue.

    Args:
        folder: gives the training's folder, once there is one.
        first: whether this process speaks.
        go_on: what to do then; ``{}`` stands for the folder.

    Raises:
        typer.Exit: it was asked to stop.
    """
    from qakit.training.interrupts import InterruptedTrainingError, TerminationError, termination_as_error

    try:
        with termination_as_error():
            yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, TerminationError) else INTERRUPTED
        if first:
            there = folder()
            again = go_on.format(quoted(there)) if there else "nothing is written yet, give the same command again"
            print_error(f"interrupted; {again}")
        raise typer.Exit(code) from None
    except InterruptedTrainingError as error:
        if first and (there := folder()) is not None:
            print_error(f"{error}; a checkpoint is written, {go_on.format(quoted(there))}")
        raise typer.Exit(error.exit_code) from None
