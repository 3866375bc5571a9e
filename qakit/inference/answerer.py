"""Ask a trained run from Python: what ``pipeline("question-answering")`` was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qakit.errors import UsageError
from qakit.inference.answering import Answering
from qakit.values import Candidate, NoAnswer


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one question. ``candidates`` are best first; their offsets are characters of the context."""

    answer: str
    """Empty when the run's threshold says that there is none."""
    candidates: tuple[Candidate, ...]
    no_answer: NoAnswer | None


@dataclass(frozen=True, slots=True)
class Answerer:
    """Answers questions with one trained run::

    answerer = qakit.load("runs/my-run")
    answerer.answer("Who wrote it?", "Mary Shelley wrote it in 1818.").answer
    """

    trained: Answering

    def answer(self, question: str, context: str | Sequence[str], top_k: int = 1) -> Reply:
        """Answer one question from one context, or from the best of several.

        Raises:
            UsageError: ``top_k`` is not positive, or a text is not a string.
        """
        contexts = (context,) if isinstance(context, str) else tuple(context or ())
        if not isinstance(question, str) or not contexts or not all(isinstance(text, str) for text in contexts):
            raise UsageError("answer() wants a question and a context (or several), as strings")
        if top_k < 1:
            raise UsageError(f"top_k is {top_k}; it must be at least 1")
        prediction = self.trained.answer(question, contexts, top_k=top_k)
        return Reply(prediction.answer, prediction.candidates, prediction.null)
