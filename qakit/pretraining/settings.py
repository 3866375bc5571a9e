"""The settings of `qakit pretrain`, for `--set`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from qakit.errors import RecipeError
from qakit.recipe.check import check_model
from qakit.recipe.nodes import BUILT_IN, Findings, MapNode, Place
from qakit.recipe.overrides import apply_overrides
from qakit.recipe.section import Every, Section


class PretrainSettings(Section):
    """Everything that determines a pretraining beside the texts and the backbone."""

    objective: Literal["mlm", "recurring_spans"] = "mlm"
    """`mlm`: guess hidden words (Devlin et al. 2019, BERT). `recurring_spans`: a span that comes several times in a
    window is hidden everywhere but once, and the model points to where it stayed (Ram et al. 2021, Splinter)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Longest input in tokens, special tokens included. Longer documents are cut into pieces."""
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of a window's tokens that is hidden, at most."""
    whole_words: bool = True
    """Of `mlm`: hide all tokens of a word together (whole-word masking)."""
    min_span: PositiveInt = 1
    """Of `recurring_spans`: shortest span in tokens; 2 for Chinese, where single characters come again everywhere."""
    max_span: PositiveInt = 10
    """Of `recurring_spans`: longest span in tokens."""
    common: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of `recurring_spans`: tokens of more than this share of the windows are function words, and no span consists of
    them alone."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the texts; fractions are allowed. What is hidden is drawn anew in each."""
    max_steps: PositiveInt | None = None
    """Stop after this many optimiser steps, whatever `epochs` says."""
    batch_size: PositiveInt = 32
    """Windows per optimiser step, over all processes and accumulation steps."""
    accumulation: PositiveInt = 1
    """Split each step's batch into this many forward passes, to save memory."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """Peak rate (AdamW)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Not applied to biases and normalisation weights."""
    warmup: Annotated[float, Field(ge=0)] = 0.06
    """Steps of linear warmup; below 1 it is a share of all steps. Then the rate falls to zero along a line."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "bf16_emulated"] = "auto"
    """As in a recipe."""
    log_every: PositiveInt = 10
    """Steps between lines in metrics.jsonl."""
    checkpoint_every: Every = "epoch"
    """Write a checkpoint every `epoch` or every N steps."""

    @model_validator(mode="after")
    def _spans_have_lengths(self) -> Self:
        if self.min_span > self.max_span:
            raise ValueError(f"min_span is {self.min_span}, but max_span is {self.max_span}")
        return self


def settings_from(overrides: Sequence[str]) -> PretrainSettings:
    """Settings from ``KEY=VALUE`` texts.

    Raises:
        RecipeError: every problem that was found.
    """
    findings = Findings()
    tree = apply_overrides(MapNode({}, Place(BUILT_IN)), overrides, findings)
    settings = check_model(PretrainSettings, tree, findings)
    if isinstance(settings, PretrainSettings) and not findings.issues:
        return settings
    raise RecipeError(findings.issues)
