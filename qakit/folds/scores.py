"""When all folds are trained: out-of-fold predictions, one score with its spread, one answer to the test file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from qakit.data.folds import Assignment
from qakit.data.splits import Split, split_files, split_sources
from qakit.ensembling.combine import combine
from qakit.files import write_json
from qakit.folds.combining import plan_of
from qakit.inference.evaluation import Judge
from qakit.inference.out_of_fold import averaged, out_of_fold
from qakit.inference.output import Submission, inputs_of, save_predictions, write_submission
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.report.folds import draw_folds
from qakit.runs import Run, environment, seconds_of
from qakit.values import Example, Prediction

Say = Callable[[str], None]


def finish_folds(
    run: Run, registry: Registry, split: Split, assignment: Assignment, *, say: Say, warn: Say
) -> Mapping[str, Any]:
    """Write what stands in the folder of the folds itself; returns what metrics.json holds.

    Args:
        run: the folder, all of its folds trained.
        registry: the installed plugins.
        split: all examples of the training files.
        assignment: their folds.
        say: gets a line for each part that takes time.
        warn: gets what is wrong with the submission, line by line.

    Raises:
        DataError: a fold's predictions are damaged or of other questions.
        UsageError: the recipe's ensembler cannot combine the answers.
    """
    recipe = run.recipe()
    assert recipe.folds is not None
    k = recipe.folds.k
    say("joining the out-of-fold predictions")
    predictions, characters = out_of_fold(run, split.examples, assignment, k=k)
    save_predictions(
        run.validation_predictions,
        predictions,
        recipe,
        run=run.name,
        inputs=inputs_of(split.files),
        characters=characters,
    )
    submission = None
    if split_sources(recipe, "test"):
        submission = _answer_test(run, recipe, registry, say, warn)
    judge = Judge.of(recipe, registry)
    metrics = {
        "run": str(run.folder),
        "validation": dict(judge.metric.compute(split.examples, predictions)),
        "folds": scores_of(split.examples, predictions, assignment, judge, k=k),
        "baselines": recipe.baselines,
        "seconds": round(seconds_of(run.fold(number) for number in range(1, k + 1)), 1),
        "submission": None if submission is None else submission.as_json(),
    }
    meta = environment() | {"recipe_sha256": recipe_hash(recipe), "seed": recipe.seed}
    write_json(run.meta_file, meta)
    draw_folds(metrics, run.folder / "folds.png", figure=judge.metric.primary, title=run.name)
    write_json(run.metrics_file, metrics)
    return metrics


def scores_of(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    assignment: Assignment,
    judge: Judge,
    *,
    k: int,
) -> dict[str, Any]:
    """The figures of each fold, their mean, and their standard deviation over the folds (of a sample: k - 1)."""
    rows: list[dict[str, Any]] = []
    for size in assignment.sizes(k):
        own = [row for row, fold in enumerate(assignment.fold) if fold == size["fold"]]
        figures = judge.metric.compute([examples[row] for row in own], [predictions[row] for row in own])
        rows.append({**size, "figures": dict(figures)})
    names = [name for name in rows[0]["figures"] if all(name in row["figures"] for row in rows)]
    values = {name: [float(row["figures"][name]) for row in rows] for name in names}
    return {
        "k": k,
        "folds": rows,
        "mean": {name: fmean(each) for name, each in values.items()},
        "sd": {name: stdev(each) for name, each in values.items()},
    }


def _answer_test(run: Run, recipe: Recipe, registry: Registry, say: Say, warn: Say) -> Submission:
    """The folds' models as one, through the recipe's ensembler, each counting the same."""
    assert recipe.folds is not None
    made = combine(plan_of(recipe, registry, run), registry, want_test=True, say=say)
    assert made.test is not None
    inputs = inputs_of(split_files(recipe, "test"))
    characters = averaged([run.fold(number) for number in range(1, recipe.folds.k + 1)])
    save_predictions(run.predictions, made.test, recipe, run=run.name, inputs=inputs, characters=characters)
    submission = write_submission(run.predictions / "submission", made.test, recipe, registry)
    for line in submission.told():
        warn(line)
    return submission
