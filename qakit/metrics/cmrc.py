"""CMRC 2018 and DRCD: Chinese exact match and F1, equal to the official CMRC 2018 evaluation script.

F1 is over the longest common run of segments: a Chinese character is a segment, text in other scripts is split into
words. Source: Cui et al., "A Span-Extraction Dataset for Chinese Machine Reading Comprehension" (2019).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from qakit.metrics.gold import gold_texts, mean_percent
from qakit.values import Example

_Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*pairs: tuple[str, str]) -> _Rules:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


_MARKS = _rules(
    # Opening quotes; an apostrophe opens a word unless it begins a contraction.
    (r"[«„‘]", r" \g<0> "),
    (r'^"', "`` "),
    (r"([ (\[{<])(\"|'{2})", r"\1 `` "),
    (r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
    # The full stop of the sentence; other full stops belong to their word.
    (r"([^.])\.([\])}>\"'»”’ ]*+)\s*$", r"\1 . \2 "),
    (r",(\D|$)", r" , \1"),
    (r"\.{2,}", r" \g<0> "),
    (r"[;@#$%&\u2012-\u2015?!]", r" \g<0> "),
    (r"([^'])' ", r"\1 ' "),
    (r"[\]\[(){}<>]", r" \g<0> "),
)
_WORD_ENDS = _rules(
    (r"»", " » "),
    (r"''|\"", " '' "),
    (r"\s+", " "),
    (r"([^' ])('[smd]|') ", r"\1 \2 "),
    (r"([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
    (r"\b(can)(not)\b", r" \1 \2 "),
    (r"\b(d)('ye)\b", r" \1 \2 "),
    (r"\b(gim|lem)(me)\b", r" \1 \2 "),
    (r"\b(gon)(na)\b", r" \1 \2 "),
    (r"\b(got)(ta)\b", r" \1 \2 "),
    (r"\b(more)('n)\b", r" \1 \2 "),
    (r"\b(wan)(na)(?=\s)", r" \1 \2 "),
    (r" ('t)(is)\b", r" \1 \2 "),
    (r" ('t)(was)\b", r" \1 \2 "),
)
_LONGEST = 16
"""Characters looked at before a full stop; longer than any abbreviation."""
_SENTENCE_END = re.compile(r"(?<![.?!])([.?!]++)['\")\]}»]*+\s++(?=\S)")
_ABBREVIATION = re.compile(
    r"(?:^|\W)(?:[^\W\d]|\d+|(?:\w\.)+\w|mr|mrs|ms|dr|st|vs|jr|sr|prof|gen|col|lt|sgt|capt|rep|sen|gov|inc|ltd|co|corp"
    r"|u\.s|jan|feb|mar|apr|aug|sept|oct|nov|dec|ph\.d|a\.m|p\.m|e\.g|i\.e)$"
)


def english_words(text: str) -> list[str]:
    """Words and marks of lower-case text, in order, as the Penn Treebank splits them.

    The official script hands the non-Chinese pieces of an answer to NLTK's ``word_tokenize``. The pieces are lower case
    and free of hyphens, colons, asterisks, backquotes and curly quotes by then, so the Treebank rules for these are not
    here. Sentences are found by a short list of abbreviations instead of NLTK's trained model, which only matters for
    an answer that holds a full stop between two English words.
    """
    return [word for sentence in _sentences(text) for word in _sentence_words(sentence)]


def _sentences(text: str) -> list[str]:
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if match[1] == "." and _ABBREVIATION.search(text[max(start, match.start() - _LONGEST) : match.start()]):
            continue
        found.append(text[start : match.end()].rstrip())
        start = match.end()
    return [*found, text[start:].strip()]


def _sentence_words(sentence: str) -> list[str]:
    if sentence.isdigit():
        return [sentence]
    for pattern, replacement in _MARKS:
        sentence = pattern.sub(replacement, sentence)
    sentence = f" {sentence} "  # the word-end rules look for a space
    for pattern, replacement in _WORD_ENDS:
        sentence = pattern.sub(replacement, sentence)
    return sentence.split()


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
