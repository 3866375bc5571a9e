"""Suspicious characters, answers that are hard to place, and lengths in characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from qakit.data.checks.findings import EXAMPLES_SHOWN, Finding, Lengths, note, warning
from qakit.data.csv_rows import begins_like_formula
from qakit.reading.record import quoted
from qakit.values import Example

SUSPICIOUS = {
    "zero_width": ("[\u200b-\u200d\u2060\u180e]", "warning", "zero-width characters"),
    "byte_order_mark": ("\ufeff", "warning", "byte order marks within text"),
    "bidirectional": ("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", "warning", "direction marks"),
    "carriage_return": ("\r", "warning", r"carriage returns (\r): offsets counted with \n alone are shifted"),
    "control": (r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "warning", "control characters"),
    "replacement": ("\ufffd", "warning", "U+FFFD: something was decoded wrongly"),
    "private_use": ("[\ue000-\uf8ff]", "warning", "private-use characters"),
    "no_break_space": ("[\u00a0\u202f\u2007]", "note", "no-break spaces"),
    "ideographic_space": ("\u3000", "note", "ideographic spaces (U+3000)"),
    "combining": ("[\u0300-\u036f]", "note", "combining marks: composing them changes offsets"),
    "astral": ("[\U00010000-\U0010ffff]", "note", "characters beyond U+FFFF: other tools may count them as two"),
}
"""Name -> pattern, level, meaning."""
_ANY = re.compile("|".join(pattern for pattern, _, _ in SUSPICIOUS.values()))
_EACH = {name: re.compile(pattern) for name, (pattern, _, _) in SUSPICIOUS.items()}


def suspicious_characters(examples: Sequence[Example]) -> list[Finding]:
    """Characters that people don't see and tokenizers treat in surprising ways; counted over distinct texts."""
    counts: Counter[str] = Counter()
    where: dict[str, list[str]] = {}
    for text, owner in distinct_texts(examples).items():
        if text.isascii() and text.isprintable():
            continue
        if not _ANY.search(text):
            continue
        for name, pattern in _EACH.items():
            if found := pattern.findall(text):
                counts[name] += len(found)
                where.setdefault(name, []).append(owner)
    findings = []
    for name, (_, level, meaning) in SUSPICIOUS.items():
        if counts[name]:
            texts = len(where[name])
            message = f"{meaning}, in {texts:,} text{'s' if texts > 1 else ''}"
            examples_shown = tuple(f"id {owner}" for owner in where[name][:EXAMPLES_SHOWN])
            findings.append(
                Finding(name, "warning" if level == "warning" else "note", counts[name], message, examples_shown)
            )
    return findings


def distinct_texts(examples: Iterable[Example]) -> dict[str, str]:
    """Each distinct question and context -> the id of the first example that has it."""
    texts: dict[str, str] = {}
    for example in examples:
        texts.setdefault(example.question, example.id)
        for context in example.contexts:
            texts.setdefault(context, example.id)
    return texts


def answer_findings(examples: Sequence[Example]) -> list[Finding]:
    """Answers that occur again elsewhere in their context, and answers with blanks around them."""
    several: list[str] = []
    blanks: list[str] = []
    unplaced: list[str] = []
    formulas: list[str] = []
    for example in examples:
        if begins_like_formula(example.id):
            formulas.append(f"id {example.id}")
        if example.answers and not any(answer.places for answer in example.answers):
            unplaced.append(f"id {example.id}: {quoted(example.answers[0].text)}")
        for answer in dict.fromkeys(example.answers or ()):
            named = f"id {example.id}: {quoted(answer.text)}"
            if answer.text != answer.text.strip():
                blanks.append(named)
            if begins_like_formula(answer.text):
                formulas.append(named)
            if answer.start is None:
                continue
            context = example.contexts[answer.context]
            first = context.find(answer.text)
            if first != answer.start or context.find(answer.text, first + 1) >= 0:
                several.append(named)
    findings = [
        warning(
            "unplaced_answer",
            "questions whose answers have no place: they count in metrics, but nothing is learned from them; for texts "
            "that occur several times set data.problems.answer_ambiguous to first or all, in another case answer_case "
            "to repair",
            unplaced,
        ),
        warning("answer_blanks", "answers with blanks at an end", blanks),
        note(
            "repeated_answer_text",
            "answers whose text occurs again in the context: only the offset tells which is meant",
            several,
        ),
        note(
            "formula_answer",
            "ids or answers that a spreadsheet takes for formulas: in files of answers, import the columns as text",
            formulas,
        ),
    ]
    return [finding for finding in findings if finding.count]


def character_lengths(examples: Sequence[Example]) -> dict[str, Lengths]:
    """Lengths in characters: questions (single texts) per example, distinct contexts, answers."""
    contexts = {context for example in examples for context in example.contexts}
    return {
        name: percentiles([len(text) for text in texts])
        for name, texts in (
            ("question" if contexts else "text", [example.question for example in examples]),
            ("context", contexts),
            ("answer", [answer.text for example in examples for answer in example.answers or ()]),
        )
        if texts
    }


def percentiles(lengths: Sequence[int] | np.ndarray) -> Lengths:
    """Median, 95th percentile and maximum of at least one length; percentiles are lengths that occur."""
    values = np.quantile(np.asarray(lengths), [0.5, 0.95, 1.0], method="higher")
    return Lengths(*(int(value) for value in values))
