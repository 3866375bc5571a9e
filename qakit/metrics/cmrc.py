"""CMRC 2018 and DRCD: Chinese exact match and F1, equal to the official CMRC 2018 evaluation script.

F1 is over the longest common run of segments: a Chinese character is a segment, text in other scripts is split into
words. Source: Cui et al., "A Span-Extraction Dataset for Chinese Machine Reading Comprehension" (2019).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from qakit.metrics.gold import gold_texts, mean_percent
from qakit.metrics.words import english_words
from qakit.values import Example

# The official list also names "……", which never equals a single character: "…" stays.
_PUNCTUATION = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
_NO_PUNCTUATION = str.maketrans("", "", _PUNCTUATION)
_CHINESE_OR_OTHER = re.compile(r"([\u4e00-\u9fa5])|([^\u4e00-\u9fa5]+)")
_CACHED_TEXTS = 1 << 16


@lru_cache(maxsize=_CACHED_TEXTS)
def without_punctuation(text: str) -> str:
    """Lower case, outer white space and the official list of punctuation removed."""
    return text.lower().strip().translate(_NO_PUNCTUATION)


@lru_cache(maxsize=_CACHED_TEXTS)
def segments(text: str) -> tuple[str, ...]:
    """Mixed segmentation without punctuation: Chinese characters one by one, the rest as English words."""
    found: list[str] = []
    for match in _CHINESE_OR_OTHER.finditer(without_punctuation(text)):
        chinese, other = match.groups()
        if chinese:
            found.append(chinese)
        else:
            found.extend(english_words(other))
    return tuple(found)


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest run of segments that both sequences hold.

    Segments become single characters, so that a run is looked up as a substring at C speed: about
    ``len(shorter) + result`` look-ups instead of a table of ``len(first) x len(second)``.
    """
    codes: dict[str, str] = {}
    shorter, longer = sorted(
        ("".join(codes.setdefault(item, chr(len(codes))) for item in sequence) for sequence in (first, second)), key=len
    )
    best = 0
    for start in range(len(shorter)):
        # Only a longer run than the best so far matters, so the length never falls.
        while start + best < len(shorter) and shorter[start : start + best + 1] in longer:
            best += 1
    return best


def exact_match(gold: str, answer: str) -> float:
    """1.0 if both texts are equal without punctuation, else 0.0."""
    return float(without_punctuation(gold) == without_punctuation(answer))


def run_f1(gold: str, answer: str) -> float:
    """F1 (0 to 1) of the longest common run of segments; 0.0 without a common segment."""
    gold_segments, answer_segments = segments(gold), segments(answer)
    common = longest_common_run(gold_segments, answer_segments)
    if not common:
        return 0.0
    precision, recall = common / len(answer_segments), common / len(gold_segments)
    return 2 * precision * recall / (precision + recall)


def score(example: Example, answer: str) -> tuple[float, float]:
    """Exact match and F1 (0 to 1) against the best gold answer; for an unanswerable question only "" is right."""
    golds = gold_texts(example)
    if not golds:
        right = exact_match("", answer)
        return right, right
    return max(exact_match(gold, answer) for gold in golds), max(run_f1(gold, answer) for gold in golds)


def cmrc2018(examples: Sequence[Example], answers: Mapping[str, str]) -> dict[str, float]:
    """``AVERAGE``, ``F1``, ``EM`` in percent, ``TOTAL`` and ``SKIP``; a question without an answer scores 0.

    The official script prints the first three with three decimals; see :func:`cmrc2018_official_format`.

    Raises:
        DataError: no examples, or an unlabelled one.
    """
    scores = [score(example, answers[example.id]) for example in examples if example.id in answers]
    f1 = mean_percent([f1 for _, f1 in scores], len(examples))
    exact = mean_percent([exact for exact, _ in scores], len(examples))
    return {
        "AVERAGE": (exact + f1) * 0.5,
        "F1": f1,
        "EM": exact,
        "TOTAL": len(examples),
        "SKIP": len(examples) - len(scores),
    }


def cmrc2018_official_format(figures: Mapping[str, float]) -> dict[str, int | str]:
    """The figures as the official script prints them: three decimals as text, counts as whole numbers."""
    return {key: int(value) if key in ("TOTAL", "SKIP") else f"{value:.3f}" for key, value in figures.items()}
