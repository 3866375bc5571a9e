"""The models of all folds as one, for a file that comes later."""

from __future__ import annotations

from pathlib import Path

from qakit.ensembling.method import Method
from qakit.ensembling.stored import StoredEnsemble
from qakit.ensembling.validation import Decision
from qakit.errors import RunError
from qakit.folds.combining import plan_of
from qakit.registry import Registry
from qakit.runs import open_run


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
