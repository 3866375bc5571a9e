"""``qakit ensemble``: one answer file from several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import out, plain, print_json, print_warning
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.cli.ensemble_members import Member
    from qakit.protocols import Writer
    from qakit.values import Prediction

_WRITERS = {".csv": "csv", ".json": "squad_json", ".jsonl": "jsonl"}
"""Writer by the ending of ``--output``."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ensemble)


def ensemble(
    members: Annotated[
        list[Path], typer.Argument(help="CSV files (id, answer), JSON files (id -> text), run folders.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The combined file: .csv, .json or .jsonl.")],
    method: Annotated[
        str, typer.Option("--method", "-m", help="An ensembler; `qakit plugins --kind ensemblers`.")
    ] = "voting",
    weights: Annotated[str | None, typer.Option("--weights", "-w", help="One number for each member: 1,2,1.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method: ties=first (repeatable).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")] = False,
) -> None:
    """Combine the answers of several files or runs to the same questions.

    The result has the first member's order and column names. Also shown: how often each pair of members agrees, and
    how many answers changed against each member.
    """
    from qakit.cli.component_settings import parse_settings
    from qakit.cli.ensemble_members import agreement, check_same_ids, read_member
    from qakit.protocols import Ensembler, NoRuntime
    from qakit.registry import load_registry

    _check_paths(members, output)
    registry = load_registry()
    chosen = parse_settings(settings or [], registry.get("ensemblers", method).component.settings)
    if weights is not None:
        chosen["weights"] = _numbers(weights, len(members))
    combiner: Ensembler = registry.build("ensemblers", method, chosen, NoRuntime())
    read = [read_member(path) for path in members]
    check_same_ids(read)
    _warn_of_other_columns(read)
    combined = combiner.combine([member.predictions for member in read])
    _writer(output, read).write(combined, output)
    report = {
        "output": str(output),
        "method": method,
        "rows": len(combined),
        "members": [str(path) for path in members],
        "agreement": agreement(read),
        "changed": _changed(read, combined),
    }
    if as_json:
        print_json(report)
    else:
        _show(report)


def _check_paths(members: Sequence[Path], output: Path) -> None:
    if len(members) < 2:
        raise UsageError("an ensemble needs at least two members")
    if output.suffix.lower() not in _WRITERS:
        raise UsageError(f"--output {output} should end in {', '.join(_WRITERS)}")
    if output.resolve() in [member.resolve() for member in members]:
        raise UsageError(f"--output {output} is one of the members; write to another file")


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} should be numbers with commas between them, such as 1,2,1") from None
    if len(numbers) != count:
        raise UsageError(f"--weights has {len(numbers)} numbers for {count} members")
    return numbers


def _warn_of_other_columns(members: Sequence[Member]) -> None:
    named = [member for member in members if member.columns]
    for member in named[1:]:
        if member.columns != named[0].columns:
            here, there = ",".join(member.columns or ()), ",".join(named[0].columns or ())
            print_warning(f"{member.path}: the columns are {here}, those of {named[0].path} {there}")


def _writer(output: Path, members: Sequence[Member]) -> Writer:
    """For a CSV file with the header and line ends of the first member that has a header."""
    from qakit.protocols import NoRuntime
    from qakit.registry import load_registry

    name = _WRITERS[output.suffix.lower()]
    settings: dict[str, Any] = {}
    style = next((member for member in members if member.columns), None)
    if name == "csv" and style is not None and style.columns is not None:
        settings = {"id_column": style.columns[0], "answer_column": style.columns[1], "line_end": style.line_end}
    writer: Writer = load_registry().build("writers", name, settings, NoRuntime())
    return writer


def _changed(members: Sequence[Member], combined: Sequence[Prediction]) -> list[int]:
    """For each member, how many of its answers the ensemble replaced."""
    from qakit.cli.ensemble_members import final_answers

    result = final_answers(combined)
    return [sum(answer != result[id_] for id_, answer in member.answers.items()) for member in members]


def _show(report: dict[str, Any]) -> None:
    from qakit.cli.tables import new_table

    names = [f"{number} {Path(member).name}" for number, member in enumerate(report["members"], start=1)]
    short = [str(number) for number in range(1, len(names) + 1)]
    table = new_table("Share of equal answers", "member", *short, "changed", numbers=(*short, "changed"))
    for name, row, changed in zip(names, report["agreement"], report["changed"], strict=True):
        table.add_row(plain(name), *(f"{100 * share:.1f}%" for share in row), f"{changed:,}")
    out.print(table)
    out.print(plain(f"{report['rows']:,} answers by {report['method']} in {report['output']}"))
