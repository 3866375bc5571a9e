"""The frozen values that travel from a file to a submission. No torch, no numpy.

Offsets are in **characters** (Python string indices) into the raw context, ends exclusive:
``context[start:end] == text`` holds for every placed answer and every candidate before clean-up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold answer. ``start`` is None when the text is known but its place is not (it still counts in metrics)."""

    text: str
    start: int | None
    """First character in the context, or None."""
    context: int = 0
    """Which of the example's contexts."""

    @property
    def end(self) -> int | None:
        """One past the last character, or None."""
        return None if self.start is None else self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its contexts, or one text (pair) with its label.

    ``question`` is the first text and ``contexts`` are the second: one for SQuAD, several for multi-paragraph
    competitions, none for single-sentence classification.
    """

    id: str
    question: str
    contexts: tuple[str, ...] = ()
    answers: tuple[Answer, ...] | None = None
    """None: unlabelled (a test file). Empty: labelled as unanswerable."""
    label: str | float | None = None
    """Class name or regression target; None when unlabelled or not a classification task."""
    relevant: int | None = None
    """Index of the context that holds the answer, when the file says so."""
    document: str = ""
    """What the contexts come from (an article title): folds must not split it. Empty when unknown."""

    @property
    def labelled(self) -> bool:
        """Whether anything is known that a model could be trained on, or judged by."""
        return self.answers is not None or self.label is not None or self.relevant is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer. ``start`` and ``end`` are None only when it came from a file without offsets."""

    text: str
    start: int | None
    end: int | None
    context: int
    score: float
    """The head's own scale (for a linear span head: start logit + end logit)."""
    probability: float
    """Within this example's candidates and its no-answer option."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The "no answer" option of a question."""

    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class SpanPrediction:
    """The answer to one question, with the candidates it was chosen from (best first, never twice the same text)."""

    id: str
    answer: str
    """The final text; empty for "no answer". Postprocessors change this."""
    candidates: tuple[Candidate, ...] = ()
    null: NoAnswer | None = None

    @property
    def best(self) -> Candidate | None:
        """The highest-scoring candidate, whether or not "no answer" won."""
        return self.candidates[0] if self.candidates else None

    @property
    def final(self) -> str:
        """The answer as text, as every kind of prediction has it."""
        return self.answer

    def with_answer(self, answer: str) -> Self:
        """The same prediction with another final text."""
        return replace(self, answer=answer)


@dataclass(frozen=True, slots=True)
class LabelPrediction:
    """A class or a number for one text (pair)."""

    id: str
    label: str | float
    scores: tuple[float, ...] = ()
    """Each class's probability, in the order of the run's classes; empty for regression."""

    @property
    def final(self) -> str:
        """The class or the number as text."""
        return str(self.label)


@dataclass(frozen=True, slots=True)
class ContextPrediction:
    """Which of an example's contexts holds the answer."""

    id: str
    context: int
    """Index in ``Example.contexts``."""
    scores: tuple[float, ...] = ()
    """Each context's probability, in their order."""

    @property
    def final(self) -> str:
        """The index as text."""
        return str(self.context)


Prediction = SpanPrediction | LabelPrediction | ContextPrediction
