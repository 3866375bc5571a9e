"""Cross-validation: out-of-fold predictions, one score with its spread, the folds' models and their answers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from qakit.data.folds import Assignment
from qakit.data.labels import run_classes
from qakit.data.splits import Split, split_sources
from qakit.ensembling.combine import combine
from qakit.ensembling.folder import StoredEnsemble
from qakit.ensembling.load import EnsemblePlan
from qakit.ensembling.method import Method
from qakit.ensembling.validation import Decision
from qakit.errors import DataError, RunError, UsageError
from qakit.files import write_json
from qakit.inference.aggregation import given_by
from qakit.inference.data_rules import STAND_INS, stand_in, untrained_head
from qakit.inference.evaluation import Judge
from qakit.inference.inputs import Inputs
from qakit.inference.out_of_fold import averaged, out_of_fold
from qakit.inference.output import Submission, save_predictions, write_submission
from qakit.names import quoted
from qakit.protocols import EnsembleMember
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.report.curves import draw_folds
from qakit.runs import Run, clock_of, environment, open_run, seconds_of
from qakit.runs.plugins import settings_versions
from qakit.training.events import Listener, Notice, Remark
from qakit.values import Example, Prediction


def plan_of(recipe: Recipe, registry: Registry, run: Run) -> EnsemblePlan:
    """The ensemble of the folds in ``run``, by the recipe's ensembler; each counts the same.

    Raises:
        UnknownPluginError: there is no such ensembler.
        PluginError: its settings do not fit.
    """
    assert recipe.folds is not None
    named = recipe.folds.combine
    settings = registry.check_settings("ensemblers", named.name, named.settings).model_dump(mode="json")
    members = tuple(run.fold(number).folder for number in range(1, recipe.folds.k + 1))
    return EnsemblePlan("folds", members, named.name, settings, None)


def check_combining(recipe: Recipe, registry: Registry, split: Split, *, first: Recipe) -> None:
    """Make sure that ``folds.combine`` can do what will be asked of it: it is tried on stand-ins.

    Args:
        split: all examples of the training files.
        first: the recipe of the first fold.

    Raises:
        UnknownPluginError: there is no such ensembler.
        UsageError: it is for other predictions than the recipe's head makes, or the folds would not keep what it needs.
        ModelError, RunError: the backbone's configuration cannot be read.
    """
    assert recipe.folds is not None
    plan = plan_of(recipe, registry, Run(Path()))  # stand-ins: only the members' names count
    if not split_sources(recipe, "test"):
        return
    method = Method.of(plan.method, plan.settings, plan.weights, len(plan.members), registry)
    method.check_characters(recipe, remedy="put `predict: {character_scores: true}` into the recipe")
    classes = run_classes(recipe.data.labels, (*split.examples, *split.others))
    gives = given_by(untrained_head(first, registry, classes))
    method.check_answers(recipe.head.name, gives, key="folds.combine")
    if method.reads_characters:
        return
    examples = [example for example in split.examples if example.labelled][:STAND_INS]
    if not examples:
        return  # nothing to learn: a fold's training says so
    answers = [stand_in(example, gives, classes) for example in examples]
    figures = Judge.of(first, registry).metric.compute(examples, answers)
    members = [EnsembleMember(folder.name, answers, figures=figures, seed=first.seed) for folder in plan.members]
    shares = (1 / len(members),) * len(members)
    try:
        pool = method.pool(members, examples)
        pool.combine(shares, (1.0,) * len(members), n_best=recipe.predict.n_best)
    except UsageError as error:
        raise UsageError(f"folds.combine: {error}") from error


def open_together(folder: Path, registry: Registry) -> StoredEnsemble:
    """The folds' models, each counting the same, combined as they answered the recipe's own test file.

    Raises:
        RunError: the folder is damaged, or not all folds are trained.
        PluginError: the recipe's ensembler is not installed, or no longer has its settings.
    """
    run = open_run(folder)
    recipe = run.recipe()
    if recipe.folds is None:
        raise RunError(f"{run.folds_file} is there, but the recipe beside it has no folds: the folder is damaged")
    missing = [number for number in range(1, recipe.folds.k + 1) if not run.fold(number).finished]
    if missing:
        again = f"qakit train --resume --output {quoted(folder)}"
        raise RunError(f"{folder}: fold {missing[0]} is not trained yet; {again}")
    plan = plan_of(recipe, registry, run)
    method = Method.of(plan.method, plan.settings, plan.weights, len(plan.members), registry)
    # Answers are cleaned up as the first member's are, whatever clean-up has learnt from its training examples.
    recipe = recipe.model_copy(update={"postprocess": run.fold(1).recipe().postprocess})
    return StoredEnsemble(run, recipe, plan.members, method, Decision.plain(len(plan.members)), {})


def finish_folds(
    run: Run, registry: Registry, split: Split, assignment: Assignment, listener: Listener
) -> Mapping[str, Any]:
    """Write what stands in the folder of the folds itself; returns what metrics.json holds.

    Args:
        run: the folder, all of its folds trained.
        split: all examples of the training files.

    Raises:
        DataError: a fold's predictions are damaged or of other questions.
        UsageError: the recipe's ensembler cannot combine the answers.
    """
    recipe = run.recipe()
    assert recipe.folds is not None
    k, inputs = recipe.folds.k, Inputs.of(split)
    for fold in map(run.fold, range(1, k + 1)):
        if (then := Inputs.trained_on(fold)) and not then.same_as(inputs):
            raise DataError("was trained on other files than the other folds: delete it and resume", path=fold.folder)
    listener(Remark("joining the out-of-fold predictions"))
    predictions, characters = out_of_fold(run, split.examples, assignment, k=k)
    save_predictions(
        run.validation_predictions,
        predictions,
        recipe,
        run=run.name,
        inputs=inputs,
        characters=characters,
    )
    submission = None
    if split_sources(recipe, "test"):
        submission = _answer_test(run, recipe, registry, listener)
    judge = Judge.of(recipe, registry)
    metrics = {
        "run": str(run.folder),
        "validation": dict(judge.metric.compute(split.examples, predictions)),
        "folds": scores_of(split.examples, predictions, assignment, judge, k=k),
        "baselines": recipe.baselines,
        "seconds": round(seconds_of(run.fold(number) for number in range(1, k + 1)), 1),
        "submission": None if submission is None else submission.as_json(),
        **clock_of(run.fold(number) for number in range(1, k + 1)),
    }
    meta = environment() | {"recipe_sha256": recipe_hash(recipe), "seed": recipe.seed}
    meta["settings"] = settings_versions(recipe, registry)
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


def _answer_test(run: Run, recipe: Recipe, registry: Registry, listener: Listener) -> Submission:
    """The folds' models as one, through the recipe's ensembler, each counting the same."""
    assert recipe.folds is not None
    made = combine(plan_of(recipe, registry, run), registry, want_test=True, say=lambda text: listener(Remark(text)))
    assert made.test is not None
    inputs = made.test_kept[0].inputs
    characters = averaged([each.path.parent for each in made.test_kept])
    save_predictions(run.predictions, made.test, recipe, run=run.name, inputs=inputs, characters=characters)
    submission = write_submission(run.predictions / "submission", made.test, recipe, registry)
    for line in submission.told():
        listener(Notice(line))
    return submission
