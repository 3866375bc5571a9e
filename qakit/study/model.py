"""The study: which recipes are trained with which values, as frozen pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from qakit.recipe.model import AboutSection, RecipePath, RecipeSource
from qakit.recipe.section import FOLDER_NAME, Section, check_folder_names

Values = dict[str, Any]
"""Dotted recipe keys and what they become: ``train.epochs: 1``, ``adapter: {name: lora, rank: 8}``."""


class SpaceSection(Section):
    """Where a search may look for one recipe value; give one of these."""

    uniform: tuple[float, float] | None = None
    """Between two numbers."""
    log: tuple[float, float] | None = None
    """Between two positive numbers, by their order of magnitude."""
    integer: tuple[int, int] | None = None
    """A whole number, ends included."""
    log_integer: tuple[int, int] | None = None
    """A whole number by its order of magnitude, ends included."""
    choice: list[Any] | None = None
    """One of these values; a value may be a whole block."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            raise ValueError("give one of `uniform`, `log`, `integer`, `log_integer` and `choice`")
        ((name, value),) = given.items()
        if name == "choice":
            if not value:
                raise ValueError("choice: the list is empty")
            return self
        if not value[0] < value[1]:
            raise ValueError(f"{name}: the first number must be smaller than the second")
        if name.startswith("log") and value[0] <= 0:
            raise ValueError(f"{name}: both numbers must be greater than 0")
        return self


class SearchSection(Section):
    """Let Optuna choose values, instead of a grid."""

    space: dict[str, SpaceSection]
    """Dotted recipe keys, and where to look for their values."""
    trials: PositiveInt = 20
    """How many trials."""
    sampler: Literal["tpe", "random"] = "tpe"
    """`tpe` learns from the trials before (Bergstra et al. 2011); `random` does not."""
    pruner: Literal["median", "halving"] | None = None
    """Stop a trial early: `median`, when it is below the median of the others at the same evaluation; `halving`, when
    it is not among the best third of those that came so far (Li et al. 2018)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the sampler."""

    @field_validator("space")
    @classmethod
    def _not_empty(cls, value: dict[str, SpaceSection]) -> dict[str, SpaceSection]:
        if not value:
            raise ValueError("name at least one recipe value, such as train.learning_rate: {log: [1e-5, 1e-3]}")
        return value


class Study(Section):
    """Trainings that differ in chosen values."""

    name: str | None = Field(default=None, pattern=FOLDER_NAME)
    """Names the study's folder and the study in the storage; by default the file's name."""
    description: str = ""
    """One line for lists and reports."""
    about: AboutSection | None = None
    """What it is for: what `qakit recipes list` is filtered by."""
    recipe: RecipePath | None = None
    """The recipe that all trials start from."""
    recipes: dict[str, RecipePath] = Field(default_factory=dict)
    """Instead of `recipe`: several by name, such as `{sst2: sst2.yaml, stsb: stsb.yaml}`. Each is a part of its own in
    the report."""
    set: Values = Field(default_factory=dict)
    """Recipe values for all trials: `{train.epochs: 1}`."""
    variants: dict[str, Values] = Field(default_factory=dict)
    """Sets of values that go together, by name: a method with its own learning rate. Each is a row of the report."""
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Recipe keys and their values: all combinations are trained, for each variant."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(default_factory=list)
    """Train everything with each of these seeds; by default once, with the recipe's own."""
    search: SearchSection | None = None
    """Search for good values. Goes without `grid` and `variants`."""
    baseline: str | None = None
    """The row of the report that the others are compared with; by default the first."""
    storage: RecipeSource | None = None
    """Where a search keeps what it has drawn: an address that Optuna knows (`postgresql://...`) or a file; by default
    `search.log` in the study's folder, which several machines may share."""

    @field_validator("grid")
    @classmethod
    def _no_empty_lists(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, items in value.items():
            if not items:
                raise ValueError(f"{key}: the list is empty")
        return value

    @field_validator("variants", "recipes")
    @classmethod
    def _plain_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_folder_names(value)
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: list[int]) -> list[int]:
        twice = [seed for index, seed in enumerate(value) if seed in value[:index]]
        if twice:
            raise ValueError(f"{twice[0]} is given twice")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.recipe is None) == (not self.recipes):
            raise ValueError("give `recipe`, or `recipes` for several by name")
        if self.search is not None:
            for name in ("grid", "variants", "recipes"):
                if getattr(self, name):
                    raise ValueError(f"`search` goes without `{name}`: put what it may choose from under search.space")
            if len(self.seeds) > 1:
                raise ValueError(
                    "`search` trains each trial once: give one seed, and train the best values with several afterwards"
                )
            if self.baseline is not None:
                raise ValueError("`baseline` names a row of a grid, but `search` has none")
        return self
