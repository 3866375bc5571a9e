"""How a finished run presents itself on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qakit.cli.terminal.console import out, plain
from qakit.cli.terminal.tables import new_table, number, pairs_table

if TYPE_CHECKING:
    from rich.table import Table

    from qakit.report.evaluation import EvaluationReport
    from qakit.runs import Run
    from qakit.values import Example, Prediction

EXAMPLES_SHOWN = 6
TEXT_SHOWN = 70
"""Characters of a question or answer in a table."""
SOURCES = {
    "option": "given by --threshold",
    "validation": "tuned on validation",
    "recipe": "fixed in the recipe",
    "default": "not tuned: the run has no validation file",
}


def show_result(run: Run, metrics: Mapping[str, Any]) -> None:
    """Figures before and after, a few answers beside the gold ones, the files, and what to do next."""
    figures = metrics.get("validation")
    if figures:
        out.print(figures_table(figures, before=metrics.get("before"), baselines=metrics.get("baselines") or {}))
        _show_examples(run)
    _show_files(run, metrics)


def figures_table(
    figures: Mapping[str, Any], *, before: Mapping[str, Any] | None = None, baselines: Mapping[str, float] = {}
) -> Any:
    """Figures by name, with those before training beside them if there are any."""
    title = "Validation"
    if before:
        table = new_table(title, "figure", "before", "after", numbers=("before", "after"))
    else:
        table = new_table(title, "figure", "value", numbers=("value",))
    for name, value in figures.items():
        cells = [number(before.get(name))] if before else []
        table.add_row(plain(name), *cells, number(value))
    if baselines:
        table.add_section()
        for name, value in baselines.items():
            table.add_row(plain(f"baseline {name}"), *([""] if before else []), number(value))
    return table


def show_evaluation(report: EvaluationReport) -> None:
    """Figures on a labelled file with their intervals, the threshold, and the calibration."""
    evaluation, oracle = report.evaluation, report.oracle
    headings = ["value", "95% interval", *(["oracle", "at threshold"] if oracle else [])]
    table = new_table("Evaluation", "figure", *headings, numbers=headings)
    for name, value in evaluation.figures.items():
        ends = report.intervals.get(name)
        cells = [number(value), f"{ends[0]:.2f} to {ends[1]:.2f}" if ends else ""]
        if oracle:
            best = oracle.get(name)
            cells += [number(best["value"]), f"{best['threshold']:.3f}"] if best else ["", ""]
        table.add_row(plain(name), *cells)
    out.print(table)
    pairs: dict[str, Any] = {}
    if report.source is not None:
        pairs["no-answer threshold"] = f"{evaluation.null_threshold:.3f} ({SOURCES[report.source]})"
    if oracle:
        pairs["oracle"] = "the best of all thresholds for this very file: an upper bound, not a result"
    if evaluation.calibration is not None:
        found = evaluation.calibration
        pairs["calibration error (ECE)"] = f"{found.ece_after:.3f} with temperature {found.temperature:.2f}"
        pairs["without temperature"] = f"{found.ece_before:.3f}"
    if pairs:
        out.print(pairs_table("How the answers were chosen", pairs))


def examples_table(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Any:
    """Questions with the predicted and the gold answer."""
    table = new_table("Some answers", "question", "predicted", "gold")
    for example, prediction in zip(examples, predictions, strict=True):
        predicted, gold = prediction.final, _gold(example)
        right = predicted in gold or (not predicted and not gold)
        style = "green" if right else "red"
        if isinstance(example.label, float):  # nearly right is right
            predicted, gold, style = number(getattr(prediction, "label", predicted)), [number(example.label)], ""
        table.add_row(
            plain(_short(example.question)),
            plain(_short(predicted) or "(no answer)", style=style),
            plain(_short(" / ".join(gold)) or "(no answer)"),
        )
    return table


def _gold(example: Example) -> list[str]:
    """The right answers, class or context, as predictions write them."""
    if example.label is not None:
        return [str(example.label)]
    if example.answers is None and example.relevant is not None:
        return [str(example.relevant)]
    return list(dict.fromkeys(answer.text for answer in example.answers or ()))


def _show_examples(run: Run) -> None:
    from qakit.data.splits import read_split
    from qakit.inference.nbest_file import read_nbest
    from qakit.registry import load_registry

    file = run.validation_nbest
    split = read_split(run.recipe(), load_registry(), "validation")
    if not file.is_file() or split is None:
        return
    predictions = {prediction.id: prediction for prediction in read_nbest(file)}
    step = max(1, len(split.examples) // EXAMPLES_SHOWN)
    chosen = [example for example in split.examples[::step] if example.id in predictions][:EXAMPLES_SHOWN]
    out.print(examples_table(chosen, [predictions[example.id] for example in chosen]))


def _show_files(run: Run, metrics: Mapping[str, Any]) -> None:
    from qakit.modeling.folder import use_in_transformers

    table = new_table("Files", "", "")
    table.add_row("run", plain(run.folder))
    table.add_row("model", plain(f"{run.model} ({use_in_transformers(run.model)})"))
    if run.curves_file.is_file():
        table.add_row("curves", plain(run.curves_file))
    if run.threshold_curve_file.is_file():
        table.add_row("threshold", plain(run.threshold_curve_file))
    add_submission(table, run, metrics)
    out.print(table)
    table = new_table("Next", "", "")
    if _answers_questions(run):
        table.add_row("ask it", plain(f'qakit ask {run.folder} -q "QUESTION" -c "CONTEXT"'))
    table.add_row("predict a file", plain(f"qakit predict {run.folder} --input FILE --output answers.csv"))
    table.add_row("try a change", plain("qakit train RECIPE --set train.learning_rate=5e-5"))
    table.add_row("look at runs", plain("qakit runs list"))
    out.print(table)


def add_submission(table: Table, run: Run, metrics: Mapping[str, Any]) -> None:
    """The row of the submission, where the run has one."""
    submission = metrics.get("submission")
    if submission:
        verdict = f"{submission['rows']:,} rows"
        if submission["problems"]:
            verdict += f", {len(submission['problems'])} problems against the sample submission"
        table.add_row("submission", plain(f"{run.submission_file(metrics)} ({verdict})"))


def _answers_questions(run: Run) -> bool:
    """Whether its predictions are answers, rather than classes, numbers or contexts."""
    from qakit.inference.nbest_file import iter_nbest
    from qakit.values import SpanPrediction

    files = (file for file in (run.validation_nbest, run.predictions / "nbest.jsonl") if file.is_file())
    first = next((prediction for file in files for prediction in iter_nbest(file)), None)
    return first is None or isinstance(first, SpanPrediction)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "…"
