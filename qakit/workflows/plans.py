"""What is to be trained, told from a recipe or from the folder that is gone on with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.events import Listener
    from qakit.workflows.members import EnsembleTraining
    from qakit.workflows.pipeline import PipelineTraining
    from qakit.workflows.result import TrainingResult


class PlannedTraining(Protocol):
    """A recipe that is read and checked, for one training or for several; nothing is written yet."""

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """Prepare everything and say what would be trained, as plain values."""
        ...

    def train(self, listener: Listener) -> TrainingResult:
        """Train what is not trained yet, evaluate, predict the test file and write the submission.

        Raises:
            QakitError: whatever is wrong with data, models or folders.
            InterruptedTrainingError: it was asked to stop, and has written a checkpoint.
        """
        ...


def plan_training(
    recipe: Path | None,
    output: Path | None,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    fold: int | None = None,
    registry: Registry,
) -> PlannedTraining:
    """Read and check what is to be trained.

    Args:
        recipe: a recipe file, or the name of one of qakit's own; not looked at with ``resume``.
        output: the folder of the run; by default ``runs/NAME-TIME``.
        overrides: ``a.b=value`` texts.
        resume: go on with the run in ``output``, from its last checkpoint.
        fold: of a recipe with folds the only one to train, counted from 1.

    Raises:
        UsageError: these do not go together.
        RecipeError: with every problem of the recipe.
        RunError: there is nothing in ``output`` to go on with.
    """
    from qakit.runs import Run, recover_run

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if resume and output is not None:
        recover_run(Run(output))  # its files say below what kind of run it is
    composed = (("an ensemble", _ensemble), ("a pipeline", _pipeline))
    for what, planned in composed:
        found = planned(recipe, output, overrides, resume, registry)
        if found is not None and fold is not None:
            raise UsageError(f"--fold is for a recipe with `folds`; {what} has none")
        if found is not None:
            return found
    return _by_recipe(recipe, output, overrides, resume, fold, registry)


def _by_recipe(
    path: Path | None,
    output: Path | None,
    overrides: Sequence[str],
    resume: bool,
    fold: int | None,
    registry: Registry,
) -> PlannedTraining:
    """A recipe without stages and members: one training, or one for each fold."""
    from qakit.recipe.found import found_recipe
    from qakit.recipe.load import load_recipe
    from qakit.workflows.folds import FoldsTraining
    from qakit.workflows.training import SingleTraining

    run = None
    if resume:
        run = _resumed(output, overrides, "--resume goes on with the run's own recipe: --set cannot change it")
        recipe = run.recipe()
    elif path is None:
        raise UsageError("which recipe? `qakit recipes list` shows those in ./recipes")
    else:
        recipe = load_recipe(found_recipe(path), overrides, registry=registry, check_files=True).recipe
        if recipe.folds is not None and recipe.folds.fold is not None:
            from qakit.training.fold_recipe import fold_recipe

            recipe = fold_recipe(recipe, recipe.folds.fold)
    if recipe.folds is not None and recipe.folds.fold is None:
        return FoldsTraining(recipe, registry, output, resume, fold)
    if fold is not None:
        raise UsageError("--fold is for a recipe with `folds: {k: 5}`, of which it trains one")
    return SingleTraining(recipe, registry, output, run)


def _resumed(output: Path | None, overrides: Sequence[str], refusal: str) -> Run:
    from qakit.runs import open_run

    if output is None:
        raise UsageError("--resume needs --output RUN: the folder of the run to go on with")
    if overrides:
        raise UsageError(refusal)
    return open_run(output)


def _pipeline(
    recipe: Path | None, output: Path | None, overrides: Sequence[str], resume: bool, registry: Registry
) -> PipelineTraining | None:
    """A pipeline, if it is one."""
    from qakit.recipe.found import found_recipe
    from qakit.stages.folder import is_pipeline_folder, reload_pipeline
    from qakit.stages.load import is_pipeline, load_pipeline
    from qakit.workflows.pipeline import PipelineTraining, check_alone

    if resume and output is not None and is_pipeline_folder(output):
        check_alone()
        refusal = "--resume goes on with the pipeline's own recipes: --set cannot change them"
        run = _resumed(output, overrides, refusal)
        return PipelineTraining(reload_pipeline(run, registry=registry), registry, output, run)
    if resume or recipe is None or not is_pipeline(found_recipe(recipe)):
        return None
    check_alone()
    loaded = load_pipeline(found_recipe(recipe), overrides, registry=registry, check_files=True)
    return PipelineTraining(loaded, registry, output, None)


def _ensemble(
    recipe: Path | None, output: Path | None, overrides: Sequence[str], resume: bool, registry: Registry
) -> EnsembleTraining | None:
    """An ensemble whose members are to be trained, if it is one."""
    from qakit.ensembling.load import is_ensemble
    from qakit.ensembling.trained import is_trained_folder, reload_trained
    from qakit.recipe.found import found_recipe
    from qakit.workflows.members import EnsembleTraining, read_ensemble

    if resume and output is not None and is_trained_folder(output):
        refusal = "--resume goes on with the members' own recipes: --set cannot change them"
        run = _resumed(output, overrides, refusal)
        return EnsembleTraining(reload_trained(run), registry, output, run)
    if resume or recipe is None or not is_ensemble(found_recipe(recipe)):
        return None
    loaded = read_ensemble(found_recipe(recipe), overrides, registry)
    if not loaded.members:
        raise UsageError(f"{recipe} names members that are trained already: qakit ensemble {recipe}")
    return EnsembleTraining(loaded, registry, output, None)
