"""How a finished run presents itself on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qakit.cli.terminal.console import plain
from qakit.cli.terminal.tables import number, print_pairs, print_table

if TYPE_CHECKING:
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
        show_figures(figures, before=metrics.get("before"), baselines=metrics.get("baselines") or {})
        _show_examples(run)
    _show_files(run, metrics)


def show_figures(
    figures: Mapping[str, Any], *, before: Mapping[str, Any] | None = None, baselines: Mapping[str, float] = {}
) -> None:
    """Figures by name, with those before training beside them if there are any."""
    columns = ("before", "after") if before else ("value",)
    rows: list[list[str] | None] = [
        [name, *([number(before.get(name))] if before else []), number(value)] for name, value in figures.items()
    ]
    rows += [None] if baselines else []
    rows += [[f"baseline {name}", *([""] if before else []), number(value)] for name, value in baselines.items()]
    print_table("Validation", ("figure", *columns), rows, numbers=columns)


def show_evaluation(report: EvaluationReport) -> None:
    """Figures on a labelled file with their intervals, the threshold, and the calibration."""
    evaluation, oracle = report.evaluation, report.oracle
    headings = ["value", "95% interval", *(["oracle", "at threshold"] if oracle else [])]
    rows = []
    for name, value in evaluation.figures.items():
        ends = report.intervals.get(name)
        cells = [number(value), f"{ends[0]:.2f} to {ends[1]:.2f}" if ends else ""]
        if oracle:
            best = oracle.get(name)
            cells += [number(best["value"]), f"{best['threshold']:.3f}"] if best else ["", ""]
        rows.append([name, *cells])
    print_table("Evaluation", ("figure", *headings), rows, numbers=headings)
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
        print_pairs("How the answers were chosen", pairs)


def _example_rows(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Iterator[tuple[object, ...]]:
    """Questions with the predicted and the gold answer."""
    for example, prediction in zip(examples, predictions, strict=True):
        predicted, gold = prediction.final, _gold(example)
        right = predicted in gold or (not predicted and not gold)
        style = "green" if right else "red"
        if isinstance(example.label, float):  # nearly right is right
            predicted, gold, style = number(getattr(prediction, "label", predicted)), [number(example.label)], ""
        answer = plain(_short(predicted) or "(no answer)", style=style)
        yield _short(example.question), answer, _short(" / ".join(gold)) or "(no answer)"


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
    rows = _example_rows(chosen, [predictions[example.id] for example in chosen])
    print_table("Some answers", ("question", "predicted", "gold"), rows)


def _show_files(run: Run, metrics: Mapping[str, Any]) -> None:
    from qakit.modeling.folder import use_in_transformers

    pictures = {"curves": run.curves_file, "threshold": run.threshold_curve_file}
    files = {
        "run": run.folder,
        "model": f"{run.model} ({use_in_transformers(run.model)})",
        **{name: file for name, file in pictures.items() if file.is_file()},
        **submission_pair(run, metrics),
    }
    ask = {"ask it": f'qakit ask {run.folder} -q "QUESTION" -c "CONTEXT"'} if _answers_questions(run) else {}
    following = {
        **ask,
        "predict a file": f"qakit predict {run.folder} --input FILE --output answers.csv",
        "try a change": "qakit train RECIPE --set train.learning_rate=5e-5",
        "look at runs": "qakit runs list",
    }
    print_pairs("Files", files)
    print_pairs("Next", following)


def submission_pair(run: Run, metrics: Mapping[str, Any]) -> dict[str, str]:
    """The submission among a run's files, where it has one."""
    submission = metrics.get("submission")
    if not submission:
        return {}
    verdict = f"{submission['rows']:,} rows"
    if submission["problems"]:
        verdict += f", {len(submission['problems'])} problems against the sample submission"
    return {"submission": f"{run.submission_file(metrics)} ({verdict})"}


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
