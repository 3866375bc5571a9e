"""What an ensembler made of its members, looked at question by question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from qakit.inference.nbest import answer_of
from qakit.testing.answers import CONTEXT
from qakit.testing.components import type_name
from qakit.values import Candidate, LabelPrediction, NoAnswer, Prediction, SpanPrediction

ROUNDING = 1e-6
CHOICE = (
    "with `decodes` the core takes the best candidate, and no answer where there is none or null.score is above its "
    "score; `answer` is not looked at"
)


def check_predictions(result: Any, members: Sequence[Prediction], what: str) -> list[Prediction]:
    """The result is a list of what the members' predictions are."""
    assert isinstance(result, list), f"{what} returns {type_name(result)}, not a list"
    wanted = type(members[0])
    for each in result:
        assert isinstance(each, wanted), f"of {wanted.__name__}s, {what} makes {type_name(each)}"
    return result


def chosen(prediction: Prediction, *, decodes: bool) -> str | float:
    """What the core takes for the answer."""
    if isinstance(prediction, SpanPrediction) and decodes:
        return answer_of(prediction.candidates, prediction.null, 0.0)
    number = isinstance(prediction, LabelPrediction) and isinstance(prediction.label, float)
    return float(prediction.final) if number else prediction.final


def check_answers(
    result: Sequence[Prediction],
    expected: Sequence[Prediction],
    rule: str,
    *,
    against: Sequence[Prediction] | None = None,
    decodes: bool = False,
) -> None:
    """Each question's answer is the expected one.

    Args:
        rule: for the message.
        against: a number need not be the expected one, only nearer to it than to that of these predictions.
    """
    for number, (each, wanted) in enumerate(zip(result, expected, strict=True)):
        given, right = chosen(each, decodes=decodes), chosen(wanted, decodes=False)
        hint = f" ({CHOICE})" if decodes and isinstance(each, SpanPrediction) else ""
        if isinstance(right, str) or isinstance(given, str):
            assert given == right, f"{rule}: question {each.id!r} should get {right!r}, not {given!r}{hint}"
            continue
        other = chosen(against[number], decodes=False) if against is not None else right
        assert isinstance(other, float | int)
        near = abs(given - right) < abs(given - other) if other != right else math.isclose(given, right, rel_tol=1e-6)
        assert near, f"{rule}: question {each.id!r} should get {right!r}, not {given!r}"


def check_candidates(result: Sequence[Prediction], *, n_best: int | None) -> None:
    """Candidates are sorted, lie where they say, and no more than wanted; probabilities are from 0 to 1."""
    for each in result:
        if isinstance(each, LabelPrediction):
            assert all(_probable(share) for share in each.scores), (
                f"question {each.id!r}: a class's probability is not from 0 to 1: {each.scores}"
            )
        if not isinstance(each, SpanPrediction):
            continue
        at = f"question {each.id!r}"
        options: list[Candidate | NoAnswer] = [*each.candidates, *([] if each.null is None else [each.null])]
        for choice in options:
            assert math.isfinite(choice.score), f"{at}: a score is {choice.score}"
            assert _probable(choice.probability), f"{at}: a probability is {choice.probability}, not from 0 to 1"
        scores = [option.score for option in each.candidates]
        assert all(a >= b - ROUNDING for a, b in pairwise(scores)), f"{at}: candidates must be sorted, best first"
        assert n_best is None or len(scores) <= n_best, f"{at}: {len(scores)} candidates where n_best is {n_best}"
        for option in each.candidates:
            there = option.text if option.start is None else CONTEXT[option.start : option.end]
            assert there == option.text, (
                f"{at}: the context has {there!r} where the candidate {option.text!r} should be"
            )


def _probable(value: float) -> bool:
    return -ROUNDING <= value <= 1 + ROUNDING
