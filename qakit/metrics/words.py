"""English words as the Penn Treebank splits them, as far as the CMRC script needs.

That script hands the non-Chinese pieces of an answer to NLTK's ``word_tokenize``. The pieces are lower case and free of
hyphens, colons, asterisks, backquotes and curly quotes by then, so the Treebank rules for these are not here.
"""

from __future__ import annotations

import re

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
    """Words and marks of lower-case text, in order.

    Sentences are found by a short list of abbreviations instead of NLTK's trained model, which only matters for an
    answer that holds a full stop between two English words.
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
