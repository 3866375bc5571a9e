"""How good answers can get at all with a tokenizer, a window and a stride: the ceiling of exact match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from qakit.data.arrays import Bools, Int64
from qakit.data.checks.findings import EXAMPLES_SHOWN
from qakit.data.checks.span_search import Exact, SpanSearch, same_text
from qakit.data.encode import EncodedExamples, token_spans
from qakit.data.windows import Windows
from qakit.reading.record import quoted
from qakit.values import Answer, Example

LOW = 95.0
"""Percent. A ceiling below is not the data's usual handful of odd places: tokenizer or settings do not fit them."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What of the placed answers a perfect model would give, letter by letter.

    A placed answer is *reachable* if some window holds all its tokens, the text cut from the first to the last of them
    is the answer (but for blanks at its ends), and decoding gives answers of that many tokens. An answer can be lost
    for several reasons; each counts it.
    """

    answers: int
    """Placed answers, distinct ones per question."""
    reachable: int
    """Of these."""
    outside_windows: int
    """Placed answers that no window holds as a whole."""
    inside_tokens: int
    """Placed answers that begin or end within a token."""
    too_long: int
    """Placed answers of more tokens than decoding gives; 0 where its limit is not known."""
    examples: tuple[str, ...]
    """Some answers that are not reachable, and what would be cut instead."""

    @property
    def of_answers(self) -> float:
        """Percentage of placed answers that are reachable; 100 without any."""
        return _percent(self.reachable, self.answers)


@dataclass(frozen=True, slots=True)
class Ceiling(Reach):
    """The highest exact match before clean-up: no answers to these questions that can be decoded have a higher one.

    A question is reachable if the metric takes some text for exactly right that can be cut from a window: at the
    answer's place or anywhere else, and also where the answer has no place. One without an answer is, if decoding may
    say that it has none.
    """

    questions: int
    """Labelled questions, with an answer (placed or not) or without."""
    reachable_questions: int
    answerable: int
    """Of the questions, those with an answer."""
    reachable_answerable: int

    @property
    def of_questions(self) -> float:
        """Percentage of questions that are reachable: the highest exact match. 100 without any."""
        return _percent(self.reachable_questions, self.questions)

    @property
    def of_answerable(self) -> float:
        """Percentage of the questions with an answer that are reachable. 100 without any."""
        return _percent(self.reachable_answerable, self.answerable)


@dataclass(frozen=True, slots=True)
class PlacedAnswers:
    """K distinct placed answers of the examples, as parallel arrays.

    Attributes:
        answers: the answers themselves.
        example: (K,) row of the example.
        pair: (K,) row in ``EncodedExamples.context``.
        start, end: (K,) characters, end exclusive.
        first, stop: (K,) tokens that cover them, stop exclusive; -1 where no token does.
    """

    answers: tuple[Answer, ...]
    example: Int64
    pair: Int64
    start: Int64
    end: Int64
    first: Int64
    stop: Int64

    def __len__(self) -> int:
        return len(self.answers)

    @staticmethod
    def of(examples: Sequence[Example], encoded: EncodedExamples) -> PlacedAnswers:
        """All placed answers, not only the training targets; the same place counts once per question."""
        found = [
            (row, answer)
            for row, example in enumerate(examples)
            for answer in dict.fromkeys(example.answers or ())
            if answer.start is not None
        ]
        rows = [(row, answer.context, answer.start, answer.end) for row, answer in found]
        example, context, start, end = np.array(rows, dtype=np.int64).reshape(len(rows), 4).T
        pair = encoded.pointers[example] + context
        first, stop = token_spans(encoded.store, encoded.context[pair], start, end)
        answers = tuple(answer for _, answer in found)
        return PlacedAnswers(answers, example, pair, start, end, first.astype(np.int64), stop.astype(np.int64))


def ceiling(
    examples: Sequence[Example],
    encoded: EncodedExamples,
    windows: Windows,
    placed: PlacedAnswers,
    *,
    max_answer_length: int | None = None,
    no_answer: bool = True,
    exact: Exact = same_text,
    said: Sequence[str] = (),
) -> Ceiling:
    """The ceiling of these prediction windows.

    Args:
        examples: N examples.
        encoded: the same, tokenised.
        windows: windows that cover their contexts, as for prediction.
        placed: ``PlacedAnswers.of(examples, encoded)``.
        max_answer_length: longest answer that decoding gives, in tokens; None for any length.
        no_answer: whether decoding may say that a question has no answer.
        exact: the metric's exact match.
        said: answers that decoding may give wherever they stand.
    """
    reach, reachable = _reach(examples, encoded, windows, placed, max_answer_length)
    reached = np.zeros(len(examples), bool)
    reached[placed.example[reachable]] = True
    labelled = np.fromiter((example.answers is not None for example in examples), dtype=bool, count=len(examples))
    answerable = np.fromiter((bool(example.answers) for example in examples), dtype=bool, count=len(examples))
    search = SpanSearch(examples, encoded, windows, exact, max_answer_length, no_answer=no_answer)
    for row in np.flatnonzero(labelled & ~reached).tolist():
        reached[row] = any(exact(examples[row], text) for text in said) or search.finds(row)
    return Ceiling(
        **asdict(reach),
        questions=int(labelled.sum()),
        reachable_questions=int((reached & labelled).sum()),
        answerable=int(answerable.sum()),
        reachable_answerable=int((reached & answerable).sum()),
    )


def low_ceiling(
    examples: Sequence[Example],
    encoded: EncodedExamples,
    windows: Windows | None = None,
    *,
    split: str,
    max_answer_length: int | None = None,
) -> str | None:
    """A warning for people when fewer than :data:`LOW` percent of the placed answers are reachable; else None.

    Args:
        split: what the examples are called.
        examples, encoded, max_answer_length: as for :func:`ceiling`.
        windows: likewise; None for one window over each context.
    """
    top, _ = _reach(examples, encoded, windows, PlacedAnswers.of(examples, encoded), max_answer_length)
    if top.of_answers >= LOW:
        return None
    reasons = {
        f"{top.inside_tokens:,} begin or end within a token": top.inside_tokens,
        f"{top.outside_windows:,} are in no window as a whole": top.outside_windows,
        f"{top.too_long:,} are longer than predict.max_answer_length": top.too_long,
    }
    return (
        f"only {top.of_answers:.1f}% of the {top.answers:,} {split} answers can be predicted exactly: "
        f"{', '.join(reason for reason, count in reasons.items() if count)} ({top.examples[0]}); "
        "`qakit data check RECIPE` says more"
    )


def _reach(
    examples: Sequence[Example],
    encoded: EncodedExamples,
    windows: Windows | None,
    placed: PlacedAnswers,
    max_answer_length: int | None,
) -> tuple[Reach, Bools]:
    """What of the placed answers is reachable, and which (K,)."""
    held = placed.first >= 0 if windows is None else _held_by_a_window(placed, windows)
    cut_exactly, cuts = _cut_exactly(examples, encoded, placed)
    too_long = np.zeros(len(placed), bool)
    if max_answer_length is not None:
        too_long = placed.stop - placed.first > max_answer_length
    reachable = held & cut_exactly & ~too_long
    lost = tuple(
        _lost(examples, placed, k, _why(cuts.get(k), bool(held[k]), max_answer_length))
        for k in np.flatnonzero(~reachable)[:EXAMPLES_SHOWN].tolist()
    )
    reach = Reach(
        answers=len(placed),
        reachable=int(reachable.sum()),
        outside_windows=int((~held).sum()),
        inside_tokens=int((~cut_exactly).sum()),
        too_long=int(too_long.sum()),
        examples=lost,
    )
    return reach, reachable


def _held_by_a_window(placed: PlacedAnswers, windows: Windows) -> Bools:
    """(K,) whether some segment holds all tokens of the answer: a join of answers and segments on their pair."""
    order = np.argsort(windows.pair, kind="stable")
    pairs = windows.pair[order]
    low = np.searchsorted(pairs, placed.pair, side="left")
    counts = np.searchsorted(pairs, placed.pair, side="right") - low
    answer = np.repeat(np.arange(len(placed)), counts)
    within = np.arange(len(answer)) - np.repeat(np.cumsum(counts) - counts, counts)
    segment = order[np.repeat(low, counts) + within]
    fits = (windows.first[segment] <= placed.first[answer]) & (windows.stop[segment] >= placed.stop[answer])
    held = np.zeros(len(placed), bool)
    held[answer[fits]] = True
    return held & (placed.first >= 0)


def _cut_exactly(
    examples: Sequence[Example], encoded: EncodedExamples, placed: PlacedAnswers
) -> tuple[Bools, dict[int, str]]:
    """(K,) whether cutting by the tokens' offsets gives the answer; and what is cut where it does not."""
    exact = placed.first >= 0
    begin = encoded.store.pointers[encoded.context[placed.pair]]
    offsets = encoded.store.offsets
    some = np.flatnonzero(exact)
    cut = np.zeros((len(placed), 2), np.int64)
    cut[some, 0] = offsets[begin[some] + placed.first[some], 0]
    cut[some, 1] = offsets[begin[some] + placed.stop[some] - 1, 1]
    differs = exact & ((cut[:, 0] != placed.start) | (cut[:, 1] != placed.end))
    cuts: dict[int, str] = {}
    for k in np.flatnonzero(differs).tolist():
        answer = placed.answers[k]
        text = examples[int(placed.example[k])].contexts[answer.context][cut[k, 0] : cut[k, 1]]
        if text.strip() != answer.text.strip():
            exact[k] = False
            cuts[k] = text
    return exact, cuts


def _lost(examples: Sequence[Example], placed: PlacedAnswers, k: int, why: str) -> str:
    return f"id {examples[int(placed.example[k])].id}: {quoted(placed.answers[k].text)}: {why}"


def _why(cut: str | None, held: bool, max_answer_length: int | None) -> str:
    """The reason for people; of several, the one that no setting of windows or decoding mends."""
    if cut is not None:
        return f"would be cut as {quoted(cut)}"
    return f"longer than {max_answer_length} tokens" if held else "no window holds it"


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0
