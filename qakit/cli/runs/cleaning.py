"""``qakit runs clean``: room that runs take for nothing but going on with their training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json
from qakit.errors import RunError

if TYPE_CHECKING:
    from qakit.runs import Run


@dataclass(frozen=True, slots=True)
class Removable:
    """What a run keeps to be gone on with."""

    run: Run
    state: str
    size: int
    """In bytes."""
    chosen: bool
    """Whether it is to go."""


def clean(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Runs, or folders of runs; by default the finished ones in ./runs."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only shown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")] = False,
) -> None:
    """Free the room of checkpoints that are no longer needed: shows it, and with --yes removes them.

    A finished run loses nothing. One that was interrupted must be named, since it cannot be gone on with any more.
    model/, predictions/ and the logs stay in any case, and so does a run in which somebody is training.
    """
    from qakit.cli.terminal.tables import size
    from qakit.runs import RUNS, forget_training, locked

    found = [each for folder in runs or [RUNS] for each in _removable(folder, named=bool(runs))]
    chosen = [each for each in found if each.chosen]
    if yes:
        for each in chosen:
            with locked(each.run):
                forget_training(each.run)
    if as_json:
        rows = [
            {"run": str(each.run.folder), "state": each.state, "bytes": each.size, "removed": yes and each.chosen}
            for each in found
        ]
        print_json({"bytes": _bytes(chosen), "removed": yes, "runs": rows})
        return
    _show(found)
    if not chosen:
        out.print(plain("there is nothing to remove"))
    elif yes:
        out.print(plain(f"removed {size(_bytes(chosen))}"))
    else:
        out.print(plain(f"{size(_bytes(chosen))} to remove; give --yes to do it"))


def _removable(folder: Path, *, named: bool) -> list[Removable]:
    """What the runs in a folder keep; those whose training is not finished are chosen if they were ``named``.

    Raises:
        RunError: a named folder holds no run.
    """
    from qakit.runs import LOCK, bytes_of, needed_to_resume, runs_in, state_of

    runs = [run for run in runs_in(folder) if (run.folder / LOCK).is_file()]  # other tools have recipes, too
    if named and not runs:
        raise RunError(f"there is no run in {folder} (`qakit runs list` shows the runs)")
    found = []
    for run in runs:
        if paths := needed_to_resume(run):
            state = state_of(run).name
            chosen = state == "finished" or (named and state != "running")
            found.append(Removable(run, state, bytes_of(*paths), chosen))
    return found


def _show(found: Sequence[Removable]) -> None:
    from qakit.cli.terminal.tables import print_table, size

    if found:
        rows = [(each.run.folder, each.state, size(each.size), _remark(each)) for each in found]
        print_table("Checkpoints", ("run", "state", "size", ""), rows, numbers=("size",))


def _remark(each: Removable) -> str:
    if each.chosen:
        return "" if each.state == "finished" else "then --resume begins again"
    return "somebody is training" if each.state == "running" else "kept for --resume, unless it is named"


def _bytes(found: Sequence[Removable]) -> int:
    return sum(each.size for each in found)
