"""A trained run's recipe with other values for what only prediction looks at: ``--set`` of ``qakit predict``."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.errors import UsageError
from qakit.recipe.dump import recipe_data
from qakit.recipe.load import recipe_of
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import dotted
from qakit.recipe.overrides import key_path
from qakit.registry import Registry

LOOKED_AT = (
    "predict",
    "preprocess.predict",
    "postprocess",
    "metric",
    "writer",
    "competition",
    "data.reader",
    "data.problems",
    "data.sample_submission",
)
"""What prediction looks at, and training does not: these blocks, and all below them."""
FILES = ("data.train", "data.validation", "data.test")


def prediction_recipe(recipe: Recipe, overrides: Sequence[str], registry: Registry) -> Recipe:
    """A checked recipe with ``a.b=value`` texts applied; paths in them are relative to the current folder.

    Raises:
        RecipeError: a value does not fit, or there is no such key.
        UsageError: a key that would need another training.
    """
    if not overrides:
        return recipe
    changed = recipe_of(recipe_data(recipe), overrides, registry=registry)
    for text in overrides:
        key = dotted(key_path(text))
        if key in FILES:
            raise UsageError(f"--set {key}: a trained run keeps its files; name other questions with --input")
        if not any(key == each or key.startswith(f"{each}.") for each in LOOKED_AT):
            raise UsageError(
                f"--set {key}: this takes another training (`qakit train`); of a trained run only what prediction "
                f"looks at can be changed: {', '.join(LOOKED_AT)}"
            )
    names = {key_path(text)[0] for text in overrides}
    return recipe.model_copy(update={name: getattr(changed, name) for name in names})


def given_threshold(before: Recipe, after: Recipe) -> float | None:
    """The no-answer threshold that a changed recipe fixes; None where that is as it was.

    Raises:
        UsageError: it is to be tuned, which only a training does.
    """
    given = after.predict.null_threshold
    if given == before.predict.null_threshold:
        return None
    if given == "tune":
        raise UsageError("--set predict.null_threshold: it is tuned at the end of a training; give a number")
    return given
