"""Questions and contexts that come twice: within a split, and in two splits (a leak)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from qakit.data.checks.findings import Finding, note, warning
from qakit.values import Example

_NOT_LETTERS = re.compile(r"[\W_]+")
Record = tuple[str, tuple[str, ...]]


_PIECE = 1 << 16


def text_key(text: str) -> str:
    """The text without case, blanks and punctuation; the text itself where nothing else is in it."""
    # Piece by piece: what `sub` keeps meanwhile takes many times the memory of a long text.
    pieces = (text[at : at + _PIECE].casefold() for at in range(0, len(text), _PIECE))
    return "".join(_NOT_LETTERS.sub("", piece) for piece in pieces) or text


class Keys:
    """Normalised texts, each computed once."""

    def __init__(self) -> None:
        self._key = cache(text_key)

    def __call__(self, text: str) -> str:
        """:func:`text_key`."""
        return self._key(text)

    def record(self, example: Example) -> Record:
        """An example's question and contexts."""
        return self(example.question), tuple(self(context) for context in example.contexts)


def duplicates(examples: Sequence[Example], keys: Keys) -> list[Finding]:
    """Repeated questions within one split; case, blanks and punctuation don't count."""
    first: dict[Record, Example] = {}
    asked: dict[str, tuple[str, ...]] = {}
    same: list[str] = []
    conflicting: list[str] = []
    elsewhere: list[str] = []
    for example in examples:
        record = keys.record(example)
        earlier = first.setdefault(record, example)
        if earlier is not example:
            pair = f"ids {earlier.id}, {example.id}"
            (same if _agree(earlier, example) else conflicting).append(pair)
        elif asked.setdefault(record[0], record[1]) != record[1]:
            elsewhere.append(f"id {example.id}")
    if not _have_contexts(examples):
        findings = [
            note("duplicate_text", "texts that repeat another one", same),
            warning("conflicting_duplicate", "texts that repeat another one, but with another label", conflicting),
        ]
    else:
        other = "questions that repeat another one of the same context, but with another answer or label"
        findings = [
            warning("duplicate_question", "questions that repeat another one of the same context", same),
            warning("conflicting_duplicate", other, conflicting),
            note("question_with_other_context", "questions that were asked before of another context", elsewhere),
        ]
    return [finding for finding in findings if finding.count]


def _have_contexts(examples: Sequence[Example]) -> bool:
    return any(example.contexts for example in examples)


def _agree(one: Example, other: Example) -> bool:
    if one.label != other.label:
        return False
    if one.answers is None or other.answers is None:
        return True
    mine, theirs = ({answer.text for answer in example.answers or ()} for example in (one, other))
    return bool(mine & theirs) or mine == theirs


def overlap(first: Sequence[Example], second: Sequence[Example], keys: Keys) -> list[Finding]:
    """What of the second split is in the first one, too; case, blanks and punctuation don't count."""
    records = {keys.record(example) for example in first}
    questions = {question for question, _ in records}
    contexts = {context for _, several in records for context in several}
    both: list[str] = []
    asked: list[str] = []
    for example in second:
        record = keys.record(example)
        if record in records:
            both.append(f"id {example.id}")
        if record[0] in questions:
            asked.append(f"id {example.id}")
    seen: dict[str, str] = {}
    for example in second:
        for context in example.contexts:
            if context not in seen and keys(context) in contexts:
                seen[context] = f"id {example.id}"
    if not _have_contexts(second):
        findings = [warning("shared_text", "texts that are in both", both)]
    else:
        several = any(len(example.contexts) > 1 for example in second)  # distractors are shared on purpose
        level = note if several else warning
        findings = [
            warning("shared_record", "questions that are in both with the same context", both),
            warning("shared_question", "questions that are in both", asked),
            level("shared_context", "distinct contexts that are in both", list(seen.values())),
        ]
    return [finding for finding in findings if finding.count]
