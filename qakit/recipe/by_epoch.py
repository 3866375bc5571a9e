"""What a recipe can let change from epoch to epoch; all of it is off by default."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from qakit.recipe.section import Section

Epochs = Annotated[float, Field(gt=0)]


class FrozenSection(Section):
    """The bottom of the backbone stays as it is for the first part of the training."""

    until: Epochs
    """Until when, in epochs from the beginning; fractions are allowed."""
    embeddings: bool = True
    """Whether the embeddings are frozen."""
    layers: NonNegativeInt | Literal["all"] = 0
    """How many encoder layers are frozen, counted from the input; `all`: the whole backbone but, maybe, its embeddings.
    """

    @model_validator(mode="after")
    def _freezes_something(self) -> Self:
        if not self.embeddings and not self.layers:
            raise ValueError("this freezes nothing: give layers, or leave embeddings: true")
        return self


class FreezingSection(Section):
    """Parts of the backbone stay frozen at first: no update, no weight decay, no moments. The head always trains.

    Source: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (gradual unfreezing).
    """

    stages: list[FrozenSection] = Field(default_factory=list)
    """What is frozen until when; a part that several name is frozen until the last of them."""
    gradual: Epochs | None = None
    """Instead: train the head alone for so many epochs (usually a fraction), then thaw one more layer after each
    further so many, from the top layer down; the embeddings come last."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.stages) == (self.gradual is not None):
            raise ValueError("give either stages or gradual")
        return self
