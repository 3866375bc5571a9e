"""What a recipe can let change from epoch to epoch; all of it is off by default."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from qakit.recipe.section import Section

Length = Annotated[int, Field(ge=8)]
Epochs = Annotated[float, Field(gt=0)]


class TokenCutoutSection(Section):
    """Tokens of the training windows are hidden at random, anew in each epoch, so that the model cannot lean on a few.

    The idea of Shen et al. 2020, "A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language
    Understanding and Generation" (token cutoff), with the mask token in the place of a zeroed embedding.
    """

    rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the question's and the contexts' tokens that the mask token takes the place of, each drawn for itself.
    Special tokens stay."""
    keep_answer: bool = True
    """Never hide a token of the window's answer."""


class ProgressiveSection(Section):
    """Training windows grow from epoch to epoch: short ones first, which are faster, long ones at the end.

    Source: Li et al. 2022, "The Stability-Efficiency Dilemma: Investigating Sequence Length Warmup for Training GPT
    Models"; BERT itself was trained so (Devlin et al. 2019, appendix A.2).
    """

    lengths: Annotated[list[Length], Field(min_length=1)]
    """Longest training input in tokens, one length after the other, each longer than the one before; none longer than
    `windows.max_length`, which prediction goes by."""
    epochs: list[Annotated[int, Field(ge=1)]] | None = None
    """For how many epochs each length serves; by default one. The last one serves to the end, so its number may be
    left out."""

    @model_validator(mode="after")
    def _lengths_grow(self) -> Self:
        if any(longer <= shorter for shorter, longer in pairwise(self.lengths)):
            raise ValueError(f"lengths must grow, and {self.lengths} do not")
        if self.epochs is not None and len(self.epochs) not in (len(self.lengths), len(self.lengths) - 1):
            raise ValueError(f"{len(self.lengths)} lengths need {len(self.lengths) - 1} epochs, not {len(self.epochs)}")
        return self

    def stage(self, epoch: int) -> int:
        """Which of the lengths serves in an epoch (from 0)."""
        return next((stage for stage, begin in enumerate(self.begins[1:]) if epoch < begin), len(self.lengths) - 1)

    @property
    def begins(self) -> list[int]:
        """The first epoch of each length."""
        counts = self.epochs or [1] * len(self.lengths)
        return [sum(counts[:stage]) for stage in range(len(self.lengths))]

    def describe(self) -> list[str]:
        """One line for each length: ``windows of up to 96 tokens from epoch 1``."""
        return [
            f"windows of up to {length} tokens from epoch {begin}"
            for length, begin in zip(self.lengths, self.begins, strict=True)
        ]


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
