"""Answers as transformers' question-answering pipeline gave them: probabilities within a window, summed by text.

A span's probability is that of its first token times that of its last one, each under a softmax over the window's
context tokens and position 0. Spans of all windows with the same text, whatever its case, add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from qakit.data.batch import Batch
from qakit.data.template import backend_copy
from qakit.inference.collectors import SpanScores
from qakit.inference.spans import best_spans
from qakit.protocols import HeadOutput, PoolsLayers, Reads, ScoresPositions, SpanCandidates
from qakit.values import Example

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class WindowProbabilities(nn.Module):
    """A head that decodes to log-probabilities within each window, where another one gives start and end scores."""

    reads: Reads = "tokens"

    def __init__(self, head: nn.Module, *, k: int, max_length: int) -> None:
        """``k`` spans of each window, of at most ``max_length`` tokens; ``head`` scores positions."""
        super().__init__()
        self.head = head
        self.k, self.max_length = k, max_length
        self.pools = isinstance(head, PoolsLayers) and head.pools

    def pool(self, layers: Sequence[Tensor]) -> Tensor:
        """As the head does."""
        assert isinstance(self.head, PoolsLayers)
        return self.head.pool(layers)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """What the head makes of ``hidden`` (B, T, H)."""
        output: HeadOutput = self.head(hidden, batch)
        return output

    @torch.no_grad()
    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The likeliest spans of each window, those that other windows hold more whole among them."""
        assert isinstance(self.head, ScoresPositions)
        odds = self.head.position_scores(scores, batch)
        start, end = (_log_probabilities(each) for each in (odds.start, odds.end))
        mask = batch.context_mask
        spans = best_spans(start, end, start_mask=mask, end_mask=mask, k=self.k, max_length=self.max_length)
        return SpanCandidates(*spans, null=start[:, 0] + end[:, 0])


def _log_probabilities(odds: Tensor) -> Tensor:
    """(B, T) log-odds against position 0, -inf where nothing is possible -> log-probabilities."""
    odds = odds.float().clone()
    odds[:, 0] = 0.0
    return odds.log_softmax(dim=1)


@dataclass(slots=True)
class WindowAnswer:
    """A text with its place and probability. Offsets are characters of the context, the end exclusive."""

    score: float
    start: int
    end: int
    answer: str


class Words:
    """Where the words of contexts lie, as the tokenizer sees words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._backend: Tokenizer = backend_copy(tokenizer)
        self._last: tuple[str, dict[int, int], dict[int, int]] = ("", {}, {})

    def around(self, context: str, start: int, end: int) -> tuple[int, int]:
        """The characters of the words in which a span of tokens begins and ends; its own where it is in no word."""
        if self._last[0] != context:
            self._last = (context, *self._bounds(context))
        _, starts, ends = self._last
        return starts.get(start, start), ends.get(end, end)

    def _bounds(self, context: str) -> tuple[dict[int, int], dict[int, int]]:
        """First character of a token -> that of its word; end of a token -> that of its word."""
        encoding = self._backend.encode(context, add_special_tokens=False)
        pairs = zip(encoding.word_ids, encoding.offsets, strict=True)
        tokens = [(word, start, end) for word, (start, end) in pairs if word is not None]
        first: dict[int, int] = {}
        for word, start, _ in tokens:
            first.setdefault(word, start)
        last = {word: end for word, _, end in tokens}
        return {start: first[word] for word, start, _ in tokens}, {end: last[word] for word, _, end in tokens}


def window_answers(
    scores: SpanScores, examples: Sequence[Example], *, top_k: int, no_answer: bool, words: Words | None
) -> Iterator[list[WindowAnswer]]:
    """The best answers to each example, which has a single context.

    Args:
        scores: of :class:`WindowProbabilities`.
        examples: in the order in which they were scored.
        top_k: answers of each at most.
        no_answer: whether an empty answer takes part, with the smallest of its windows' probabilities.
        words: answers are widened to whole words; None: they end where tokens do.
    """
    table = scores.spans
    windows = np.argsort(scores.windows.example, kind="stable")
    bounds = np.searchsorted(scores.windows.example[windows], np.arange(len(examples) + 1))
    for row, example in enumerate(examples):
        own = windows[bounds[row] : bounds[row + 1]]
        found = _summed(table.score[own], table.start[own], table.end[own], example.contexts[0], words)
        if no_answer:
            least = float(np.exp(table.null[own]).min(initial=1.0))
            found.append(WindowAnswer(least, 0, 0, ""))
        yield sorted(found, key=lambda answer: -answer.score)[:top_k]


def _summed(
    score: np.ndarray, start: np.ndarray, end: np.ndarray, context: str, words: Words | None
) -> list[WindowAnswer]:
    """One answer for each text of (W, K) spans, where its likeliest place in the first window is."""
    found: dict[str, WindowAnswer] = {}
    for log_probability, first, stop in zip(score.flat, start.flat, end.flat, strict=True):
        if log_probability == -np.inf:
            continue
        begin, finish = (int(first), int(stop)) if words is None else words.around(context, int(first), int(stop))
        text = context[begin:finish]
        trimmed = text.strip()
        if not trimmed:
            continue
        begin += len(text) - len(text.lstrip())
        known = found.get(trimmed.lower())
        if known is None:
            found[trimmed.lower()] = WindowAnswer(math.exp(log_probability), begin, begin + len(trimmed), trimmed)
        else:
            known.score += math.exp(log_probability)
    return list(found.values())
