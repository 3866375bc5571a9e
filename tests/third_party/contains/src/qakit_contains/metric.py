"""The metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qakit.api import Example, Prediction

if TYPE_CHECKING:
    from qakit_contains import ContainsSettings


class Contains:
    """Percent of the questions whose answer holds a gold one; an example without a prediction is wrong."""

    primary = "contains"

    def __init__(self, settings: ContainsSettings) -> None:
        self.ignore_case = settings.ignore_case

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``contains``, from 0 to 100."""
        answers = {each.id: str(each.final) for each in predictions}
        given = [example for example in examples if example.id in answers]
        figures = self.per_example(given, [answers[example.id] for example in given])
        return {"contains": sum(figures["contains"]) / len(examples) if examples else 0.0}

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """The same for each answer: for significance tests, and the threshold of "no answer"."""
        return {"contains": [100.0 * self._is_right(*pair) for pair in zip(examples, answers, strict=True)]}

    def _is_right(self, example: Example, answer: str) -> bool:
        gold = [each.text for each in example.answers or ()]
        return any(self._plain(text) in self._plain(answer) for text in gold) if gold else not answer

    def _plain(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text
