"""``qakit runs``: what was trained here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.groups import Commands
from qakit.cli.terminal.options import JsonOption, RunArgument
from qakit.errors import PluginError, RecipeError, RunError, UsageError
from qakit.trust import asked_by

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.runs import Run, State


CHANGED = 3
"""How many changed values a table shows of a run."""
VALUE_SHOWN = 30
"""Characters of a value there."""


app = typer.Typer(cls=Commands, name="runs", help="What was trained here.", no_args_is_help=True)


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """All runs of a folder, oldest first: what has become of them, their figures, and what was changed.

    A changed value is one that the oldest run of the same recipe name has otherwise.

    Example: qakit runs list
    """
    from qakit.recipe.differences import changed_values
    from qakit.runs import list_runs

    if not folder.is_dir() and folder != Path("runs"):
        raise UsageError(f"there is no folder {folder}")
    runs = list_runs(folder)
    changed = changed_values([_recipe(run) for run in runs])
    rows = [_row(run) | {"changed": values} for run, values in zip(runs, changed, strict=True)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        if "problem" in row:
            print_warning(row["problem"])
    if not rows:
        out.print(plain(f"no runs in {folder}; `qakit train RECIPE` makes one"))
        return
    _show_rows(rows)


@app.command()
def show(run: RunArgument, as_json: JsonOption = False) -> None:
    """One run: what has become of it, its recipe, machine, data, evaluations and files.

    Example: qakit runs show runs/first
    """
    from qakit.cli.terminal.tables import modules_table, number, print_pairs, print_table
    from qakit.cli.terminal.tables import size as size_of
    from qakit.names import duration
    from qakit.runs import LOCK, open_run

    opened = open_run(run)
    summary, meta, metrics = _summary(opened), opened.read_json(opened.meta_file), opened.read_json(opened.metrics_file)
    if as_json:
        print_json({**summary, "meta": meta, "metrics": metrics})
        return
    facts = {key: summary[key] for key in ("run", "state", "reason", "step", "begun") if summary[key] is not None}
    if summary["cut_short"]:
        facts["trained"] = summary["cut_short"]
    facts["duration"], facts["size"] = duration(summary["seconds"]), size_of(summary["bytes"])
    if summary["peak_memory_mb"] is not None:
        facts["peak memory"] = f"{summary['peak_memory_mb']:,.0f} MB"
    facts |= {
        key: meta[key]
        for key in ("precision", "seed", "steps", "windows", "git_commit", "qakit", "python")
        if key in meta
    }
    with _whole(opened.meta_file):
        if "parameters" in meta:
            facts["parameters"] = meta["parameters"]["all"]
        for name, split in meta.get("data", {}).items():
            facts[name] = f"{split['examples']:,} examples from {', '.join(split['files'])}"
            if split["problems"]:
                facts[f"{name} problems"] = split["problems"]
        modules = modules_table(meta["modules"]) if meta.get("modules") else None
    print_pairs(str(opened.folder), facts)
    if modules is not None:
        out.print(modules)
    evaluations = [line for line in opened.metrics() if line["type"] == "evaluation"]
    if evaluations:
        names = [name for name in evaluations[-1] if name not in ("type", "step", "epoch")]
        columns = ("step", *names)
        rows = [[number(line.get(name)) for name in columns] for line in evaluations]
        print_table("Evaluations", columns, rows, numbers=columns)
    # not rglob, which fails where a training replaces a folder at this moment
    paths = (Path(parent, name) for parent, _, names in os.walk(opened.folder) for name in names if name != LOCK)
    out.print(plain("files: " + ", ".join(sorted(str(path.relative_to(opened.folder)) for path in paths))))


def _show_rows(rows: Sequence[dict[str, Any]]) -> None:
    from qakit.cli.terminal.tables import number, size, table_of
    from qakit.names import duration

    cells = []
    for row in rows:
        figures = {name: value for name, value in (row["figures"] or {}).items() if isinstance(value, float)}
        done = row["state"] in ("finished", "damaged") or row["step"] is None
        state = row["state"] if done else f"{row['state']}, step {row['step']:,}"
        sizes = (duration(row["seconds"]), size(row["bytes"]))
        shown = (number(dict(list(figures.items())[:3])), _changes(row["changed"]))
        cells.append((row["run"], state, row["begun"].replace("T", " ")[:16], *sizes, *shown))
    columns = ("run", "state", "begun", "duration", "size", "figures", "changed")
    table = table_of(None, columns, cells, numbers=("size",))
    table.columns[0].no_wrap = True  # to be copied
    out.print(table)
    for row in rows:
        if row["reason"] is not None:
            out.print(plain(f"{row['run']} failed: {row['reason']}"))
        if row["cut_short"] is not None:
            out.print(plain(f"{row['run']} has trained {row['cut_short']}"))


def _changes(changed: Mapping[str, str]) -> str:
    """Changed values for a table, as far as it has room."""
    short = {
        key: value if len(value) <= VALUE_SHOWN else f"{value[: VALUE_SHOWN - 3]}..." for key, value in changed.items()
    }
    more = f", {len(short) - CHANGED} more" if len(short) > CHANGED else ""
    return ", ".join(f"{key}: {value}" for key, value in list(short.items())[:CHANGED]) + more


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """A value of another type than training wrote is damage, not a bug."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise RunError(f"{file} is damaged: a value is missing or of another type ({error})") from error


def _row(run: Run) -> dict[str, Any]:
    """A run's summary, or that it is damaged: one broken run must not hide the others."""
    try:
        return _summary(run)
    except RunError as error:
        unknown = dict.fromkeys(("reason", "seconds", "peak_memory_mb", "figures", "cut_short"))
        return _facts(run) | unknown | {"state": "damaged", "step": 0, "problem": str(error)}


def _facts(run: Run) -> dict[str, Any]:
    from qakit.runs import bytes_of

    begun = datetime.fromtimestamp(run.recipe_file.stat().st_mtime).astimezone()
    return {"run": str(run.folder), "begun": begun.isoformat(timespec="seconds"), "bytes": bytes_of(run.folder)}


def _recipe(run: Run) -> Recipe | None:
    """The run's recipe; None if it cannot be read any more, or brings code along that nobody has agreed to: a list is
    no reason to ask."""
    unasked = copy_context()
    unasked.run(asked_by.set, None)
    try:
        return unasked.run(run.recipe)
    except (RunError, RecipeError, PluginError):
        return None


def _summary(run: Run) -> dict[str, Any]:
    """Place, state, beginning, duration, size, last step and figures of a run, read from its files alone.

    There is no step where others train: what is made of parts, or took another run's weights.

    Raises:
        RunError: one of them is damaged.
    """
    from qakit.runs import cut_short, runs_in, state_of

    lines = list(run.metrics())
    finished = run.read_json(run.metrics_file)
    figures = finished.get("validation")
    if figures is None:
        figures = next((_figures(line) for line in reversed(lines) if line["type"] == "evaluation"), None)
    if figures is not None and not isinstance(figures, dict):
        raise RunError(f"{run.metrics_file} is damaged: validation holds no figures")
    state = state_of(run)
    trains_none = run.finished or len(list(runs_in(run.folder))) > 1
    peak = finished.get("peak_memory_mb")
    return _facts(run) | {
        "state": state.name,
        "reason": state.reason,
        "seconds": _seconds(run, state, finished),
        "peak_memory_mb": peak if isinstance(peak, int | float) else None,
        "step": max((line["step"] for line in lines), default=None if trains_none else 0),
        "cut_short": cut_short(run) or None,
        "figures": figures,
    }


def _seconds(run: Run, state: State, finished: Mapping[str, Any]) -> float | None:
    """What a finished run says; else from its beginning to now, or to the last line that it wrote."""
    from qakit.runs import runs_in

    if state.name == "finished":
        said = finished.get("seconds")
        return said if isinstance(said, int | float) else None
    logs = [log for part in runs_in(run.folder) for log in (part.metrics_log, part.timings_log) if log.is_file()]
    if state.name != "running" and not logs:
        return None
    until = time.time() if state.name == "running" else max(log.stat().st_mtime for log in logs)
    return round(max(0.0, until - run.recipe_file.stat().st_mtime), 1)


def _figures(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("type", "step", "epoch")}


@dataclass(frozen=True, slots=True)
class Removable:
    """What a run keeps in order to be resumed."""

    run: Run
    state: str
    size: int
    """In bytes."""
    chosen: bool
    """Whether it is to go."""


@app.command()
def clean(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Runs, or folders of runs, of which the finished ones are meant; by default ./runs.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Free the room of checkpoints that are no longer needed: shows it, and with --yes removes them.

    A finished run loses nothing. One that was interrupted must be named, since it can no longer be resumed.
    model/, predictions/ and the logs stay in any case, and so does a run in which somebody is training.

    Example: qakit runs clean runs/first --yes
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
    """What the runs in a folder keep; one whose training is not finished is chosen only if it is itself ``named``, or
    what it is a part of: not by the name of the folder that all runs lie in.

    Raises:
        RunError: a named folder holds no run.
    """
    from qakit.runs import LOCK, Run, bytes_of, needed_to_resume, runs_in, state_of

    runs = [run for run in runs_in(folder) if (run.folder / LOCK).is_file()]  # other tools have recipes, too
    if named and not runs:
        raise RunError(f"there is no run in {folder} (`qakit runs list` shows the runs)")
    given_up = named and Run(folder).recipe_file.is_file()
    found = []
    for run in runs:
        if paths := needed_to_resume(run):
            state = state_of(run).name
            chosen = state == "finished" or (given_up and state != "running")
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
