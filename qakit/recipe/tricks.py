"""What a recipe can switch on beside the plain optimisation; all of it is off by default."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from qakit.recipe.section import Every, Section


class EmaSection(Section):
    """Exponential moving average of the weights: the average is evaluated and kept."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the average that stays at each step; the first steps count less of the past."""


class SwaSection(Section):
    """Stochastic weight averaging (Izmailov et al. 2018): the equal average of the last part's weights is evaluated and
    kept."""

    start: Annotated[float, Field(ge=0, lt=1)] = 0.75
    """Share of the training's steps after which averaging begins; until then the weights themselves are evaluated."""
    every: Every = 10
    """Take the weights in every N steps, or at the end of each `epoch`."""
    learning_rate: PositiveFloat | None = None
    """A constant rate from `start` on, in place of the schedule, for the backbone; other rates keep their proportion to
    it. By default the schedule continues."""


class SoupSection(Section):
    """Greedy soup (Wortsman et al. 2022) of a run's own evaluated weights, cooked when the training ends."""

    candidates: Annotated[int, Field(ge=2)] = 5
    """How many of the best evaluated weights are kept for it. They lie in the run's folder until the training ends."""


class AdversarialSection(Section):
    """A second forward and backward pass of each step, on weights that are moved to where the loss is larger."""

    method: Literal["fgm", "awp"]
    """`fgm`: the word embeddings are moved along their gradient (fast gradient method, Miyato et al. 2017). `awp`: all
    trained matrices are (adversarial weight perturbation, Wu et al. 2020)."""
    epsilon: PositiveFloat | None = None
    """`fgm`: the norm of what is added to the embedding table; by default 1. `awp`: how far a weight moves at most, as
    a share of its size; by default 0.01."""
    step_size: PositiveFloat | None = None
    """`awp`: the norm of what is added to a matrix, as a share of the matrix's norm, before `epsilon` bounds it; by
    default 1."""
    start_epoch: Annotated[float, Field(ge=0)] = 0.0
    """Passes over the training examples before it begins; fractions are allowed."""
    weight: PositiveFloat = 1.0
    """What the adversarial gradients are multiplied with."""
    keep_clean: bool = True
    """Add them to the gradients of the unmoved weights; false: the step follows the adversarial gradients alone."""

    @model_validator(mode="after")
    def _of_the_method(self) -> Self:
        if self.method == "fgm" and self.step_size is not None:
            raise ValueError("step_size is of awp; fgm moves the table by epsilon")
        if self.method == "awp" and self.epsilon is not None and self.epsilon >= 1:
            raise ValueError(
                f"epsilon is {self.epsilon:g}, but with awp it is a share, and a weight may move by less than its size "
                "(0.01 by default); with fgm it is a norm"
            )
        return self


class RDropSection(Section):
    """R-Drop (Liang et al. 2021): every input is read under two dropout masks, which should agree."""

    weight: PositiveFloat = 1.0
    """Weight of the symmetric Kullback-Leibler divergence between both readings, beside the mean of their losses. The
    paper's alpha is twice this: it adds the losses up."""


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
