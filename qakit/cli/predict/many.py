"""`qakit predict` of many files into a folder: what it is told, what it shows, how it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qakit.cli.terminal.console import err, out, plain, print_error, print_json, print_warning
from qakit.data.csv_rows import formula_notice
from qakit.distributed import launched_processes
from qakit.errors import UsageError
from qakit.inference.stream_inputs import DATA_ENDINGS, Form, dealt, find_shards, is_pattern

if TYPE_CHECKING:
    import torch

    from qakit.inference.stream import Tally
    from qakit.workflows.launching import Engine

LINE_EVERY_SECONDS = 10.0
"""Without a terminal: at most one line of progress in this time."""
FAILED = 1
"""Exit code when some files could not be answered under ``--keep-going``."""


@dataclass(frozen=True, slots=True)
class ManyOptions:
    """The options that only a folder of answers has."""

    form: Form | None = None
    block: int | None = None
    shard_of: str | None = None
    keep_going: bool = False
    overwrite: bool = False
    engine: Engine = "local"

    def given(self) -> list[str]:
        """The options that were used, as one writes them."""
        values = {
            "--format": self.form,
            "--block": self.block,
            "--shard-of": self.shard_of,
            "--keep-going": self.keep_going,
            "--overwrite": self.overwrite,
            "--engine": self.engine != "local",
        }
        return [name for name, value in values.items() if value]


def is_many(inputs: Sequence[str], output: str | None) -> bool:
    """Whether answers go into a folder, a file for each input, rather than into one file."""
    if len(inputs) > 1 or any(is_pattern(text) or Path(text).is_dir() for text in inputs):
        return True
    if output is None:
        return False
    return output.endswith(("/", os.sep)) or (Path(output).is_dir() and not Path(output).suffix)


def predict_many(
    run: Path,
    inputs: Sequence[str],
    output: str | None,
    options: ManyOptions,
    *,
    overrides: Sequence[str] = (),
    as_json: bool,
    quiet: bool,
) -> None:
    """Answer each file of ``inputs`` into a file in the folder ``output``; ``overrides`` for its recipe."""
    if output is None:
        raise UsageError("several inputs need --output: the folder for the answers")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; several inputs need a folder")
    if not folder.exists() and not output.endswith(("/", os.sep)) and folder.suffix.lower() in DATA_ENDINGS:
        raise UsageError(
            f"--output {output} looks like a file; several inputs need a folder: end its name in / if it is"
        )
    if options.engine != "local" and (options.shard_of is not None or launched_processes() > 1):
        raise UsageError(
            "--engine ray deals out the files itself: leave out --shard-of, and start it without a launcher"
        )
    index, count = own_share(options)
    shards = dealt(find_shards(inputs, folder, form=options.form), index=index, count=count)
    share = f"; the share of process {index + 1} of {count}" if count > 1 else ""
    speaks = index == 0 or options.shard_of is not None  # of a launcher's processes, which share a terminal, the first

    from qakit.inference.stream import StoppedError
    from qakit.workflows.predict_many import Request, answer_here, answer_on_cluster

    request = Request(run, tuple(overrides), folder, options.form, options.block, options.keep_going)
    try:
        with _Display(quiet=quiet or as_json or not speaks) as display:
            if options.engine == "ray":
                tally = answer_on_cluster(
                    request, shards, overwrite=options.overwrite, listener=display, warn=print_warning
                )
            else:
                tally = answer_here(
                    request,
                    shards,
                    device=_device(),
                    overwrite=options.overwrite,
                    listener=display,
                    warn=print_warning,
                )
    except StoppedError as error:
        if speaks:
            print_error(f"{error}; finished files stay in {folder}, continue with the same command")
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print_json(_summary(folder, tally))
    elif speaks or tally.failed:
        _tell(folder, tally, share)
    if tally.failed:
        raise typer.Exit(FAILED)


def own_share(options: ManyOptions) -> tuple[int, int]:
    """Which process, from 0, of how many: from ``--shard-of`` or from the launcher that has started us.

    Raises:
        UsageError: ``--shard-of`` is not I/N, or something does not go with several processes.
    """
    launched = launched_processes()
    if options.shard_of is not None and launched > 1:
        raise UsageError("--shard-of and a launcher of processes both deal out the files; use one of them")
    share = (int(os.environ["RANK"]), launched) if launched > 1 else _parsed(options.shard_of or "1/1")
    if options.overwrite and share[1] > 1:
        raise UsageError(
            "--overwrite with several processes would let each remove what the others have just answered; delete the "
            "output folder yourself"
        )
    if options.keep_going and launched > 1:
        raise UsageError(
            "--keep-going does not go with a launcher, which ends all processes when one reports a failed file; start "
            "the processes yourself, each with its --shard-of I/N"
        )
    return share


def _parsed(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UsageError(f"--shard-of {text}: it must be I/N with I from 1 to N, such as 3/8 for the third of eight")
    return int(index) - 1, int(count)


def _device() -> torch.device:
    """This process's own device: under a launcher the GPUs of a machine are dealt out."""
    import torch

    from qakit.modeling.device import pick_device

    device = pick_device()
    if device.type != "cuda" or launched_processes() == 1:
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


class _Display:
    """A bar on a terminal, a line now and then elsewhere; what was wrong with records is reported once per file."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = err.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("[bold]files"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=err,
            disable=not self._live,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def __call__(self, tally: Tally) -> None:
        while tally.warnings:
            print_warning(tally.warnings.pop(0))
        finished = tally.skipped + tally.answered + len(tally.failed)
        if self._live:
            self._bar.update(self._task, completed=finished, total=tally.shards, description=_speed(tally))
        elif not self._quiet and time.monotonic() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            err.print(plain(f"{finished:,} of {tally.shards:,} files, {_speed(tally)}"))


def _speed(tally: Tally) -> str:
    left = tally.seconds_left
    ending = "" if left is None else f", {_duration(left)} left"
    return f"{tally.examples:,} questions, {tally.examples_per_second:,.1f}/s{ending}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _summary(folder: Path, tally: Tally) -> dict[str, object]:
    return {
        "folder": str(folder),
        "files": tally.shards,
        "answered": tally.answered,
        "skipped": tally.skipped,
        "elsewhere": tally.elsewhere,
        "failed": tally.failed,
        "rows": tally.examples,
        "seconds": round(tally.seconds, 3),
        "rows_per_second": round(tally.examples_per_second, 3),
    }


def _tell(folder: Path, tally: Tally, share: str) -> None:
    before = f", {tally.skipped:,} were finished before" if tally.skipped else ""
    out.print(
        plain(
            f"{tally.examples:,} answers in {tally.answered:,} files in {folder}{before} "
            f"({tally.examples_per_second:,.1f}/s){share}"
        )
    )
    if notice := formula_notice(tally.formulas):
        print_warning(notice)
    if tally.elsewhere:
        print_warning(f"another process is at work on {tally.elsewhere:,} files; run the same command again to be sure")
    for problem in tally.failed.values():
        print_error(problem)
    if tally.failed:
        print_error(f"{len(tally.failed):,} files are not answered: mend them and run the same command again")
