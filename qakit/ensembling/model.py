"""The ensemble recipe: which runs are combined and how, as frozen pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from qakit.ensembling.shares import as_shares
from qakit.recipe.model import AboutSection, PluginRef, RecipePath
from qakit.recipe.section import FOLDER_NAME, Section, check_folder_names

Values = dict[str, Any]
"""Dotted recipe keys and what they become, as in a study."""


class TrainedMembers(Section):
    """Members that `qakit train` makes: one for each combination of values, as in a study. Those that differ in
    prediction only share one training."""

    recipe: RecipePath
    """The recipe that all of them start from."""
    set: Values = Field(default_factory=dict)
    """Recipe values for all of them: `{predict.character_scores: true}`."""
    variants: dict[str, Values] = Field(default_factory=dict)
    """Sets of values that go together, by name."""
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Recipe keys and their values: all combinations, for each variant."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(default_factory=list)
    """All of them with each of these seeds; by default once, with the recipe's own."""

    @field_validator("variants")
    @classmethod
    def _plain_names(cls, value: dict[str, Values]) -> dict[str, Values]:
        check_folder_names(value)
        return value


class EnsembleSection(Section):
    """The members and how they are combined."""

    members: list[RecipePath] = Field(default_factory=list)
    """Run folders, also by patterns (`../runs/seed-*`), or files of answers."""
    train: TrainedMembers | None = None
    """Members that are trained first, by `qakit train` of this recipe."""
    method: PluginRef = PluginRef(name="voting")
    """How they are combined (`qakit plugins --kind ensemblers`)."""
    weights: Literal["equal", "learn"] | list[float] = "equal"
    """One number for each member, in their order; `learn`: what suits the runs' validation predictions."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the halves that learnt weights are judged on, and of the bootstrap."""

    @model_validator(mode="after")
    def _some_members(self) -> EnsembleSection:
        if not self.members and self.train is None:
            raise ValueError("give `members`, or `train` for members that are to be trained")
        return self

    @field_validator("weights")
    @classmethod
    def _usable(cls, value: str | list[float]) -> str | list[float]:
        if isinstance(value, list):
            as_shares(value)
        return value


class EnsembleRecipe(Section):
    """Several runs as one."""

    name: str | None = Field(default=None, pattern=FOLDER_NAME)
    """Names the ensemble's folder; by default the recipe file's name."""
    description: str = ""
    """One line for lists."""
    about: AboutSection | None = None
    """What it is for: what `qakit recipes list` is filtered by."""
    ensemble: EnsembleSection
