"""Ask a model from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from qakit.errors import UsageError
from qakit.inference.aggregation import given_by
from qakit.inference.answering import Answering
from qakit.inference.questions import MOST_ANSWERS, examples_of, positive
from qakit.inference.scoring import CountProgress
from qakit.inference.trained import TrainedRun
from qakit.values import Candidate, NoAnswer

GIVEN = {"labels": "classes or numbers", "contexts": "one of its contexts", "sets": "any number of answers"}
Asked = Mapping[str, str | Sequence[str]]
"""``{"question": TEXT, "context": TEXT or list of texts}``."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one question. ``candidates`` are best first; their offsets are characters of the context."""

    answer: str
    """Empty when the threshold says that there is none."""
    candidates: tuple[Candidate, ...]
    no_answer: NoAnswer | None


@dataclass(frozen=True, slots=True)
class Answerer:
    """Answers questions with one model: a trained run of any kind, or a published model::

    answerer = qakit.load("deepset/roberta-base-squad2")
    answerer.answer("Who wrote it?", "Mary Shelley wrote it in 1818.").answer
    """

    trained: Answering

    def __post_init__(self) -> None:
        """Raises:
        UsageError: the model answers with classes or contexts, not with pieces of a text.
        """
        if isinstance(self.trained, TrainedRun):
            gives = given_by(self.trained.assembled.model.head)
            if gives != "spans":
                head, folder = self.trained.recipe.head.name, self.trained.run.folder
                raise UsageError(
                    f"{folder} (head {head!r}) answers with {GIVEN[gives]}, not with pieces of a text; give it a file: "
                    "qakit.predict(...), or `qakit predict`"
                )

    @overload
    def answer(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too: the first that fits is meant
        self, question: str, context: str | Sequence[str], top_k: int = 1, *, progress: CountProgress | None = None
    ) -> Reply: ...

    @overload
    def answer(
        self,
        question: Sequence[str],
        context: str | Sequence[str | Sequence[str]],
        top_k: int = 1,
        *,
        progress: CountProgress | None = None,
    ) -> list[Reply]: ...

    @overload
    def answer(
        self, question: Asked, context: None = None, top_k: int = 1, *, progress: CountProgress | None = None
    ) -> Reply: ...

    @overload
    def answer(
        self, question: Sequence[Asked], context: None = None, top_k: int = 1, *, progress: CountProgress | None = None
    ) -> list[Reply]: ...

    def answer(
        self,
        question: object,
        context: object = None,
        top_k: int = 1,
        *,
        progress: CountProgress | None = None,
    ) -> Reply | list[Reply]:
        """Answer one question, or many: they are scored together, in batches of similar length.

        Args:
            question: a text, or a list of texts; or ``{"question": ..., "context": ...}``, or a list of these.
            context: beside one question, the text to answer from, or several of which the best answer is wanted.
                Beside a list of questions, one text for all of them, or a list with an item for each of them: a text,
                or a list of texts.
            top_k: candidates of each reply: different texts, and fewer only where the contexts have no more.
            progress: called with (windows done, windows in all).

        Returns:
            One reply, or a list of replies in the order of the questions.

        Raises:
            UsageError: ``top_k`` is no positive whole number, a text is empty or blank, or something is no text.
        """
        top_k = positive(top_k, "top_k", most=MOST_ANSWERS)
        examples, single = examples_of(question, context)
        if not examples:
            return []
        found = self.trained.answer(examples, top_k=top_k, progress=progress)
        replies = [Reply(each.answer, each.candidates, each.null) for each in found]
        return replies[0] if single else replies
