"""Each question's own figures in percent, whose mean is the metric: for bootstrap tests and threshold tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qakit.metrics import cmrc, squad, text
from qakit.metrics.gold import gold_texts
from qakit.values import Example

_Score = Callable[[Example, str], tuple[float, float]]


def squad_v1_per_example(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
    """``exact_match`` and ``f1`` of ``answers[i]`` to ``examples[i]``."""
    return _columns(examples, answers, squad.score_v1, ("exact_match", "f1"))


def squad_v2_per_example(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
    """``exact`` and ``f1`` of ``answers[i]`` to ``examples[i]``; "" is the answer "none"."""
    return _columns(examples, answers, squad.score_v2, ("exact", "f1"))


def cmrc2018_per_example(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
    """``EM``, ``F1`` and their mean ``AVERAGE`` of ``answers[i]`` to ``examples[i]``."""
    columns = _columns(examples, answers, cmrc.score, ("EM", "F1"))
    return columns | {"AVERAGE": [(em + f1) * 0.5 for em, f1 in zip(columns["EM"], columns["F1"], strict=True)]}


def text_match_per_example(
    examples: Sequence[Example], answers: Sequence[str], *, remove_characters: str = "", strip: bool = True
) -> dict[str, list[float]]:
    """``exact_match`` and ``f1`` (characters) of ``answers[i]`` to ``examples[i]``."""

    def score(example: Example, answer: str) -> tuple[float, float]:
        return text.score(example, answer, remove_characters=remove_characters, strip=strip)

    return _columns(examples, answers, score, ("exact_match", "f1"))


def jaccard_per_example(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
    """``jaccard`` (words) and ``exact_match`` of ``answers[i]`` to ``examples[i]``, by the best gold answer."""

    def score(example: Example, answer: str) -> tuple[float, float]:
        golds = gold_texts(example) or ("",)
        return max(text.word_jaccard(gold, answer) for gold in golds), text.score(example, answer)[0]

    return _columns(examples, answers, score, ("jaccard", "exact_match"))


def _columns(
    examples: Sequence[Example], answers: Sequence[str], score: _Score, keys: tuple[str, str]
) -> dict[str, list[float]]:
    rows = [score(example, answer) for example, answer in zip(examples, answers, strict=True)]
    return {key: [100.0 * row[column] for row in rows] for column, key in enumerate(keys)}
