"""The folds' models as one: whether their answers can be combined, and the models themselves, for later files."""

from __future__ import annotations

from pathlib import Path

from qakit.data.labels import run_classes
from qakit.data.splits import Split, split_sources
from qakit.ensembling.load import EnsemblePlan
from qakit.ensembling.method import Method
from qakit.ensembling.stored import StoredEnsemble
from qakit.ensembling.validation import Decision
from qakit.errors import RunError, UsageError
from qakit.inference.stand_ins import head_gives, stand_in
from qakit.protocols import EnsembleMember
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, open_run


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
    gives = head_gives(first, registry, classes)
    if method.reads_characters:
        if gives != "spans":
            raise UsageError(
                f"folds.combine: {method.name} is for answers, and the head {recipe.head.name!r} gives {gives}"
            )
        return
    example = split.examples[0]
    answer = [stand_in(example, gives, classes)]
    members = [EnsembleMember(folder.name, answer) for folder in plan.members]
    shares = (1 / len(members),) * len(members)
    try:
        pool = method.pool(members, [example])
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
        raise RunError(f"{folder}: fold {missing[0]} is not trained yet; qakit train --resume --output {folder}")
    plan = plan_of(recipe, registry, run)
    method = Method.of(plan.method, plan.settings, plan.weights, len(plan.members), registry)
    # Answers are cleaned up as the first member's are, whatever clean-up has learnt from its training examples.
    recipe = recipe.model_copy(update={"postprocess": run.fold(1).recipe().postprocess})
    return StoredEnsemble(run, recipe, plan.members, method, Decision.plain(len(plan.members)), {})
