"""The recipe of one fold: an ordinary one, judged on its part of the training file."""

from __future__ import annotations

from pathlib import Path

from qakit.errors import RunError
from qakit.recipe.model import Recipe
from qakit.runs import Run
from qakit.training.lineage import FROM_RUN, HARD, LABELS, NEGATIVES, WEIGHTS, negatives_from


def fold_recipe(recipe: Recipe, fold: int) -> Recipe:
    """The recipe of a fold, counted from 1.

    Where it builds on a run that has folds itself, it takes that run's model of the same fold: the one that did not see
    the part that this fold is judged on.

    Raises:
        RunError: that run is not where the recipe says, or has not trained this fold.
    """
    assert recipe.folds is not None
    backbone, pseudo, train = recipe.backbone, recipe.pseudo, recipe.preprocess.train
    if backbone.from_run is not None:
        path = _of_fold(WEIGHTS, backbone.from_run, fold)
        backbone = backbone.model_copy(update={"from_run": path, "source": f"{path}/model"})
    if pseudo is not None:
        pseudo = pseudo.model_copy(update={"from_run": _of_fold(LABELS, pseudo.from_run, fold)})
    negatives = negatives_from(recipe)
    if negatives is not None:
        train = train.model_copy(
            update={HARD: {**train.settings[HARD], FROM_RUN: _of_fold(NEGATIVES, negatives, fold)}}
        )
    return recipe.model_copy(
        update={
            "name": f"{recipe.name or 'run'}-fold-{fold}",
            "folds": recipe.folds.model_copy(update={"fold": fold}),
            "data": recipe.data.model_copy(update={"validation": None, "validation_limit": None}),
            "backbone": backbone,
            "pseudo": pseudo,
            "preprocess": recipe.preprocess.model_copy(update={"train": train}),
        }
    )


def _of_fold(key: str, path: str, fold: int) -> str:
    run = Run(Path(path))
    if not run.folder.exists():
        raise RunError(f"{key}: {path} is not there: put it back where it was")
    if not run.is_folds:
        return path
    own = run.fold(fold)
    if not own.metrics_file.is_file():
        raise RunError(f"{key}: {run.folder} has not trained its fold {fold} yet, from which fold {fold} would begin")
    return str(own.folder)
