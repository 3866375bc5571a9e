"""In which language texts are written, as far as a choice of backbone depends on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

_SCRIPTS = {
    "Latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "Chinese": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Japanese": "\u3040-\u30ff",
    "Korean": "\u1100-\u11ff\uac00-\ud7af",
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Bengali": "\u0980-\u09ff",
    "Tamil": "\u0b80-\u0bff",
    "Telugu": "\u0c00-\u0c7f",
    "Thai": "\u0e00-\u0e7f",
}
_EACH = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f']+")
_FREQUENT = "the of and to in is a that for it was on you my with as at be this i are not have by"
_ENGLISH = frozenset(_FREQUENT.split())
_ENGLISH_SHARE = 0.1
"""Of the words; in other languages with Latin letters it is a few percent, in English above a quarter."""
_LOOKED_AT = 4_000
_CHARACTERS = 1_000
MAINLY = 0.95

ENGLISH, CHINESE, MULTILINGUAL = "FacebookAI/roberta-base", "hfl/chinese-lert-base", "FacebookAI/xlm-roberta-base"


@dataclass(frozen=True, slots=True)
class Language:
    """What the texts are written in."""

    name: str
    """``English``, ``Chinese``, or the scripts that there are."""
    code: str
    """`en`, `zh`, or `multi` for all else."""
    backbone: str
    """A model of base size for it."""
    reason: str
    """The figures behind it."""
    characters: float
    """Of one token, as an assumption where no tokenizer can be asked."""
    spaced: bool
    """Whether words have blanks between them."""


def language_of(texts: Iterable[str]) -> Language:
    """The language of texts, by scripts; of those in Latin letters, whether they are English, by frequent words."""
    given = list(texts)  # drawn by chance: every second one may be a question of one word
    chosen = [text[:_CHARACTERS] for text in Random(0).sample(given, min(len(given), _LOOKED_AT))]
    main = Counter(filter(None, map(_script, chosen)))
    count = main.total() or 1
    often = sorted(main.items(), key=lambda item: (-item[1], item[0]))
    shares = {name: found / count for name, found in often if found >= 0.01 * count}
    told = ", ".join(f"{share:.0%} {name}" for name, share in shares.items()) or "no letters"
    most, share = next(iter(shares.items()), ("Latin", 1.0))
    if most == "Chinese" and share >= MAINLY:
        return Language("Chinese", "zh", CHINESE, f"texts by script: {told}", 1.0, spaced=False)
    if most == "Latin" and share >= MAINLY:
        words = Counter(word.lower() for text in chosen for word in _WORD.findall(text))
        frequent = sum(words[word] for word in _ENGLISH) / max(1, words.total())
        if frequent >= _ENGLISH_SHARE:
            reason = f"{frequent:.0%} of the words are English ones such as 'the' and 'of'"
            return Language("English", "en", ENGLISH, reason, 4.0, spaced=True)
        reason = f"Latin letters, but only {frequent:.0%} of the words are English ones such as 'the' and 'of'"
        return Language("Latin letters, not English", "multi", MULTILINGUAL, reason, 3.5, spaced=True)
    unspaced = {"Chinese", "Japanese", "Thai"}
    spaced = sum(share for name, share in shares.items() if name in unspaced) < 0.5
    return Language(
        " and ".join(list(shares)[:3]),
        "multi",
        MULTILINGUAL,
        f"texts by script: {told}",
        2.5 if spaced else 1.0,
        spaced=spaced,
    )


def _script(text: str) -> str | None:
    """The script of most of its letters; Japanese wherever kana are a tenth."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _EACH.items()}
    if counts["Japanese"] * 10 > sum(counts.values()):
        return "Japanese"
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] else None
