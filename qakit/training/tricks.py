"""What the tricks of a recipe need, looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from qakit.errors import UsageError
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import Recipe
from qakit.recipe.tricks import SwaSection
from qakit.training.adversarial import attack_on
from qakit.training.averaging import averaged_from
from qakit.training.consistency import check_comparable, has_dropout


def check_tricks(
    recipe: Recipe, model: ReadingModel, *, steps: int, steps_per_epoch: int, validated: bool
) -> Iterator[str]:
    """Remarks for the user.

    Args:
        steps: length of the training.
        steps_per_epoch: of the first epoch.
        validated: whether there are validation examples.

    Raises:
        UsageError: a trick cannot do anything here.
    """
    section = recipe.train
    if section.soup is not None and not validated:
        raise UsageError("train.soup chooses by validation data: set data.validation")
    attack_on(model, section.adversarial)
    if section.adversarial is not None and section.adversarial.start_epoch * steps_per_epoch >= steps:
        raise UsageError(
            f"train.adversarial would never begin: start_epoch is {section.adversarial.start_epoch:g}, and there are "
            f"{steps / steps_per_epoch:g} epochs"
        )
    if section.r_drop is not None:
        check_comparable(model.head, name=recipe.head.name)
        if not has_dropout(model):
            yield (
                "train.r_drop: the model has no dropout, so both readings are the same and nothing is gained; give the "
                "head a dropout, or set the backbone's in backbone.overrides"
            )
    if section.swa is not None:
        yield from _check_average(section.swa, steps, steps_per_epoch)


def _check_average(section: SwaSection, steps: int, steps_per_epoch: int) -> Iterator[str]:
    every = steps_per_epoch if section.every == "epoch" else section.every
    begin = averaged_from(section, steps)
    taken = steps // every - begin // every
    if taken == 0:
        raise UsageError(
            f"train.swa: no weights would be averaged: none of the last {steps - begin} of {steps} steps is a multiple "
            f"of {every}; lower train.swa.every or train.swa.start"
        )
    if taken == 1:
        yield (
            "train.swa: only one step's weights go into the average, which are then evaluated as they are; lower "
            "train.swa.every or train.swa.start"
        )
