"""What a head gives: losses, scores and what it decodes from them.

Shapes: B windows in a batch, T input positions, K candidates per window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """What a head computes for a batch.

    ``loss`` is the mean over the batch's windows (over its examples, for heads that read groups), float32, or None
    without targets.
    ``scores`` are float32 tensors by name, each with first dimension B; whatever ``decode`` needs.
    """

    loss: Tensor | None
    scores: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class SpanCandidates:
    """Decoded spans of a batch, in input positions (0 = first special token). Unused places have score -inf.

    Attributes:
        first: (B, K) int64, first input position of the span.
        last: (B, K) int64, last input position, **inclusive** (a position that was scored, not a slice end).
        score: (B, K) float32, best first.
        null: (B,) float32, the window's "no answer" score on the same scale.
    """

    first: Tensor
    last: Tensor
    score: Tensor
    null: Tensor


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Decoded classes of a batch: ``scores`` (B, C) float32, one logit for each of ``HeadRuntime.labels``.

    C = 1 for regression: the number itself.
    """

    scores: Tensor


@dataclass(frozen=True, slots=True)
class ContextScores:
    """How much each window of a batch looks like one of the context that holds the answer.

    ``scores`` (B,) float32, logits that can be compared between all windows of an example.
    """

    scores: Tensor


Decoded = SpanCandidates | LabelScores | ContextScores


@dataclass(frozen=True, slots=True)
class PositionScores:
    """How much each position looks like the first and the last one of an answer.

    Both are log-odds against "no answer" in this window, so windows of one question can be compared: the score of "no
    answer" is 0. Without regard to ``batch.start_mask``; -inf outside ``batch.context_mask``.

    Attributes:
        start: (B, T) float32.
        end: (B, T) float32; the last position of the answer, **inclusive**.
    """

    start: Tensor
    end: Tensor


@dataclass(frozen=True, slots=True)
class Distributions:
    """Probability distributions over choices of one kind: one for each window, or one for each example.

    Attributes:
        log_probability: float32, of any shape, with gradients: the logarithm of each choice's probability.
        possible: bool, of the same shape: what may be chosen. Elsewhere the logarithm may be any number.
        count: how many distributions these are; the probabilities of all that is possible sum up to it.
        weight: what they count in the head's loss, beside its distributions of other kinds.
    """

    log_probability: Tensor
    possible: Tensor
    count: int
    weight: float = 1.0
