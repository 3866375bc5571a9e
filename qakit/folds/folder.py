"""The folder of the folds: a run folder whose models are those of its folds.

::

    runs/NAME-TIME/
      folds.json         k, group_by, seed; the training files with their SHA-256; questions and groups of each fold
      recipe.yaml        the recipe, with its block `folds`
      fold-1/ ...        the folds' own run folders, each judged on the part that it did not see
      meta.json          as in every run
      metrics.json       one score with its spread, once all folds are trained; folds.png: the same, drawn
      predictions/validation/    the out-of-fold predictions of all training examples, and their character scores where
                         the recipe keeps them
      predictions/       the joint answer of the folds' models to the test file, the submission, and likewise their mean
                         character scores
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qakit.data.folds import Assignment
from qakit.data.splits import split_files
from qakit.errors import RunError
from qakit.files import json_text
from qakit.inference.output import inputs_of
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.runs import FOLDS, Run, create_run, environment, open_run
from qakit.training.fold_recipe import fold_recipe


def folds_in(folder: Path | None, recipe: Recipe) -> list[str]:
    """The names of the recipe's folds that were trained as runs of their own, into their places in ``folder``.

    Raises:
        RunError: what lies in such a place is a run of another recipe.
    """
    if folder is None:
        return []
    assert recipe.folds is not None
    run = Run(folder)
    own = [number for number in range(1, recipe.folds.k + 1) if run.fold(number).recipe_file.is_file()]
    for number in own:
        _check_own(run, recipe, number)
    return [run.fold(number).name for number in own]


def create_folds(recipe: Recipe, folder: Path | None, assignment: Assignment) -> Run:
    """A new folder of folds; by default ``runs/NAME-TIME``. It may hold folds of the recipe already.

    Raises:
        RunError: the folder holds something else.
        OutputError: it cannot be made.
    """
    meta = environment() | {"recipe_sha256": recipe_hash(recipe), "seed": recipe.seed}
    others = {FOLDS: json_text(described(recipe, assignment)), "meta.json": json_text(meta)}
    return create_run(recipe, folder, others=others, beside=folds_in(folder, recipe))


def open_folds(folder: Path, recipe: Recipe | None = None) -> Run:
    """An existing folder of folds, with ``recipe`` one of just this recipe.

    Raises:
        RunError: it is none, or was made from another recipe.
    """
    run = open_run(folder)
    if not run.is_folds:
        raise RunError(f"{folder} holds no folds: it is a run of its own")
    if recipe is not None and recipe_hash(recipe) != recipe_hash(run.recipe()):
        raise RunError(f"{folder} holds the folds of another recipe: choose another --output")
    return run


def described(recipe: Recipe, assignment: Assignment) -> Mapping[str, Any]:
    """What folds.json holds."""
    assert recipe.folds is not None
    section = recipe.folds.model_dump(mode="json", include={"k", "group_by", "repeats", "seed"})
    files = inputs_of(split_files(recipe, "train"))
    return section | {"files": files, "folds": assignment.sizes(recipe.folds.k)}


def check_same_folds(run: Run, recipe: Recipe, assignment: Assignment) -> None:
    """Refuse to go on when the training files have changed, or the split with them.

    Raises:
        RunError: they have.
    """
    if run.read_json(run.folds_file) != described(recipe, assignment):
        raise RunError(f"{run.folder} was begun with other training files, so the folds are others now: begin anew")


def is_done(run: Run, recipe: Recipe, fold: int) -> bool:
    """Whether a fold is trained.

    Raises:
        RunError: what lies in its place is a run of another recipe.
    """
    own = run.fold(fold)
    if not own.recipe_file.is_file():
        return False
    _check_own(run, recipe, fold)
    return own.metrics_file.is_file()


def _check_own(run: Run, recipe: Recipe, fold: int) -> None:
    own = run.fold(fold)
    if recipe_hash(own.recipe()) != recipe_hash(fold_recipe(recipe, fold)):
        raise RunError(f"{own.folder} is not fold {fold} of {run.folder}: its recipe is another one")
