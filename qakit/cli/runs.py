"""``qakit runs``: what was trained here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import out, plain, print_json, print_warning
from qakit.errors import RunError

if TYPE_CHECKING:
    from qakit.runs import Run

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="What was trained here.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="runs")


def list_(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """All runs of a folder, oldest first, with their figures."""
    from qakit.cli.tables import new_table, number
    from qakit.runs import list_runs

    rows = [_row(run) for run in list_runs(folder)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        if "problem" in row:
            print_warning(row["problem"])
    if not rows:
        out.print(plain(f"no runs in {folder}; `qakit train RECIPE` makes one"))
        return
    table = new_table(None, "run", "state", "step", "figures", numbers=("step",))
    for row in rows:
        figures = {name: value for name, value in (row["figures"] or {}).items() if isinstance(value, float)}
        table.add_row(
            plain(row["run"]), row["state"], number(row["step"]), plain(number(dict(list(figures.items())[:3])))
        )
    out.print(table)


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")], as_json: JsonOption = False
) -> None:
    """One run: its recipe, machine, data, evaluations and files."""
    from qakit.cli.tables import modules_table, new_table, number, pairs_table
    from qakit.runs import LOCK, open_run

    opened = open_run(run)
    summary, meta = _summary(opened), opened.read_json(opened.meta_file)
    if as_json:
        print_json({**summary, "meta": meta, "metrics": opened.read_json(opened.metrics_file)})
        return
    facts = {key: summary[key] for key in ("run", "state", "step")}
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
    out.print(pairs_table(str(opened.folder), facts))
    if modules is not None:
        out.print(modules)
    evaluations = [line for line in opened.metrics() if line["type"] == "evaluation"]
    if evaluations:
        names = [name for name in evaluations[-1] if name not in ("type", "step", "epoch")]
        table = new_table("Evaluations", "step", *names, numbers=("step", *names))
        for line in evaluations:
            table.add_row(number(line["step"]), *(number(line.get(name)) for name in names))
        out.print(table)
    # not rglob, which fails where a training replaces a folder at this moment
    paths = (Path(parent, name) for parent, _, names in os.walk(opened.folder) for name in names if name != LOCK)
    out.print(plain("files: " + ", ".join(sorted(str(path.relative_to(opened.folder)) for path in paths))))


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
        return {"run": str(run.folder), "state": "damaged", "step": 0, "figures": None, "problem": str(error)}


def _summary(run: Run) -> dict[str, Any]:
    """Name, state, last step and figures of a run, read from its files alone.

    Raises:
        RunError: one of them is damaged.
    """
    lines = list(run.metrics())
    finished = run.read_json(run.metrics_file)
    figures = finished.get("validation")
    if figures is None:
        figures = next((_figures(line) for line in reversed(lines) if line["type"] == "evaluation"), None)
    if figures is not None and not isinstance(figures, dict):
        raise RunError(f"{run.metrics_file} is damaged: validation holds no figures")
    return {
        "run": str(run.folder),
        "state": "finished" if finished else "has a model" if run.model.is_dir() else "started",
        "step": max((line["step"] for line in lines), default=0),
        "figures": figures,
    }


def _figures(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("type", "step", "epoch")}
