"""Why answers are wrong: each wrong answer has exactly one reason, the first of those below that holds.

The order is that of the data's way backwards from the answer: what the clean-up did, which context the answer is from,
whether the right answer could be seen and decoded at all, and, last, what is the model's own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from qakit.data.arrays import Int32, Int64
from qakit.data.encode import token_spans
from qakit.data.windows import owned_tokens
from qakit.errors import UsageError
from qakit.inference.calibration import RIGHT
from qakit.inference.evaluation import EXACT_MATCH, Judge, answers_of, finish
from qakit.inference.scoring import ScoringSet
from qakit.protocols import PerExampleMetric
from qakit.values import Candidate, Example, Prediction, SpanPrediction

ErrorReason = Literal[
    "cleanup", "no answer", "wrong paragraph", "window", "decoding", "ranked lower", "boundary", "model"
]
LOSSES: tuple[ErrorReason, ...] = get_args(ErrorReason)
MEANING: dict[ErrorReason, str] = {
    "cleanup": "the span was right, clean-up made it wrong",
    "no answer": "answered where there is none, or not answered where there is one",
    "wrong paragraph": "the answer is from another context than the relevant one",
    "window": "no window holds the right answer whole, or the tokens' borders are not its own",
    "decoding": "the right answer is longer than predict.max_answer_length",
    "ranked lower": "the right answer is among the candidates, but not the first",
    "boundary": "the answer overlaps a right one, and begins or ends elsewhere",
    "model": "everything else",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the relevant context of a question is: the row of an example in a :class:`ScoringSet`, and its context."""

    row: int
    context: int


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """N labelled questions and what became of them.

    Attributes:
        right: (N,) whether the final answer is exactly right.
        loss: (N,) why it is not; None where it is.
        gained: how many answers clean-up made right.
    """

    right: tuple[bool, ...]
    loss: tuple[ErrorReason | None, ...]
    gained: int

    @property
    def counts(self) -> dict[ErrorReason, int]:
        """Wrong questions by their reason, all reasons, in their order. The sum is the number of wrong answers."""
        return {loss: sum(each == loss for each in self.loss) for loss in LOSSES}


def window_places(prepared: ScoringSet) -> list[list[tuple[int, int, int]]]:
    """(N,) of each example its windows' contexts: which one, the first character and one past the last."""
    windows, encoded = prepared.windows, prepared.encoded
    window = np.repeat(np.arange(len(windows)), np.diff(windows.pointers))
    example = windows.example[window]
    found: list[list[tuple[int, int, int]]] = [[] for _ in prepared.examples]
    for segment in np.flatnonzero(windows.stop > windows.first):
        row, pair = int(example[segment]), int(windows.pair[segment])
        first = encoded.store.pointers[encoded.context[pair]]
        begin = encoded.store.offsets[first + windows.first[segment], 0]
        end = encoded.store.offsets[first + windows.stop[segment] - 1, 1]
        found[row].append((pair - int(encoded.pointers[row]), int(begin), int(end)))
    return found


def exactly_right_answers(judge: Judge, examples: Sequence[Example], answers: Sequence[str]) -> list[bool]:
    """(N,) whether answers are exact matches, by the metric's own exact match (its primary figure where it has none).

    Raises:
        UsageError: the metric gives no figure for each question.
    """
    if not examples:
        return []
    metric = judge.metric
    if not isinstance(metric, PerExampleMetric):
        raise UsageError(f"the metric {judge.recipe.metric.name!r} does not say which single answers are right")
    columns = metric.per_example(examples, answers)
    column = next((columns[key] for key in EXACT_MATCH if key in columns), columns[metric.primary])
    return [value >= RIGHT for value in column]


def relevant_context(example: Example) -> int | None:
    """The context that holds the answer: what the file says of it, else where its first placed answer is."""
    if example.relevant is not None:
        return example.relevant
    return next((answer.context for answer in example.answers or () if answer.places), None)


def analyse_errors(
    examples: Sequence[Example],
    raw: Sequence[SpanPrediction],
    final: Sequence[Prediction],
    judge: Judge,
    prepared: ScoringSet | None = None,
    places: Sequence[Place | None] | None = None,
) -> ErrorAnalysis:
    """Give every wrong answer its reason.

    Args:
        examples: labelled.
        raw: the predictions before clean-up.
        final: after it.
        prepared: what the span model was given; None where only its answers are known: then nothing is said of
            windows and decoding.
        places: the relevant context of each example in ``prepared``; None where it is not known.
    """
    right = exactly_right_answers(judge, examples, answers_of(final))
    before = exactly_right_answers(judge, examples, answers_of(raw))
    inputs = None if prepared is None else _Inputs(prepared)
    places = [None] * len(examples) if places is None else places
    errors: list[ErrorReason | None] = []
    for number, example in enumerate(examples):
        if right[number]:
            errors.append(None)
        else:
            errors.append(_reason(example, raw[number], judge, inputs, places[number], right_before=before[number]))
    gained = sum(now and not earlier for now, earlier in zip(right, before, strict=True))
    return ErrorAnalysis(tuple(right), tuple(errors), gained)


def _reason(
    example: Example,
    raw: SpanPrediction,
    judge: Judge,
    inputs: _Inputs | None,
    place: Place | None,
    *,
    right_before: bool,
) -> ErrorReason:
    if right_before:
        return "cleanup"
    if not example.answers or (not raw.answer and raw.candidates):
        return "no answer"

    def is_right(texts: Sequence[str]) -> list[bool]:
        """Of texts as a model would give them: clean-up comes after it."""
        stand_ins = [SpanPrediction(example.id, text) for text in texts]
        return exactly_right_answers(
            judge, [example] * len(texts), answers_of(finish(stand_ins, [example] * len(texts), judge))
        )

    best, relevant = raw.best, relevant_context(example)
    if (
        best is not None
        and best.context != relevant
        and (place is not None or (inputs is None and relevant is not None))
    ):
        return "wrong paragraph"
    if place is not None and inputs is not None:
        reach = inputs.reach(example, place, is_right)
        if reach is not None:
            return reach
    if any(is_right([candidate.text for candidate in raw.candidates[1:]])):
        return "ranked lower"
    return "boundary" if best is not None and _overlaps(example, best) else "model"


def _overlaps(example: Example, candidate: Candidate) -> bool:
    """Whether a candidate shares a character with a right answer."""
    if candidate.start is None or candidate.end is None:
        return False
    places = [
        place for answer in example.answers or () if answer.context == candidate.context for place in answer.places
    ]
    return any(candidate.start < end and begin < candidate.end for begin, end in places)


class _Inputs:
    """What a span model was given, looked up by context."""

    def __init__(self, prepared: ScoringSet) -> None:
        self._prepared = prepared
        windows = prepared.windows
        self._order = np.argsort(windows.pair, kind="stable")
        self._pairs = windows.pair[self._order]
        self._window_limits = prepared.predict.aggregation != "mean"  # the mean joins windows before spans are sought
        own = prepared.predict.aggregation == "max_context"
        self._own: tuple[Int32, Int32] = owned_tokens(windows) if own else (windows.first, windows.stop)

    def reach(
        self, example: Example, place: Place, is_right: Callable[[Sequence[str]], list[bool]]
    ) -> Literal["window", "decoding"] | None:
        """What keeps every right answer in a context from being decoded; None where nothing does."""
        prepared = self._prepared
        encoded, text = prepared.encoded, prepared.examples[place.row].contexts[place.context]
        pair = int(encoded.pointers[place.row]) + place.context
        starts, ends = _occurrences(text, example)
        if not len(starts):
            return "window"
        row = encoded.context[pair]
        first, stop = token_spans(encoded.store, np.full(len(starts), row, np.int32), starts, ends)
        spans = [(int(a), int(b)) for a, b in zip(first, stop, strict=True) if a >= 0]
        offsets = encoded.store.offsets[encoded.store.pointers[row] : encoded.store.pointers[row + 1]]
        cut = [text[int(offsets[a, 0]) : int(offsets[b - 1, 1])].strip() for a, b in spans]
        reached = [span for span, fits in zip(spans, is_right(cut) if cut else [], strict=True) if fits]
        seen = [span for span in reached if self._in_a_window(pair, *span)]
        if not seen:
            return "window"
        short = any(b - a <= prepared.predict.max_answer_length for a, b in seen)
        return None if short else "decoding"

    def _in_a_window(self, pair: int, first: int, stop: int) -> bool:
        """Whether a window holds tokens [first, stop) of a context and may answer with them."""
        low, high = np.searchsorted(self._pairs, [pair, pair + 1])
        segments = self._order[low:high]
        windows = self._prepared.windows
        if not self._window_limits:
            return bool((windows.first[segments] <= first).any() and (windows.stop[segments] >= stop).any())
        own_first, own_stop = self._own[0][segments], self._own[1][segments]
        return bool(((own_first <= first) & (first < own_stop) & (stop <= windows.stop[segments])).any())


def _occurrences(text: str, example: Example) -> tuple[Int64, Int64]:
    """Characters [start, end) of all places of all gold answers in a text."""
    found: set[tuple[int, int]] = set()
    for gold in {answer.text for answer in example.answers or () if answer.text}:
        start = text.find(gold)
        while start >= 0:
            found.add((start, start + len(gold)))
            start = text.find(gold, start + 1)
    places = np.array(sorted(found), np.int64).reshape(len(found), 2)
    return places[:, 0], places[:, 1]
