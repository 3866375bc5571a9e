"""A model's figures on labelled questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.data.cache import default_cache
from qakit.distributed import is_first_process
from qakit.errors import DataError, QakitError, UsageError
from qakit.protocols import PerExampleMetric
from qakit.report.evaluation import EvaluationReport, Expectation, expectation_of, report_of
from qakit.training.events import Listener, Notice, Predicting, silence
from qakit.workflows.questions import check_targets, input_file, load_run, read_examples, read_own_split

if TYPE_CHECKING:
    from qakit.data.splits import Split
    from qakit.inference.answering import Answering
    from qakit.values import Prediction


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Figures with how sure they are, and the answers that they are of."""

    report: EvaluationReport
    """Also no-answer threshold, oracle and calibration."""
    expectation: Expectation | None
    """Of a pipeline, or where errors were asked for: why each wrong answer is wrong."""

    @property
    def figures(self) -> Mapping[str, float]:
        return self.report.evaluation.figures

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """95% bootstrap intervals of those figures that have one."""
        return self.report.intervals

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """In the order of the questions."""
        return self.report.evaluation.predictions


def evaluate(
    model: Path,
    source: str | None = None,
    *,
    threshold: float | None = None,
    curve: Path | None = None,
    errors: bool = False,
    questions: Path | None = None,
    nbest: Path | None = None,
    overrides: Sequence[str] = (),
    listener: Listener,
) -> EvaluationResult:
    """See :func:`qakit.evaluate`; ``overrides`` are ``a.b=value`` texts for the model's recipe."""
    if not is_first_process():
        listener = silence
    file = None if source is None else input_file(source)
    if file is not None:
        check_targets(file, nbest, curve, questions)
    if questions is not None and questions.suffix.lower() not in (".csv", ".html"):
        raise UsageError(f"--questions {questions} must end in .csv or .html")
    from qakit.inference.nbest_file import write_nbest
    from qakit.report.compare_runs import answered
    from qakit.report.curves import draw_threshold_curve
    from qakit.report.view import write_questions
    from qakit.report.view_data import Findings
    from qakit.stages.trained import TrainedPipeline

    trained = load_run(model, overrides, listener)
    _check_options(trained, threshold, curve)
    if threshold is not None:
        trained = trained.with_threshold(threshold)
    if file is None:
        _check_unseen(trained)
        split = read_own_split(trained, "validation", listener)
    else:
        split = read_examples(trained, file, predicted_only=False, listener=listener)
    for path in split.files:
        check_targets(path, nbest, curve, questions, recipe=trained.recipe)
    _check_labelled(split, trained)
    if file is not None:
        _warn_of_training(split, trained, listener)
    examined, expectation, cache = None, None, default_cache()

    def progress(done: int, total: int) -> None:
        listener(Predicting(done, total))

    if errors or isinstance(trained, TrainedPipeline):
        examined = trained.examine(split.examples, cache=cache, progress=progress)
        evaluation = examined.evaluation
        top_k = trained.top_k if isinstance(trained, TrainedPipeline) else 0
        expectation = expectation_of(examined, seed=trained.recipe.seed, top_k=top_k)
    else:
        evaluation = trained.evaluate(split.examples, cache=cache, progress=progress)
    report = report_of(evaluation, split.examples, trained.judge, given=threshold is not None)
    if trained.workers.first and nbest is not None:
        write_nbest(nbest, evaluation.predictions)
    if trained.workers.first and questions is not None:
        findings = Findings(evaluation.null_threshold, examined, ", ".join(path.name for path in split.files))
        found = answered(trained, split.examples, evaluation.predictions)
        if notice := write_questions(questions, found, trained.registry, findings):
            listener(Notice(notice))
    if trained.workers.first and curve is not None and report.choices is not None:
        title = f"{trained.run.name}, {split.files[0].name}"
        draw_threshold_curve(report.choices, curve, used=trained.null_threshold, title=title)
    return EvaluationResult(report, expectation)


def _check_unseen(trained: Answering) -> None:
    """Refuse to judge models of several folds by what they were trained on."""
    folds = trained.recipe.folds
    if folds is not None and folds.fold is None:
        raise UsageError(
            f"{trained.run.folder} has no validation file: its models were trained on these questions, and its figures "
            f"out of fold are in {trained.run.metrics_file}; name other questions with --input"
        )


def _warn_of_training(split: Split, trained: Answering, listener: Listener) -> None:
    """Say how many of the questions the model was trained on."""
    from qakit.runs import ModelAlone
    from qakit.training.lineage import Ancestor, seen_by

    if isinstance(trained.run, ModelAlone):
        return
    try:
        seen = seen_by(Ancestor(trained.run.folder), trained.registry)
    except QakitError:  # nobody knows any more
        return
    known, total = len(split.examples) - len(seen.lacking(split.examples)), len(split.examples)
    if known:
        listener(Notice(f"the model was trained on {known:,} of these {total:,} questions: the figures are too good"))


def _check_labelled(split: Split, trained: Answering) -> None:
    unlabelled = [example.id for example in split.examples if not example.labelled]
    if unlabelled:
        raise DataError(
            f"{len(unlabelled)} of {len(split.examples)} questions have no answers to compare with "
            f"(the first: {unlabelled[0]}); {_column_to_name(trained)}use `qakit predict` for unlabelled files",
            path=split.files[0],
        )


def _column_to_name(trained: Answering) -> str:
    """What to do where the reader of a model without a run was not told which column holds the answers."""
    from qakit.runs import ModelAlone

    reader = trained.recipe.data.reader
    columns = ("answer_text", "answers", "label")
    takes = trained.registry.get("readers", reader.name).component.settings.model_fields
    told = any(reader.settings.get(name) is not None for name in columns)
    if not isinstance(trained.run, ModelAlone) or told or "answer_text" not in takes:
        return ""
    return "if a column holds them, name it with --reader-set answer_text=COLUMN (lists: answers=COLUMN), else "


def _check_options(trained: Answering, threshold: float | None, curve: Path | None) -> None:
    """Before the long work: whether the run can do what is asked."""
    from qakit.runs import ModelAlone

    for option, value in (("--threshold", threshold), ("--curve", curve)):
        if value is not None and not trained.recipe.predict.no_answer:
            how = "it was trained without `predict.no_answer: true`"
            if isinstance(trained.run, ModelAlone):
                how = "say otherwise with --set predict.no_answer=true"
            raise UsageError(
                f"{option} is for runs whose questions may have no answer; this one answers every question: {how}"
            )
    if curve is not None:
        trained.with_threshold(trained.null_threshold)  # refuses where there is none
    if threshold is not None and not math.isfinite(threshold):
        raise UsageError(f"--threshold is {threshold}; it must be a finite number, such as -1e9 or 1e9")
    if curve is not None and curve.suffix.lower() != ".png":
        raise UsageError(f"--curve {curve} must end in .png")
    if curve is not None and not isinstance(trained.judge.metric, PerExampleMetric):
        raise UsageError(
            f"--curve needs figures for each question, which the metric {trained.recipe.metric.name!r} does not give"
        )
