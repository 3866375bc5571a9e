"""The tricks of a recipe: as the loop meets them, and what they need, looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qakit.errors import UsageError
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import Recipe
from qakit.recipe.section import Every
from qakit.recipe.tricks import AdversarialSection, SwaSection
from qakit.training.adversarial import Attack
from qakit.training.averaging import WeightAverage, averaged_from
from qakit.training.freezing import Freezing
from qakit.training.plan import Plan
from qakit.training.r_drop import check_comparable, has_dropout


@dataclass(frozen=True, slots=True)
class Tricks:
    """What a training does beside its plain steps."""

    average: WeightAverage | None = None
    """Of the weights that train, updated with each step."""
    attack: Attack | None = None
    """What the adversarial pass of each step moves."""
    freezing: Freezing | None = None
    """What does not train yet."""


def check_tricks(recipe: Recipe, model: ReadingModel, plan: Plan, *, validated: bool) -> Iterator[str]:
    """Remarks for the user.

    Args:
        validated: whether there are validation examples.

    Raises:
        UsageError: a trick cannot do anything here.
    """
    section = recipe.train
    if section.adversarial is not None:
        _check_beginning(section.adversarial, plan)
    if section.r_drop is not None:
        check_comparable(model.head, name=recipe.head.name)
        if not has_dropout(model):
            yield (
                "train.r_drop: the model has no dropout, so both readings are the same and nothing is gained; give the "
                "head a dropout, or set the backbone's in backbone.overrides"
            )
    if section.swa is not None:
        yield from _check_average(section.swa, plan)
    if section.soup is not None:
        yield from _check_soup(plan.settled(section).evaluate_every, plan, validated=validated)


def _check_beginning(section: AdversarialSection, plan: Plan) -> None:
    if section.start_epoch > plan.last_begins:
        raise UsageError(
            f"train.adversarial would never begin: start_epoch is {section.start_epoch:g}, and the training's last "
            f"step begins at epoch {plan.last_begins:.4g}"
        )


def _check_average(section: SwaSection, plan: Plan) -> Iterator[str]:
    begin = averaged_from(section, plan.steps)
    taken = sum(step > begin for step in plan.due(section.every))
    if taken == 0:
        which = "the end of an epoch" if section.every == "epoch" else f"a multiple of {section.every}"
        raise UsageError(
            f"train.swa: no weights would be averaged: none of the last {plan.steps - begin} of {plan.steps} steps is "
            f"{which}; lower train.swa.every or train.swa.start"
        )
    if taken == 1:
        yield (
            "train.swa: only one step's weights go into the average, which are then evaluated as they are; lower "
            "train.swa.every or train.swa.start"
        )


def _check_soup(evaluate_every: Every, plan: Plan, *, validated: bool) -> Iterator[str]:
    if not validated:
        raise UsageError("train.soup chooses by validation data: set data.validation")
    if len({*plan.due(evaluate_every), plan.steps}) == 1:
        yield (
            "train.soup: there is one evaluation only, at the end, so there are no other weights to average with; "
            "lower train.evaluate_every"
        )
