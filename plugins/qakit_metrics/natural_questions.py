"""Natural Questions' long and short answers, as Kaggle's TensorFlow 2.0 Question Answering counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qakit.api import YES_NO, Candidate, Example, Prediction, SpanPrediction, UsageError
from qakit_metrics import MicroF1Settings

_Span = tuple[int, int, int]
"""Context, and [start, end) characters of whole words in it."""


@dataclass(slots=True)
class Outcomes:
    """How often an answer was right, wrong (or given where there is none), and missing where there is one."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, *, given: bool, known: bool, right: bool) -> None:
        """Count one answer."""
        self.right += right
        self.wrong += given and not right
        self.missed += known and not given

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """In percent; 0 where nothing was given and nothing was there."""
        total = 2 * self.right + self.wrong + self.missed
        return 200 * self.right / total if total else 0.0


class MicroF1:
    """F1 over all long and short answers together.

    The long answer is the context of the best candidate; the short answer is right when it covers the same words as one
    of the gold answers, or is the same text as one without a place (yes, no). Of several annotators' long answers the
    commonest counts, where the official script takes any: over files with five annotators the figure is a lower bound.
    """

    def __init__(self, settings: MicroF1Settings) -> None:
        self.primary: str = settings.primary
        self._threshold = settings.long_threshold

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``micro_f1``, ``long_f1`` and ``short_f1``, in percent; a missing prediction answers nothing.

        Raises:
            UsageError: predictions are no answers.
        """
        given = {prediction.id: _answer(prediction) for prediction in predictions}
        long, short = Outcomes(), Outcomes()
        for example in examples:
            prediction = given.get(example.id, SpanPrediction(example.id, ""))
            self._add_long(long, example, prediction)
            _add_short(short, example, prediction)
        return {"micro_f1": (long + short).f1, "long_f1": long.f1, "short_f1": short.f1}

    def _add_long(self, outcomes: Outcomes, example: Example, prediction: SpanPrediction) -> None:
        gold = {answer.context for answer in example.answers or ()}
        gold |= set() if example.relevant is None else {example.relevant}
        null = prediction.null
        likely = null is not None and null.probability <= self._threshold
        best = _candidate(prediction) if prediction.answer or likely else None
        right = best.context in gold if best else _is_gold_text(example, prediction.answer)
        outcomes.add(given=best is not None or bool(prediction.answer), known=bool(gold), right=right)


def _add_short(outcomes: Outcomes, example: Example, prediction: SpanPrediction) -> None:
    answers = example.answers or ()
    best = None if prediction.answer in YES_NO else _candidate(prediction)
    if best is None or best.start is None or best.end is None:
        right = _is_gold_text(example, prediction.answer)
    else:
        spans = {_words(example, answer.context, *place) for answer in answers for place in answer.places}
        right = _words(example, best.context, best.start, best.end) in spans
    given = bool(prediction.answer)
    outcomes.add(given=given, known=bool(answers), right=given and right)


def _candidate(prediction: SpanPrediction) -> Candidate | None:
    """The one that the answer is, else the best; None where no candidates were kept."""
    same = next((each for each in prediction.candidates if each.text == prediction.answer), None)
    return same or prediction.best


def _is_gold_text(example: Example, answer: str) -> bool:
    return any(answer == gold.text for gold in example.answers or ())


def _words(example: Example, context: int, start: int, end: int) -> _Span:
    """The span, up to the blanks around it."""
    text = example.contexts[context]
    stop = text.find(" ", end - 1)
    return context, text.rfind(" ", 0, start + 1) + 1, stop if stop >= 0 else len(text)


def _answer(prediction: Prediction) -> SpanPrediction:
    if not isinstance(prediction, SpanPrediction):
        raise UsageError(f"this metric scores answers, but the prediction for id {prediction.id!r} is none")
    return prediction
