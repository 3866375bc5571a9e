"""Candidates of all windows -> one prediction per example, cut from the raw text by character offsets."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from qakit.data.arrays import Float32, Float64, Int32, Int64
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import YES_NO_START, SpanTable
from qakit.values import YES_NO, Candidate, Example, NoAnswer, SetPrediction, SpanPrediction

__all__ = ["SpanTable", "span_predictions"]


UNSUPPORTED = 100.0
"""How far below "no answer" a candidate scores that no head decoded: e^-100 times as likely, and still a number."""


def span_predictions(
    table: SpanTable,
    windows: Windows,
    encoded: EncodedExamples,
    examples: Sequence[Example],
    *,
    n_best: int,
    no_answer: bool,
    null_threshold: float = 0.0,
    temperature: float = 1.0,
) -> list[SpanPrediction]:
    """One prediction per example over all its windows and contexts, in the examples' order.

    Candidates are the ``n_best`` best-scored texts, yes and no among them. Whitespace at their ends is trimmed by
    moving the offsets, so that ``example.contexts[c][start:end] == text`` always holds; a text in several places keeps
    the best-scored one; none is empty. Probabilities are a softmax over the kept candidates and, with ``no_answer``,
    the null option.

    A question with windows always has a candidate, unless none of its contexts' tokens has anything to see. Where the
    head decoded blank spans alone, it is the visible token nearest to the best of them, with its score; where the head
    decoded nothing at all, the first visible token, :data:`~qakit.inference.nbest.UNSUPPORTED` below "no answer".

    An example's null score is the smallest one of its windows: a window that does not hold the answer says "no answer"
    rightly, so only the least convinced window counts (as in google-research/bert, ``run_squad.py``).

    Args:
        table: candidates of every window.
        windows: what the table's rows are.
        encoded: what the windows are of.
        examples: the texts, as many as in ``encoded``.
        n_best: candidates per example at most.
        no_answer: whether a question may have no answer.
        null_threshold: the answer is "" where the null score exceeds the best candidate's by more than this.
        temperature: scores are divided by it before the softmax; nothing but probabilities depends on it.

    Raises:
        ModelError: a score is NaN or infinite.
        ValueError: not every window has been added to the table, or the examples are not the encoded ones.
    """
    if len(examples) != len(encoded):
        raise ValueError(f"{len(examples)} examples, but {len(encoded)} were encoded")
    if table.missing:
        raise ValueError(f"{table.missing} of {len(windows)} windows have not been added to the table")
    lowest = _null_scores(table, windows, len(examples))
    nulls = np.where(np.isfinite(lowest), lowest, 0.0) if no_answer else None
    with collector_paused():
        ranked = rank(table, windows, encoded)
        pointers, places, texts = _distinct(ranked, encoded, examples, lowest, n_best)
        starts, ends = ([_or_none(column[place]) for place in places] for column in (ranked.start, ranked.end))
        contexts = [ranked.context[place] for place in places]
        scores = [ranked.score[place] for place in places]
        probabilities, null_probabilities = _softmax(
            np.array(scores, np.float64) / temperature,
            np.asarray(pointers),
            None if nulls is None else nulls / temperature,
        )
        candidates = list(map(Candidate, texts, starts, ends, contexts, scores, probabilities.tolist()))

        predictions = []
        for row, example in enumerate(examples):
            own = tuple(candidates[pointers[row] : pointers[row + 1]])
            null = None if nulls is None else NoAnswer(float(nulls[row]), float(null_probabilities[row]))
            predictions.append(SpanPrediction(example.id, answer_of(own, null, null_threshold), own, null))
    return predictions


def answer_of(candidates: Sequence[Candidate], null: NoAnswer | None, threshold: float) -> str:
    """The best candidate's text; "" without candidates or where the null score exceeds its score by more than this."""
    if not candidates or (null is not None and null.score - candidates[0].score > threshold):
        return ""
    return candidates[0].text


def _or_none(character: int) -> int | None:
    """Yes and no have none."""
    return None if character < 0 else character


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: many small objects are made and none is garbage, yet it would walk them, and all
    others of the process, again and again (more than half of the time)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _distinct(
    ranked: Ranked, encoded: EncodedExamples, examples: Sequence[Example], lowest: Float64, n_best: int
) -> tuple[list[int], list[int], list[str]]:
    """The best ``n_best`` texts of each example, K in all: pointers (N + 1), places in ``ranked`` (K), texts (K).

    Where whitespace is trimmed, the place's offsets in ``ranked`` move; yes and no keep theirs, which are negative.
    ``lowest`` (N,): see :func:`_null_scores`.
    """
    starts, ends, contexts = ranked.start, ranked.end, ranked.context
    pointers, places, texts = [0], [], []
    for row, example in enumerate(examples):
        seen: set[str] = set()
        for place in range(ranked.pointers[row], ranked.pointers[row + 1]):
            start, end = starts[place], ends[place]
            yes_no = YES_NO[YES_NO_START.index(start)] if start < 0 else None
            text = yes_no or example.contexts[contexts[place]][start:end]
            trimmed = text.strip()
            if len(trimmed) != len(text):
                starts[place] = start + len(text) - len(text.lstrip())
                ends[place] = starts[place] + len(trimmed)
            if trimmed and trimmed not in seen:
                seen.add(trimmed)
                places.append(place)
                texts.append(trimmed)
                if len(seen) == n_best:
                    break
        if not seen and lowest[row] < np.inf:
            visible = _visible_place(row, ranked, encoded, example, float(lowest[row]))
            if visible is not None:
                places.append(visible)
                texts.append(example.contexts[contexts[visible]][starts[visible] : ends[visible]])
        pointers.append(len(places))
    return pointers, places, texts


def _visible_place(row: int, ranked: Ranked, encoded: EncodedExamples, example: Example, lowest: float) -> int | None:
    """A new place for an example whose places are all blank; None where it has no visible token."""
    blanks = range(ranked.pointers[row], ranked.pointers[row + 1])
    score = ranked.score[blanks[0]] if blanks else lowest - UNSUPPORTED
    anchors: dict[int, int] = {}  # where to look, by context
    for place in blanks:
        anchors.setdefault(ranked.context[place], ranked.start[place])
    for context in range(len(example.contexts)):
        anchors.setdefault(context, 0)
    for context, at in anchors.items():
        store, text_row = encoded.store, encoded.context[encoded.pointers[row] + context]
        offsets = store.offsets[store.pointers[text_row] : store.pointers[text_row + 1]]
        found = nearest_visible(example.contexts[context], offsets, at)
        if found is not None:
            return ranked.add(context, *found, score)
    return None


def _null_scores(table: SpanTable, windows: Windows, examples: int) -> Float64:
    """(N,) smallest null score over each example's windows; inf for an example without windows."""
    nulls = np.full(examples, np.inf)
    np.minimum.at(nulls, windows.example, table.null.astype(np.float64))
    return nulls


def _softmax(scores: Float64, pointers: Int64, nulls: Float64 | None) -> tuple[Float64, Float64]:
    """Probabilities of candidates (K,) and null options (N,), within each example. Scores come best first."""
    counts = np.diff(pointers)
    some = counts > 0
    largest = np.full(len(counts), -np.inf) if nulls is None else nulls.copy()
    largest[some] = np.maximum(largest[some], scores[pointers[:-1][some]])
    weights = np.exp(scores - np.repeat(largest, counts))
    null_weights = np.zeros(len(counts)) if nulls is None else np.exp(nulls - largest)
    totals = null_weights.copy()
    totals[some] += np.add.reduceat(weights, pointers[:-1][some]) if some.any() else 0.0
    return weights / np.repeat(totals, counts), null_weights / np.where(totals > 0, totals, 1.0)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The usable places of a table, sorted by example and then by score, best first: C in all.

    Equal scores stay in the order of windows and of places within a window, so the result does not depend on batches.

    Attributes:
        pointers: (N + 1) the places of example i are [pointers[i], pointers[i + 1]).
        context: (C) which of the example's contexts.
        start, end: (C) characters; :data:`YES_NO_START` for yes and no.
        score: (C).
    """

    pointers: list[int]
    context: list[int]
    start: list[int]
    end: list[int]
    score: list[float]

    def add(self, context: int, start: int, end: int, score: float) -> int:
        """Another place, of no example; returns its number."""
        for column, value in zip((self.context, self.start, self.end), (context, start, end), strict=True):
            column.append(value)
        self.score.append(score)
        return len(self.score) - 1


def rank(table: SpanTable, windows: Windows, encoded: EncodedExamples) -> Ranked:
    """Sort a table's used places.

    Raises:
        ModelError: a score is NaN or infinite.
    """
    if not (table.score < np.inf).all():  # NaN is no smaller either
        raise ModelError(BROKEN_SCORES)
    used = np.flatnonzero(table.score > -np.inf)
    example = windows.example[used // table.score.shape[1]]
    score = table.score.ravel()[used]
    order = score_order(example, score)
    used, example = used[order], example[order]
    pair = windows.pair[table.segment.ravel()[used]]
    counts = np.bincount(example, minlength=len(encoded))
    return Ranked(
        pointers=np.concatenate([np.zeros(1, np.int64), counts.cumsum()]).tolist(),
        context=(pair - encoded.pointers[example]).tolist(),
        start=table.start.ravel()[used].tolist(),
        end=table.end.ravel()[used].tolist(),
        score=score[order].tolist(),
    )


def score_order(example: Int32, score: Float32) -> Int64:
    """What ``np.lexsort((-score, example))`` gives, by one sort of 64-bit keys: example above, score below."""
    bits = (0.0 - score).view(np.int32)  # 0 - 0 is +0 also for score -0
    # As integers, the bits of positive floats ascend with them, those of negative floats descend.
    ascending = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return np.argsort((example.astype(np.int64) << 32) + ascending, kind="stable")


def nearest_visible(text: str, offsets: Int32, at: int) -> tuple[int, int] | None:
    """The visible token nearest to a character, without whitespace at its ends; of two equally near ones the later.

    Args:
        text: the context.
        offsets: (n, 2) characters of its tokens, ends exclusive.
        at: a character.

    Returns:
        Its first character and one past its last; None where no token has anything to see.
    """
    tokens: Iterable[tuple[int, int]] = ((int(start), int(end)) for start, end in offsets)
    visible = [(start, end) for start, end in tokens if text[start:end].strip()]
    if not visible:
        return None
    start, end = min(visible, key=lambda token: (max(at - token[1] + 1, token[0] - at, 0), -token[0]))
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())


def set_predictions(
    table: SpanTable, windows: Windows, encoded: EncodedExamples, examples: Sequence[Example]
) -> list[SetPrediction]:
    """One prediction per example over all its windows and contexts, in the examples' order.

    Each window gives the spans that begin at the tokens that are its own; where those of neighbouring windows share a
    character, the better-scored one stays. Blanks at the ends are trimmed by moving the offsets; none is blank. Scores
    are log-odds against no span in its place, probabilities their logistic function.

    Raises:
        ModelError: a score is NaN or infinite.
        ValueError: not every window has been added to the table.
    """
    if table.missing:
        raise ValueError(f"{table.missing} of {len(windows)} windows have not been added to the table")
    ranked, predictions = rank(table, windows, encoded), []
    for row, example in enumerate(examples):
        kept: list[Candidate] = []
        for place in range(ranked.pointers[row], ranked.pointers[row + 1]):
            context, start, end = ranked.context[place], ranked.start[place], ranked.end[place]
            text = example.contexts[context][start:end]
            trimmed = text.strip()
            start += len(text) - len(text.lstrip())
            end = start + len(trimmed)
            if trimmed and not any(_share(each, context, start, end) for each in kept):
                score = ranked.score[place]
                kept.append(Candidate(trimmed, start, end, context, score, _logistic(score)))
        kept.sort(key=lambda each: (each.context, each.start or 0))
        predictions.append(SetPrediction(example.id, tuple(each.text for each in kept), tuple(kept)))
    return predictions


def _share(one: Candidate, context: int, start: int, end: int) -> bool:
    return (
        one.context == context and one.start is not None and one.end is not None and one.start < end and start < one.end
    )


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score > 0 else math.exp(score) / (1 + math.exp(score))
