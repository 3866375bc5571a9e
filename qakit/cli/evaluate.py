"""``qakit evaluate``: a model's figures on a labelled file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.options import (
    JsonOption,
    ModelArgument,
    NbestOption,
    QuietOption,
    ReaderOption,
    ReaderSetOption,
    SetOption,
    overrides_of,
)
from qakit.outputs import new_path


def evaluate(
    model: ModelArgument,
    given: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
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
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="Write every question with its answer and what is wrong with it: a page (.html) or a table (.csv); "
            "with --errors the page shows the windows, too.",
            callback=new_path,
        ),
    ] = None,
    nbest: NbestOption = None,
    reader: ReaderOption = None,
    reader_settings: ReaderSetOption = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", "-m", metavar="NAME", help="How it is scored; by default as the recipe says."),
    ] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a run on a labelled file, with the threshold and temperature tuned in training; or a model without a run.

    A pipeline, an ensemble or a folder of folds runs as a whole, exactly as on a test file.

    Example: qakit evaluate runs/first --input dev.json --errors
    """
    from qakit.cli.results import show_evaluation, show_expectation
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.distributed import is_first_process
    from qakit.workflows.evaluate import evaluate as evaluate_model

    first = is_first_process()
    with TrainingDisplay(quiet=quiet, silent=not first) as display:
        result = evaluate_model(
            model,
            given,
            threshold=threshold,
            curve=curve,
            errors=errors,
            questions=questions,
            nbest=nbest,
            overrides=overrides_of(settings, reader=reader, reader_settings=reader_settings, metric=metric),
            listener=display,
        )
    if not first:
        return
    expectation = result.expectation
    if as_json:
        print_json(result.report.as_json() | ({} if expectation is None else {"expected": expectation.as_json()}))
        return
    if given is None:
        out.print(plain("On the validation file, which also chose the weights and whatever was tuned."))
    show_evaluation(result.report)
    if expectation is not None:
        show_expectation(expectation)
    for name, file in (("curve", curve), ("questions", questions)):
        if file is not None:
            out.print(plain(f"{name}: {file}"))
