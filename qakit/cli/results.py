"""How evaluations, finished trainings and dry runs of any kind present themselves on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qakit.cli.terminal.console import err, out, plain, print_json, print_warning
from qakit.cli.terminal.tables import modules_table, number, print_pairs, print_table
from qakit.errors import QakitError
from qakit.names import quoted, shortened
from qakit.values import Example, LabelPrediction, Prediction, SetPrediction, SpanPrediction, Targets

if TYPE_CHECKING:
    from qakit.report.evaluation import EvaluationReport, Expectation, Share
    from qakit.runs import Run
    from qakit.workflows.train import PlannedTraining, TrainingResult


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
        if isinstance(prediction, SetPrediction):
            predicted, gold = " / ".join(prediction.answers), [" / ".join(gold)] if gold else []
        right = predicted in gold or (not predicted and not gold)
        style = "green" if right else "red"
        if isinstance(example.label, float):  # nearly right is right
            predicted, gold, style = number(getattr(prediction, "label", predicted)), [number(example.label)], ""
        elif isinstance(example.label, Targets):
            given = prediction.label if isinstance(prediction, LabelPrediction) else predicted
            predicted, gold, style = _numbers(given), [_numbers(example.label)], ""
        answer = plain(_short(predicted) or "(no answer)", style=style)
        yield _short(example.question), answer, _short(" / ".join(gold)) or "(no answer)"


def _numbers(label: object) -> str:
    """Several numbers in a cell."""
    if not isinstance(label, Targets):
        return str(label)
    return ", ".join(f"{name} {value:.3g}" for name, value in label.by_name().items())


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
    try:
        split = read_split(run.recipe(), load_registry(), "validation")
        if not file.is_file() or split is None:
            return
        predictions = {prediction.id: prediction for prediction in read_nbest(file)}
    except QakitError as error:  # its files may have gone since
        print_warning(f"no answers are shown: {error}")
        return
    step = max(1, len(split.examples) // EXAMPLES_SHOWN)
    chosen = [example for example in split.examples[::step] if example.id in predictions][:EXAMPLES_SHOWN]
    rows = _example_rows(chosen, [predictions[example.id] for example in chosen])
    print_table("Some answers", ("question", "predicted", "gold"), rows)


def _show_files(run: Run, metrics: Mapping[str, Any]) -> None:
    from qakit.modeling.folder import use_in_transformers

    pictures = {"page": run.page, "curves": run.curves_file, "threshold": run.threshold_curve_file}
    files = {
        "run": run.folder,
        "model": f"{run.model} ({use_in_transformers(run.model)})",
        **{name: file for name, file in pictures.items() if file.is_file()},
        **submission_pair(run, metrics),
    }
    ask = {"ask it": f'qakit ask {quoted(run.folder)} "QUESTION" -c "CONTEXT"'} if _answers_questions(run) else {}
    following = {
        **ask,
        "predict a file": f"qakit predict {quoted(run.folder)} --input FILE --output answers.csv",
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

    files = (file for file in (run.validation_nbest, run.predictions / "nbest.jsonl") if file.is_file())
    first = next((prediction for file in files for prediction in iter_nbest(file)), None)
    return first is None or isinstance(first, SpanPrediction)


def _short(text: str) -> str:
    return shortened(" ".join(text.split()), TEXT_SHOWN)


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


def _show_pipeline(run: Run, metrics: Mapping[str, Any]) -> None:
    """What a finished pipeline expects, its files, and what to do next."""
    combine = metrics["combine"]
    files = {
        "pipeline": run.folder,
        **{name: stage["run"] for name, stage in metrics["stages"].items()},
        "combination": f"weight {combine['weight']}, top {combine['top_k']} contexts",
        **submission_pair(run, metrics),
    }
    following = {
        "where it is lost": f"qakit evaluate {quoted(run.folder)}",
        "predict a file": f"qakit predict {quoted(run.folder)} --input FILE --output answers.csv",
        "submit": f"qakit submit {quoted(run.folder)} --dry-run",
    }
    print_pairs("Files", files)
    print_pairs("Next", following)


def _cells(share: Share) -> tuple[str, str]:
    return number(share.value), _ends(share.low, share.high)


def _ends(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def show_dry_run(planned: PlannedTraining, summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What would be trained."""
    if as_json:
        print_json(summary)
    elif planned.is_single:
        _show_one("Dry run", summary)
    else:
        rows = [(row["node"], row["work"]) for row in summary["nodes"]]
        rows += [(path, "exists") for path in summary.get("existing", ())]
        print_table(f"Dry run: {planned.graph.name}", ("run", ""), rows)
        for name, one in summary["trainings"].items():
            _show_one(f"Dry run: {name}", one)
        if "folds" in summary:
            sizes = [(size["fold"], f"{size['examples']:,}", f"{size['groups']:,}") for size in summary["folds"]]
            print_table("Folds", ("fold", "questions", "groups"), sizes, numbers=("questions", "groups"))


def show_training(result: TrainingResult, *, as_json: bool, quiet: bool) -> None:
    """The figures, the files, and what to do next; with ``as_json`` what ``metrics.json`` holds."""
    run, metrics = result.run, result.metrics
    if as_json:
        print_json({"run": str(run.folder), "missing": list(result.missing)} if result.missing else metrics)
        return
    from qakit.runs import cut_short

    if result.missing:
        if not quiet:
            folds, left = run.recipe().folds, ", ".join(map(str, result.missing))
            assert folds is not None
            again = f"qakit train --resume --output {quoted(run.folder)}"
            err.print(plain(f"not trained yet: fold {left} of {folds.k}; resume with: {again}"))
        return
    if run.is_ensemble:
        _show_ensemble(result)
    elif run.is_folds:
        _show_folds(run, metrics)
    elif run.is_composed:
        _show_figures(metrics)
        if result.expectation is not None:
            show_expectation(result.expectation)
        _show_pipeline(run, metrics)
    else:
        show_result(run, metrics)
    if short := cut_short(run):
        print_warning(f"{run.folder} has trained {short}")
    err.print(plain(f"done: {run.folder}"))


def _show_one(title: str, summary: Mapping[str, Any]) -> None:
    """The tables of one training that would be."""
    tables = ("parameters", "modules", "groups")
    print_pairs(title, {key: value for key, value in summary.items() if key not in tables})
    out.print(modules_table(summary["modules"]))
    groups = [
        (group["group"], f"{group['parameters']:,}", f"{group['learning_rate']:.3g}", f"{group['weight_decay']:g}")
        for group in summary["groups"]
    ]
    numbers = ("parameters", "peak rate", "weight decay")
    print_table("Parameter groups", ("group", *numbers), groups, numbers=numbers)


def _show_folds(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures of each fold, their mean and spread, and those of all questions together."""
    found, pooled = metrics["folds"], metrics["validation"]
    names = [name for name in found["mean"] if isinstance(pooled.get(name), float)]
    total = sum(row["examples"] for row in found["folds"])
    rows = [
        *((row["fold"], f"{row['examples']:,}", *_chosen(row["figures"], names)) for row in found["folds"]),
        None,
        ("mean", "", *_chosen(found["mean"], names)),
        ("standard deviation", "", *_chosen(found["sd"], names)),
        ("all questions", f"{total:,}", *_chosen(pooled, names)),
    ]
    for name, value in (metrics.get("baselines") or {}).items():
        rows.append((f"baseline {name}", "", number(value), *[""] * (len(names) - 1)))
    print_table("Out of fold", ("fold", "questions", *names), rows, numbers=("questions", *names))
    files = {
        "run": run.folder,
        "out-of-fold predictions": run.validation_nbest,
        "picture": run.folder / "folds.png",
        "submission": run.submission_file(metrics),
    }
    print_pairs("Files", {name: file for name, file in files.items() if file is not None})


def _chosen(figures: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [number(figures[name]) for name in names]


def _show_ensemble(result: TrainingResult) -> None:
    from qakit.cli.ensemble.display import report_of, show

    if result.ensemble is not None:  # not where it was made before, or in another process
        show(report_of(result.ensemble, None, result.folder), result.ensemble)
    _show_figures(result.metrics)
    submission = result.metrics.get("submission")
    if submission:
        out.print(plain(f"submission: {result.submission} ({submission['rows']:,} rows)"))


def _show_figures(metrics: Mapping[str, Any]) -> None:
    if metrics.get("validation"):
        show_figures(metrics["validation"], baselines=metrics.get("baselines") or {})
