"""What ``qakit ensemble`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.cli.terminal.console import out, plain
from qakit.cli.terminal.tables import print_table

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.ensembling.validation import Validation


def report_of(made: Ensemble, output: Path | None, folder: Path | None) -> dict[str, Any]:
    """What ``qakit ensemble`` says, for programs."""
    from qakit.ensembling.folder import validation_json

    rows = made.test if made.test is not None else made.validation.predictions if made.validation else ()
    return {
        "output": None if output is None else str(output),
        "folder": None if folder is None else str(folder),
        "method": made.plan.method,
        "rows": len(rows),
        "of": "validation" if made.test is None else "test",
        "members": [str(path) for path in made.plan.members],
        "weights": list(made.decision.weights),
        "temperatures": list(made.decision.temperatures),
        "null_threshold": made.decision.null_threshold,
        "agreement": [list(row) for row in made.agreement],
        "changed": list(made.changed),
        "validation": validation_json(made),
        "no_validation": made.no_validation,
    }


def show(report: dict[str, Any], made: Ensemble) -> None:
    """Agreement, then, where it is known, what the ensemble is worth and what each member adds."""
    names = [f"{number} {Path(member).name}" for number, member in enumerate(report["members"], start=1)]
    _agreement(names, report)
    if made.validation is not None:
        _members(names, made, made.validation)
        _worth(made.validation)
    elif all(source.recipe is not None for source in made.sources):
        out.print(plain(f"Not judged on validation: {made.no_validation}"))
    if report["output"] is not None:
        out.print(plain(f"{report['rows']:,} answers by {report['method']} in {report['output']}"))
    if report["folder"] is not None:
        out.print(plain(f"the ensemble is in {report['folder']}"))


def _agreement(names: Sequence[str], report: dict[str, Any]) -> None:
    short = [str(number) for number in range(1, len(names) + 1)]
    rows = [
        (name, *(f"{100 * share:.1f}%" for share in row), f"{changed:,}")
        for name, row, changed in zip(names, report["agreement"], report["changed"], strict=True)
    ]
    title, numbers = f"Share of equal answers ({report['of']})", (*short, "changed")
    print_table(title, ("member", *numbers), rows, numbers=numbers)


def _members(names: Sequence[str], made: Ensemble, validation: Validation) -> None:
    numbers = ("weight", "temperature", "alone", "ensemble without it", "it adds")
    rows = []
    for name, row, weight, temperature in zip(
        names, validation.rows, made.decision.weights, made.decision.temperatures, strict=True
    ):
        rest = "-" if row.without is None else f"{row.without:.2f}"
        rows.append((name, f"{weight:.3f}", f"{temperature:.2f}", f"{row.figure:.2f}", rest, row.adds or "-"))
    title = f"Members on validation: {validation.figure}, {validation.questions:,} questions"
    print_table(title, ("member", *numbers), rows, numbers=numbers)


def _worth(validation: Validation) -> None:
    figure = validation.figures[validation.figure]
    spread = ""
    if validation.interval is not None:
        spread = f" [{validation.interval[0]:.2f}, {validation.interval[1]:.2f}]"
    how = ", each half by what the other taught" if validation.cross_fitted else ""
    best = f"best member: {Path(validation.best).name}"
    rows: list[tuple[object, ...]] = [
        (f"ensemble{how}", f"{figure:.2f}{spread}", ""),
        (best, f"{validation.best_figure:.2f}", validation.over_best or "-"),
    ]
    if validation.gain is not None:
        rows.append(("equal weights", f"{validation.equal:.2f}", validation.gain))
        rows.append(("on what was learnt from", f"{validation.seen:.2f}", ""))
    title = f"The ensemble on validation: {validation.figure}"
    print_table(title, ("", "", "against it"), rows, numbers=("",))
