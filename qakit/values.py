"""The frozen values that travel from a file to a submission. No torch, no numpy.

Offsets are in **characters** (Python string indices) into the raw context, ends exclusive:
``context[start:end] == text`` holds for every placed answer and every candidate before clean-up.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

_WHOLE = re.compile(r"[+-]?[0-9]+\.0+")


Task = Literal["span", "paragraphs", "multiple_choice", "classification", "regression"]
"""What is learnt: answers within a context (``span``), also which of several contexts has them (``paragraphs``), which
context alone (``multiple_choice``), a class or a number for each text."""
Device = Literal["cpu", "gpu"]
"""What a recipe is meant for."""
YES_NO = ("yes", "no")
"""Answers that no context need hold: their text is one of these, in lower case, and they have no place."""


def yes_no_of(answers: Iterable[Answer] | None) -> Answer | None:
    """The first answer that is yes or no, where none of an example's answers has a place to learn."""
    answers = tuple(answers or ())
    if any(answer.places for answer in answers):
        return None
    return next((answer for answer in answers if answer.text in YES_NO), None)


class SpeltClass(str):
    """A class that equals all its spellings, and remembers that of its file: it is what a submission should have."""

    written: str

    def __new__(cls, name: str, written: str) -> SpeltClass:
        made = super().__new__(cls, name)
        made.written = written
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """For copies in other processes."""
        return str(self), self.written


def as_written(label: str) -> str:
    """A class as its file spelt it."""
    return label.written if isinstance(label, SpeltClass) else label


def class_name(value: object) -> str:
    """A class as text, spelt alike whatever kind of file it comes from.

    Booleans are ``true`` and ``false``, also those that CSV writers spell ``True`` or ``FALSE``, and whole numbers have
    no fraction: ``1.0``, which pandas makes of a column with gaps, is ``1``. Other text stays as it is. A submission
    has booleans as the training file spelt them (:class:`SpeltClass`).
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    if text.casefold() in ("true", "false"):
        name = text.casefold()
        return SpeltClass(name, text) if isinstance(value, str) and text != name else name
    return whole_text(text)


def whole_text(text: str) -> str:
    """``13`` for a whole number that is written with a fraction of zeros (``13.0``), else the text itself."""
    return text[: text.index(".")] if _WHOLE.fullmatch(text) else text


class TargetNames(tuple[str, ...]):
    """What several numbers of one text are called, in their order: what a run gives where others give one class."""

    __slots__ = ()


class Targets(tuple[float, ...]):
    """Several numbers of one text, which know what they are called; NaN where one is not known.

    As text they are a JSON object, name -> number, with null for NaN.
    """

    names: TargetNames

    def __new__(cls, values: Iterable[float], names: Iterable[str]) -> Targets:
        # One NaN for all: it equals itself where tuples are compared.
        made = super().__new__(cls, (math.nan if value != value else float(value) for value in values))
        made.names = TargetNames(names)
        if len(made) != len(made.names):
            raise ValueError(f"{len(made)} numbers have {len(made.names)} names")
        return made

    def by_name(self) -> dict[str, float]:
        """Name -> number, in their order."""
        return dict(zip(self.names, self, strict=True))

    def __getnewargs__(self) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """For copies in other processes."""
        return tuple(self), tuple(self.names)

    def __str__(self) -> str:
        return json.dumps(
            {name: None if math.isnan(value) else value for name, value in self.by_name().items()}, ensure_ascii=False
        )

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold answer.

    Attributes:
        text: ``contexts[context][start:end]``.
        start: its first character in the context; None when the text is known but its place is not (it still counts in
            metrics).
        context: which of the example's contexts, from 0.
        others: further places [first, end) in the context's characters that are as right to learn. Their text may
            differ from ``text`` in case, blanks and zero-width characters, or be another name of the answer; with
            ``start`` None it always differs.
    """

    text: str
    start: int | None
    context: int = 0
    others: tuple[tuple[int, int], ...] = ()

    @property
    def end(self) -> int | None:
        """One past the last character, or None."""
        return None if self.start is None else self.start + len(self.text)

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Where it can be learnt, [first, end) characters each: the known place before the others; maybe nowhere."""
        return self.others if self.start is None else ((self.start, self.start + len(self.text)), *self.others)


class Extra(Mapping[str, Any]):
    """A frozen mapping of names to JSON values: texts, finite numbers, true, false, None, tuples and mappings of these.

    Raises:
        TypeError: something else is in it; the message says where.
    """

    __slots__ = ("_held",)

    def __init__(self, given: Mapping[str, Any], place: str = "extra") -> None:
        if not isinstance(given, Mapping):
            raise TypeError(f"{place} is {type(given).__name__}; it must be a mapping")
        if odd := [name for name in given if not isinstance(name, str)]:
            raise TypeError(f"{place} has the name {odd[0]!r}; names must be texts")
        self._held = {name: _frozen(value, f"{place}[{name!r}]") for name, value in given.items()}

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __hash__(self) -> int:
        return hash(frozenset(self._held.items()))

    def __repr__(self) -> str:
        return repr(self._held)

    def __reduce__(self) -> tuple[type[Extra], tuple[dict[str, Any]]]:
        """For copies in other processes."""
        return Extra, (self._held,)


def _frozen(value: Any, place: str) -> Any:
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list | tuple):
        return tuple(_frozen(each, f"{place}[{number}]") for number, each in enumerate(value))
    if isinstance(value, Mapping):
        return Extra(value, place)
    shown = value if isinstance(value, float) else type(value).__name__
    raise TypeError(f"{place} is {shown}; it must be text, a finite number, true, false, None, a list or a mapping")


NO_EXTRA = Extra({})


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its contexts, or one text (pair) with its label.

    Attributes:
        id: of its own in the file.
        question: the question, or the first text.
        contexts: the second text: one for SQuAD, several for multi-paragraph competitions, none for single-sentence
            classification.
        answers: None: unlabelled (a test file). Empty: labelled as unanswerable.
        label: class name, regression target, or several of these; None when unlabelled or not a classification task.
        relevant: index of the context that holds the answer, when the file says so.
        together: all ``answers`` together are the answer, as in MultiSpanQA; else each of them is one by itself.
        document: what the contexts come from (an article title): folds must not split it. Empty when unknown.
        extra: whatever else a reader knows that a head (:attr:`Batch.extras`), a metric or a postprocessor looks at,
            by name: JSON values, which are frozen (lists become tuples). They are no labels: predicted files keep them.

    Raises:
        TypeError: ``extra`` holds something that is no JSON value.
    """

    id: str
    question: str
    contexts: tuple[str, ...] = ()
    answers: tuple[Answer, ...] | None = None
    label: str | float | Targets | None = None
    relevant: int | None = None
    document: str = ""
    together: bool = False
    extra: Mapping[str, Any] = NO_EXTRA

    def __post_init__(self) -> None:
        """Freeze what somebody else may hold."""
        if not isinstance(self.extra, Extra):
            object.__setattr__(self, "extra", Extra(self.extra))

    @property
    def labelled(self) -> bool:
        """Whether anything is known that a model could be trained on, or judged by."""
        return self.answers is not None or self.label is not None or self.relevant is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer.

    Attributes:
        text: ``contexts[context][start:end]``.
        start: its first character in the context; None, like ``end``, for yes and no (:data:`YES_NO`) of a head that
            learns them, and when it came from a file without offsets.
        end: one past its last character.
        context: which of the example's contexts, from 0.
        score: on the head's own scale (for a linear span head: start logit + end logit).
        probability: within this example's candidates and its no-answer option.
    """

    text: str
    start: int | None
    end: int | None
    context: int
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The "no answer" option of a question.

    Attributes:
        score: on the scale of the candidates' scores.
        probability: within the example's candidates and this option.
    """

    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class SpanPrediction:
    """The answer to one question, with the candidates it was chosen from.

    Attributes:
        id: the question's.
        answer: the final text; empty for "no answer". Postprocessors change this.
        candidates: best first, never twice the same text; empty where nobody kept them.
        null: the "no answer" option; None where there is none.
    """

    id: str
    answer: str
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
    """A class, a number, or several numbers for one text (pair).

    Attributes:
        id: the example's.
        label: the class's name, the number, or the numbers.
        scores: each class's probability, 0 to 1, in the order of the run's classes; empty for regression.
    """

    id: str
    label: str | float | Targets
    scores: tuple[float, ...] = ()

    @property
    def final(self) -> str:
        """The class or the number as text; of several numbers a JSON object, name -> number."""
        return self.label if isinstance(self.label, str) else str(self.label)


@dataclass(frozen=True, slots=True)
class ContextPrediction:
    """Which of an example's contexts holds the answer.

    Attributes:
        id: the example's.
        context: index in ``Example.contexts``.
        scores: each context's probability, 0 to 1, in their order.
    """

    id: str
    context: int
    scores: tuple[float, ...] = ()

    @property
    def final(self) -> str:
        """The index as text."""
        return str(self.context)


@dataclass(frozen=True, slots=True)
class SetPrediction:
    """All answers to a question that has any number of them.

    Attributes:
        id: the question's.
        answers: the final texts, in the order of their places; empty for "no answer".
        candidates: where they stand, in that order; their probability is that of the span against none in its place.
            Empty where nobody kept them.
    """

    id: str
    answers: tuple[str, ...]
    candidates: tuple[Candidate, ...] = ()

    @property
    def final(self) -> str:
        """The texts as a JSON list; empty for "no answer"."""
        return json.dumps(self.answers, ensure_ascii=False) if self.answers else ""

    @staticmethod
    def texts(final: str) -> tuple[str, ...]:
        """The texts of a ``final``; of one that is no such list, the text itself."""
        try:
            found = json.loads(final)
        except (ValueError, RecursionError):
            found = final
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return tuple(found)
        return (final,) if final else ()


Prediction = SpanPrediction | SetPrediction | LabelPrediction | ContextPrediction
