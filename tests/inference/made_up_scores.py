"""A model that makes up its scores, and the questions it is asked: for what comes after the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from qakit.data.batch import Batch
from qakit.data.template import PairTemplate
from qakit.inference.spans import best_spans
from qakit.modeling.assemble import Assembled
from qakit.protocols import HeadOutput, PositionScores, SpanCandidates
from qakit.recipe.model import Recipe
from qakit.values import Example

Aggregation = Literal["max_context", "max", "mean"]
AGGREGATIONS: tuple[Aggregation, ...] = ("max_context", "max", "mean")
WORDS = ["the", "and", "of", "Norman", "England", "in", "king", "was"]
QUESTION = "Who was king?"


class PlainHead(nn.Module):
    """Start and end scores, and half of that of "no answer", are as the model makes them up."""

    reads = "tokens"

    def __init__(self, n_best: int, max_answer_length: int) -> None:
        super().__init__()
        self.n_best, self.max_answer_length = n_best, max_answer_length

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        masks = {"start_mask": batch.start_mask, "end_mask": batch.context_mask}
        spans = best_spans(scores["start"], scores["end"], **masks, k=self.n_best, max_length=self.max_answer_length)
        return SpanCandidates(*spans, null=2 * scores["level"])


class PositionHead(PlainHead):
    def position_scores(self, scores: Mapping[str, Tensor], batch: Batch) -> PositionScores:
        odds = (scores[name] - scores["level"][:, None] for name in ("start", "end"))
        return PositionScores(*(each.masked_fill(~batch.context_mask, -torch.inf) for each in odds))


class MadeUpModel(nn.Module):
    """Log-odds that depend on the token and, with ``by_window``, on the window; windows differ in ``level``."""

    def __init__(self, head: PlainHead, *, by_window: bool, level: float) -> None:
        super().__init__()
        self.head, self.by_window, self.level = head, by_window, level
        self.backbone = nn.Linear(1, 1)  # it lies on a device

    @property
    def decoder(self) -> PlainHead:
        return self.head

    def forward(self, batch: Batch) -> HeadOutput:
        token, window = torch.from_numpy(batch.token).double(), torch.from_numpy(batch.window).double()[:, None]
        shift = window * 2.7 if self.by_window else 0.0
        level = self.level * torch.sin(window[:, 0])
        start, end = (5 * torch.sin(token * factor + shift) - 2 + level[:, None] for factor in (1.3, 1.7))
        return HeadOutput(None, {"start": start.float(), "end": end.float(), "level": level.float()})


def recipe_of(*, max_length: int = 32, step: int = 5, **predict: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": "none"},
            "windows": {"max_length": max_length, "max_question_length": 8},
            "preprocess": {"predict": {"name": "stride", "step": step}},
            "predict": {"batch_size": 3, "n_best": 5, "max_answer_length": 4, **predict},
            "metric": "squad_v2" if predict.get("no_answer") else "squad_v1",
        }
    )


def assembled_of(
    tokenizer: Any, recipe: Recipe, *, by_window: bool = True, level: float = 0.0, head: type[PlainHead] = PositionHead
) -> Assembled:
    made = head(recipe.predict.n_best, recipe.predict.max_answer_length)
    model: Any = MadeUpModel(made, by_window=by_window, level=level)
    nothing: Any = None
    return Assembled(model, tokenizer, PairTemplate.of(tokenizer), config=nothing, adapter=nothing)


def texts(least: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(WORDS), min_size=least, max_size=most).map(" ".join)


def questions(least: int, most: int) -> st.SearchStrategy[list[Example]]:
    """Questions with one to three contexts of so many words."""
    contexts = st.lists(st.lists(texts(least, most), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3)
    return contexts.map(lambda listed: [Example(f"q{row}", QUESTION, each) for row, each in enumerate(listed)])


LONG = [
    Example("a", QUESTION, (" ".join(WORDS * 12), " ".join(WORDS[::-1] * 9))),
    Example("b", QUESTION, (" ".join(WORDS[::2] * 25),)),
]
