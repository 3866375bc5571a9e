"""Clean-up of answers."""

from __future__ import annotations

from dataclasses import dataclass

from qakit.api import Example, Prediction, SpanPrediction


@dataclass(frozen=True, slots=True)
class TrimPunctuation:
    """Removes characters at both ends of an answer. An answer of nothing else stays as it is."""

    characters: str

    def __call__(self, prediction: Prediction, example: Example) -> Prediction:
        """The prediction with its answer trimmed; the candidates stay as decoded."""
        if not isinstance(prediction, SpanPrediction):
            return prediction
        return prediction.with_answer(prediction.answer.strip(self.characters) or prediction.answer)
