"""The candidates scored anew with a prior over the answer's length.

A weak model's best span is often too long or too short by a clause. The prior is a bell over the logarithm of the
length in characters: it says how long gold answers are, and ``weight`` how much that counts against the model's own
probabilities. It is the density of the logarithm, highest at the median, and not the log-normal density of the length
itself, whose further factor of 1/length would favour answers shorter than the median.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median, pstdev

from qakit.api import Candidate, Example, Prediction, SpanPrediction
from qakit_postprocess import LengthPriorSettings
from qakit_postprocess.place import source_of

_LEAST = 1e-12
"""A probability's logarithm is taken of at least this."""
_NARROWEST = 0.1


class LengthPrior:
    """Answer with the candidate that is best under model and prior."""

    def __init__(self, settings: LengthPriorSettings) -> None:
        self._weight, self._spread = settings.weight, settings.spread
        self._middle = math.log(settings.median)

    def __call__(self, prediction: Prediction, example: Example) -> Prediction:  # noqa: ARG002 - the protocol's
        """The prediction with that candidate's text; "no answer" stays, and so does an answer of the same candidate."""
        if not isinstance(prediction, SpanPrediction) or not prediction.answer or len(prediction.candidates) < 2:
            return prediction
        best = max(prediction.candidates, key=self._score)  # of even ones the first: candidates are best first
        return prediction if best is source_of(prediction) else prediction.with_answer(best.text)

    def learn(self, examples: Sequence[Example]) -> Mapping[str, object]:
        """``median`` and ``spread`` of the gold answers; nothing without any."""
        lengths = [len(answer.text) for example in examples for answer in (example.answers or ())[:1] if answer.text]
        if not lengths:
            return {}
        logs = [math.log(length) for length in lengths]
        return {"median": round(float(median(lengths)), 2), "spread": round(max(_NARROWEST, pstdev(logs)), 3)}

    def _score(self, candidate: Candidate) -> float:
        away = (math.log(max(1, len(candidate.text.strip()))) - self._middle) / self._spread
        return math.log(max(_LEAST, candidate.probability)) - self._weight * away**2 / 2
