"""The best spans of averaged scores: one exact search in each context."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from qakit.api import Candidate, Example, NoAnswer, SpanPrediction, best_spans
from qakit_ensemble.axis import Axis, Float64, Int64, Side

BATCH = 1 << 19
"""Characters, padding included, that are searched at once, or those of one context."""
FEWEST = 8
"""Spans that are looked for in each context at least: the best ones may be line ends and nothing else, which some
tokenizers have tokens for."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Logarithms of average probabilities on an axis.

    Attributes:
        start: (U,) of ``axis.start``'s places, -inf for none.
        end: (U',) of ``axis.end``'s.
        null: (N,) of "no answer", the sum of both sides.
    """

    axis: Axis
    start: Float64
    end: Float64
    null: Float64


def search(
    scores: Scores, examples: Sequence[Example], *, n_best: int, longest: Int64, may_be_null: NDArray[np.bool_]
) -> list[SpanPrediction]:
    """The best spans of each question, over all its contexts, cut from the raw text.

    A span's score is the sum of its start's and its end's, less that of "no answer", whose own score is 0. Texts are
    trimmed of whitespace by moving the offsets; a text in several places keeps the best one.

    Args:
        n_best: candidates for each question.
        longest: (N,) the longest span in characters.
        may_be_null: (N,) whether a question may have no answer.
    """
    axis = scores.axis
    pairs = len(axis.pointers) - 1
    question = np.repeat(np.arange(len(examples)), np.diff(axis.examples))
    spans = max(n_best, FEWEST)
    first, last = np.zeros((2, pairs, spans), np.int64)
    score = np.full((pairs, spans), -np.inf)
    widths = np.diff(axis.pointers)
    limit = np.minimum(longest[question], widths)
    for batch, length in _batches(widths, limit):
        starts = _dense(axis.start, scores.start, axis.pointers, batch)
        ends = _dense(axis.end, scores.end, axis.pointers, batch)
        begin, stop, best = best_spans(
            starts, ends, start_mask=starts > -torch.inf, end_mask=ends > -torch.inf, k=spans, max_length=length
        )
        first[batch], last[batch] = begin.numpy(), stop.numpy()
        # In float64 again: best_spans orders by float64 sums and gives them back as float32.
        found = best.numpy() > -np.inf
        sums = starts.gather(1, begin).numpy() + ends.gather(1, stop).numpy() - scores.null[question[batch], None]
        score[batch] = np.where(found, sums, -np.inf)
    found_spans = []
    for row, example in enumerate(examples):
        own = slice(int(axis.examples[row]), int(axis.examples[row + 1]))
        null = bool(may_be_null[row])
        found_spans.append(_prediction(example, first[own], last[own], score[own], n_best=n_best, may_be_null=null))
    return found_spans


def _batches(widths: Int64, limit: Int64) -> Iterator[tuple[Int64, int]]:
    """The pairs with a character, in batches of equal limits and similar widths, and the limit of each batch."""
    order = np.lexsort((-widths, limit))
    order = order[limit[order] > 0]
    begin = 0
    while begin < len(order):
        length = int(limit[order[begin]])
        rows = max(1, BATCH // int(widths[order[begin]]))
        same = int(np.searchsorted(limit[order], length, side="right"))
        stop = min(begin + rows, same)
        yield order[begin:stop], length
        begin = stop


def _dense(side: Side, values: Float64, pointers: Int64, pairs: Int64) -> torch.Tensor:
    """(B, width) float64: the values of some contexts, -inf where no token starts (ends)."""
    width = int((pointers[pairs + 1] - pointers[pairs]).max())
    dense = np.full((len(pairs), width), -np.inf)
    low = np.searchsorted(side.place, pointers[pairs])
    counts = np.searchsorted(side.place, pointers[pairs + 1]) - low
    row = np.repeat(np.arange(len(pairs)), counts)
    index = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts) + low[row]
    dense[row, side.place[index] - pointers[pairs][row]] = values[index]
    return torch.from_numpy(dense)


def _prediction(
    example: Example, first: Int64, last: Int64, score: Float64, *, n_best: int, may_be_null: bool
) -> SpanPrediction:
    """From the spans of the question's contexts, (contexts, K) each."""
    columns = first.shape[1]
    order = np.argsort(-score, axis=None, kind="stable").tolist() if score.size else []
    firsts, lasts, values = first.ravel().tolist(), last.ravel().tolist(), score.ravel().tolist()
    found: dict[str, tuple[int, int, int, float]] = {}
    for place in order:
        if values[place] == -math.inf or len(found) == n_best:
            break
        context, start, end = place // columns, firsts[place], lasts[place] + 1
        text = example.contexts[context][start:end]
        trimmed = text.strip()
        if trimmed and trimmed not in found:
            start += len(text) - len(text.lstrip())
            found[trimmed] = (start, start + len(trimmed), context, values[place])
    shares = _shares([value for *_, value in found.values()], null=may_be_null)
    candidates = tuple(
        Candidate(text, start, end, context, value, share)
        for (text, (start, end, context, value)), share in zip(found.items(), shares, strict=False)
    )
    null = NoAnswer(0.0, shares[-1]) if may_be_null else None
    wins = not candidates or (null is not None and candidates[0].score < 0)
    return SpanPrediction(example.id, "" if wins else candidates[0].text, candidates, null)


def _shares(scores: Sequence[float], *, null: bool) -> list[float]:
    """Softmax over the candidates' scores and, at the end, "no answer" with the score 0."""
    values = [*scores, 0.0] if null else list(scores)
    largest = max(values, default=0.0)
    raised = [math.exp(value - largest) for value in values]
    total = math.fsum(raised)
    return [each / total for each in raised]
