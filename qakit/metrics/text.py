"""Answers as competitions with a hidden answer key count them: equal texts, or texts of the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from qakit.metrics.gold import gold_texts, mean_percent
from qakit.values import Example


def cleaned(text: str, *, remove_characters: str = "", strip: bool = True) -> str:
    """The text as the answer key was processed."""
    text = text.translate(dict.fromkeys(map(ord, remove_characters)))
    return text.strip() if strip else text


def character_f1(gold: str, answer: str) -> float:
    """F1 (0 to 1) over the characters as a bag; two empty texts agree fully."""
    if not gold or not answer:
        return float(gold == answer)
    common = (Counter(gold) & Counter(answer)).total()
    return 2 * common / (len(gold) + len(answer))


def word_jaccard(gold: str, answer: str) -> float:
    """Words that both texts have among those that either has (0 to 1), in lower case, between white space.

    Source: the evaluation pages of Kaggle's Tweet Sentiment Extraction and chaii. Two texts without a word, which the
    formula there divides by zero for, agree fully.
    """
    one, other = set(gold.lower().split()), set(answer.lower().split())
    return len(one & other) / len(one | other) if one or other else 1.0


def score(example: Example, answer: str, *, remove_characters: str = "", strip: bool = True) -> tuple[float, float]:
    """Exact match and character F1 (0 to 1) against the best gold answer; "" is right for an unanswerable question."""
    answer = cleaned(answer, remove_characters=remove_characters, strip=strip)
    golds = {cleaned(gold, remove_characters=remove_characters, strip=strip) for gold in gold_texts(example) or ("",)}
    return float(answer in golds), max(character_f1(gold, answer) for gold in golds)


def text_match(
    examples: Sequence[Example], answers: Mapping[str, str], *, remove_characters: str = "", strip: bool = True
) -> dict[str, float]:
    """``exact_match`` and ``f1`` (characters) in percent; a question without an answer scores 0.

    Args:
        remove_characters: taken out of gold and given answers, as NTU's HW7 does with ``,``.
        strip: remove outer white space of both.

    Raises:
        DataError: no examples, or an unlabelled one.
    """
    scores = [
        score(example, answers[example.id], remove_characters=remove_characters, strip=strip)
        for example in examples
        if example.id in answers
    ]
    return {
        "exact_match": mean_percent([exact for exact, _ in scores], len(examples)),
        "f1": mean_percent([f1 for _, f1 in scores], len(examples)),
    }
