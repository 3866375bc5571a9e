"""The members that an ensemble recipe wants trained: its block ``train`` read as a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from qakit.ensembling.load import EnsemblePlan
from qakit.ensembling.trained import MemberPlan
from qakit.errors import RecipeError
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.study.load import LoadedStudy
from qakit.study.model import Study
from qakit.study.plan import plan

_AT = ("ensemble", "train")
_PREDICTION = ("batch_size", "n_best", "aggregation", "character_scores", "null_threshold")
"""Fields of ``predict`` that leave the weights alone."""


def plan_members(
    ensemble: EnsemblePlan, path: Path, registry: Registry, *, overrides: Sequence[str] = (), check_files: bool = False
) -> tuple[MemberPlan, ...]:
    """The members to be trained, in the order of the grid; none where the recipe has no block ``train``.

    Args:
        ensemble: the loaded recipe.
        path: its file, for messages.
        overrides: ``--set`` for all of them.

    Raises:
        RecipeError: with every problem of every member's recipe.
    """
    if ensemble.train is None or ensemble.block is None:
        return ()
    block, tree = ensemble.train, ensemble.block
    file = Path(block.recipe)
    if not file.is_file():
        node = tree.entries["recipe"].value
        raise RecipeError([node.place.issue((*_AT, "recipe"), f"ensemble.train.recipe: file not found: {file}")])
    try:
        study = Study(name=ensemble.name, **block.model_dump())
    except ValidationError as error:
        issues = [tree.place.issue(_AT, f"ensemble.train: {problem['msg']}") for problem in error.errors()]
        raise RecipeError(issues) from None
    loaded = LoadedStudy(study, path, tree, MappingProxyType({"": file}))
    trials = plan(loaded, registry, overrides=overrides, check_files=check_files)
    first: dict[str, str] = {}
    members: list[MemberPlan] = []
    for trial in trials:
        training = recipe_hash(_training(trial.recipe))
        members.append(MemberPlan(trial.label, trial.recipe, first.get(training)))
        first.setdefault(training, trial.label)
    if isinstance(ensemble.weights, tuple) and len(ensemble.weights) != len(ensemble.members) + len(members):
        labels = ", ".join([*(each.name for each in ensemble.members), *(each.label for each in members)])
        message = f"ensemble.weights: {len(ensemble.weights)} numbers for the members {labels}"
        raise RecipeError([tree.place.issue(_AT, message)])
    return tuple(members)


def _training(recipe: Recipe) -> Recipe:
    """The recipe without what prediction alone looks at."""
    plain = type(recipe.predict)()
    predict = recipe.predict.model_copy(update={name: getattr(plain, name) for name in _PREDICTION})
    preprocess = recipe.preprocess.model_copy(update={"predict": recipe.preprocess.train})
    return recipe.model_copy(update={"predict": predict, "preprocess": preprocess, "postprocess": []})
