"""How a pipeline, and what an evaluation lost, is shown on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qakit.cli.results.evaluation import add_submission
from qakit.cli.terminal.console import out, plain
from qakit.cli.terminal.tables import new_table, number

if TYPE_CHECKING:
    from qakit.report.pipeline import Expectation, Share
    from qakit.runs import Run


def show_expectation(expectation: Expectation) -> None:
    """The stages' shares, the end-to-end figure, and the table of errors."""
    stages = expectation.stages
    if stages is not None:
        table = new_table("The stages and the whole", "", "%", "95% interval", numbers=("%", "95% interval"))
        rows: list[tuple[str, Share]] = [
            ("selection: the right paragraph is the likeliest", stages.selection),
            (f"selection: it is among the {stages.top_k} passed on", stages.passed_on),
            ("span: exact match, given the right paragraph", stages.span),
        ]
        for title, share in rows:
            table.add_row(plain(title), number(share.value), _ends(share.low, share.high))
        table.add_row(plain("product of selection and span"), number(stages.product), "")
        table.add_section()
        table.add_row(
            plain("end to end, likeliest paragraph only"),
            number(stages.top_1.value),
            _ends(stages.top_1.low, stages.top_1.high),
        )
        exact = expectation.exact
        table.add_row(plain("end to end: expect this", "bold"), number(exact.value), _ends(exact.low, exact.high))
        table.add_row(
            plain("  more than the likeliest only"), f"{stages.gain:+.2f}", _ends(stages.gain_low, stages.gain_high)
        )
        out.print(table)
    show_errors(expectation)


def show_errors(expectation: Expectation) -> None:
    """Each wrong question once, by its reason."""
    from qakit.inference.error_analysis import MEANING

    wrong, total = sum(expectation.errors.values()), expectation.questions
    table = new_table(
        f"{wrong:,} of {total:,} questions are wrong", "lost by", "questions", "%", "", numbers=("questions", "%")
    )
    for loss, count in expectation.errors.items():
        if count or loss != "no answer":
            table.add_row(plain(loss), number(count), f"{100.0 * count / total:.2f}", plain(MEANING[loss]))
    if expectation.gained:
        table.add_section()
        count = expectation.gained
        table.add_row("gained", number(count), f"{100.0 * count / total:.2f}", "clean-up made it right")
    out.print(table)


def show_pipeline(run: Run, metrics: Mapping[str, Any]) -> None:
    """What a finished pipeline expects, its files, and what to do next."""
    combine = metrics["combine"]
    table = new_table("Files", "", "")
    table.add_row("pipeline", plain(run.folder))
    for name, stage in metrics["stages"].items():
        table.add_row(plain(name), plain(stage["run"]))
    table.add_row("combination", plain(f"weight {combine['weight']}, top {combine['top_k']} contexts"))
    add_submission(table, run, metrics)
    out.print(table)
    table = new_table("Next", "", "")
    table.add_row("where it is lost", plain(f"qakit evaluate {run.folder}"))
    table.add_row("predict a file", plain(f"qakit predict {run.folder} --input FILE --output answers.csv"))
    table.add_row("submit", plain(f"qakit submit {run.folder} --dry-run"))
    out.print(table)


def _ends(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"
