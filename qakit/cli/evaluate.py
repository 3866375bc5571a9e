"""``qakit evaluate``: a model's figures on a labelled file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.console import out, plain, print_json
from qakit.cli.outputs import new_path
from qakit.cli.trained_runs import (
    JsonOption,
    ModelArgument,
    NbestOption,
    ReaderOption,
    ReaderSetOption,
    SetOption,
    bar,
    check_targets,
    input_file,
    load_run,
    overrides_of,
    read_examples,
    read_own_split,
)
from qakit.errors import DataError, UsageError

if TYPE_CHECKING:
    from qakit.inference.answering import Answering


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    model: ModelArgument,
    given: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            help="A labelled file (also hf://...) in the format of the recipe's reader; by default the recipe's "
            "validation file.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help='Answer "" where the no-answer score exceeds the best span\'s by more than this, instead of the '
            "run's own threshold.",
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            "--curve", metavar="FILE.png", help="Draw the figures at every no-answer threshold.", callback=new_path
        ),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Also say why each wrong answer is wrong; always so for a pipeline.")
    ] = False,
    nbest: NbestOption = None,
    reader: ReaderOption = None,
    reader_settings: ReaderSetOption = None,
    metric: Annotated[
        str | None, typer.Option("--metric", "-m", help="For a MODEL: how it is scored; by default squad_v1.")
    ] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run on a labelled file, with the threshold and temperature tuned in training; or a model without a run.

    A pipeline runs as a whole, exactly as on a test file.
    """
    from qakit.cli.pipeline_results import show_expectation
    from qakit.cli.results import show_evaluation
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest
    from qakit.report.evaluation import report_of
    from qakit.report.pipeline import expectation_of
    from qakit.report.threshold_curve import draw_threshold_curve
    from qakit.stages.trained import TrainedPipeline

    source = None if given is None else input_file(given)
    if source is not None:
        check_targets(source, nbest, curve)
    trained = load_run(model, overrides_of(settings, reader=reader, reader_settings=reader_settings, metric=metric))
    _check_options(trained, threshold, curve)
    if threshold is not None:
        trained = trained.with_threshold(threshold)
    if source is None:
        split = read_own_split(trained, "validation")
    else:
        split = read_examples(trained, source, predicted_only=False)
    for file in split.files:
        check_targets(file, nbest, curve)
    unlabelled = [example.id for example in split.examples if not example.labelled]
    if unlabelled:
        raise DataError(
            f"{len(unlabelled)} of {len(split.examples)} questions have no answers to compare with "
            f"(the first: {unlabelled[0]}); use `qakit predict` for unlabelled files",
            path=split.files[0],
        )
    examined, seed = None, trained.recipe.seed
    with bar("evaluating", shown=trained.workers.first) as progress:
        if errors or isinstance(trained, TrainedPipeline):
            examined = trained.examine(split.examples, cache=default_cache(), progress=progress)
            evaluation = examined.evaluation
        else:
            evaluation = trained.evaluate(split.examples, cache=default_cache(), progress=progress)
    if not trained.workers.first:
        return
    expectation = None
    if examined is not None:
        top_k = trained.top_k if isinstance(trained, TrainedPipeline) else 0
        expectation = expectation_of(examined, seed=seed, top_k=top_k)
    report = report_of(evaluation, split.examples, trained.judge, given=threshold is not None)
    if nbest is not None:
        write_nbest(nbest, evaluation.predictions)
    if curve is not None and report.choices is not None:
        draw_threshold_curve(
            report.choices, curve, used=trained.null_threshold, title=f"{trained.run.name}, {split.files[0].name}"
        )
    if as_json:
        print_json(report.as_json() | ({} if expectation is None else {"expected": expectation.as_json()}))
        return
    if source is None:
        out.print(plain("On the validation file, which also chose the weights and whatever was tuned."))
    show_evaluation(report)
    if expectation is not None:
        show_expectation(expectation)
    if curve is not None:
        out.print(plain(f"curve: {curve}"))


def _check_options(trained: Answering, threshold: float | None, curve: Path | None) -> None:
    """Before the long work: whether the run can do what is asked."""
    from qakit.protocols import PerExampleMetric
    from qakit.runs import ModelAlone

    for option, value in (("--threshold", threshold), ("--curve", curve)):
        if value is not None and not trained.recipe.predict.no_answer:
            how = "it was trained without `predict.no_answer: true`"
            if isinstance(trained.run, ModelAlone):
                how = "say otherwise with --set predict.no_answer=true"
            raise UsageError(
                f"{option} is for runs whose questions may have no answer; this one answers every question: {how}"
            )
    if threshold is not None and not math.isfinite(threshold):
        raise UsageError(f"--threshold is {threshold}; it must be a finite number, such as -1e9 or 1e9")
    if curve is not None and curve.suffix.lower() != ".png":
        raise UsageError(f"--curve {curve} must end in .png")
    if curve is not None and not isinstance(trained.judge.metric, PerExampleMetric):
        raise UsageError(
            f"--curve needs figures for each question, which the metric {trained.recipe.metric.name!r} does not give"
        )
