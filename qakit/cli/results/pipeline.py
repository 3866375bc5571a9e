"""How a pipeline, and what an evaluation lost, is shown on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qakit.cli.results.evaluation import submission_pair
from qakit.cli.terminal.console import plain
from qakit.cli.terminal.tables import number, print_pairs, print_table

if TYPE_CHECKING:
    from qakit.report.evaluation import Expectation, Share
    from qakit.runs import Run


def show_expectation(expectation: Expectation) -> None:
    """The stages' shares, the end-to-end figure, and the table of errors."""
    stages = expectation.stages
    if stages is not None:
        rows = (
            ("selection: the right paragraph is the likeliest", *_cells(stages.selection)),
            (f"selection: it is among the {stages.top_k} passed on", *_cells(stages.passed_on)),
            ("span: exact match, given the right paragraph", *_cells(stages.span)),
            ("product of selection and span", number(stages.product), ""),
            None,
            ("end to end, likeliest paragraph only", *_cells(stages.top_1)),
            (plain("end to end: expect this", "bold"), *_cells(expectation.exact)),
            ("  more than the likeliest only", f"{stages.gain:+.2f}", _ends(stages.gain_low, stages.gain_high)),
        )
        columns = ("%", "95% interval")
        print_table("The stages and the whole", ("", *columns), rows, numbers=columns)
    show_errors(expectation)


def show_errors(expectation: Expectation) -> None:
    """Each wrong question once, by its reason."""
    from qakit.inference.error_analysis import MEANING

    wrong, total = sum(expectation.errors.values()), expectation.questions
    losses = [item for item in expectation.errors.items() if item[1] or item[0] != "no answer"]
    rows: list[tuple[str, ...] | None] = [
        (loss, number(count), f"{100.0 * count / total:.2f}", MEANING[loss]) for loss, count in losses
    ]
    if count := expectation.gained:
        rows += [None, ("gained", number(count), f"{100.0 * count / total:.2f}", "clean-up made it right")]
    title, columns = f"{wrong:,} of {total:,} questions are wrong", ("lost by", "questions", "%", "")
    print_table(title, columns, rows, numbers=columns[1:3])


def show_pipeline(run: Run, metrics: Mapping[str, Any]) -> None:
    """What a finished pipeline expects, its files, and what to do next."""
    combine = metrics["combine"]
    files = {
        "pipeline": run.folder,
        **{name: stage["run"] for name, stage in metrics["stages"].items()},
        "combination": f"weight {combine['weight']}, top {combine['top_k']} contexts",
        **submission_pair(run, metrics),
    }
    following = {
        "where it is lost": f"qakit evaluate {run.folder}",
        "predict a file": f"qakit predict {run.folder} --input FILE --output answers.csv",
        "submit": f"qakit submit {run.folder} --dry-run",
    }
    print_pairs("Files", files)
    print_pairs("Next", following)


def _cells(share: Share) -> tuple[str, str]:
    return number(share.value), _ends(share.low, share.high)


def _ends(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"
