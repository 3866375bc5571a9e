"""Where an answer lies in its context: believed, mended, or left open."""

from __future__ import annotations

from qakit.api import Answer
from qakit_readers.record import Record, quoted


def place_answer(
    text: str, start: int | None, context: str, *, record: Record, field: str, index: int = 0, named: str = ""
) -> Answer:
    """The answer at its place, with ``context[start:end] == text``, or without a place.

    Args:
        text: the answer's text.
        start: first character that the file claims; None when the file has no offsets at all.
        context: the raw context.
        record: whose problem it is when the claim is wrong.
        field: the field of the offset, for messages.
        index: which of the example's contexts.
        named: the field of the text, for messages; by default ``field``.

    Raises:
        SkipRecord: the policy leaves the record out.
        DataError: the policy stops.
    """
    if not text.strip():
        record.judge("empty_answer", named or field, "the answer has no text")
        return Answer(text, None, index)
    if start is not None and 0 <= start <= len(context) and context.startswith(text, start):
        record.problems.shifts[0] += 1
        return Answer(text, start, index)
    first = context.find(text)
    if first < 0:
        record.judge("answer_missing", named or field, f"the answer {quoted(text)} is not in the context")
        return Answer(text, None, index)
    only = context.find(text, first + 1) < 0
    if start is not None:
        record.problems.shifts[_nearest(text, start, context) - start] += 1
    if start is None and only:
        return Answer(text, first, index)
    occurs = f"occurs once, at character {first}" if only else f"occurs several times, first at character {first}"
    claim = "the file has no offset for it" if start is None else f"it is not at character {start}"
    policy = record.judge("answer_offset", field, f"the answer {quoted(text)} {occurs}; {claim}", repairable=only)
    return Answer(text, first if policy == "repair" else None, index)


def _nearest(text: str, start: int, context: str) -> int:
    """Where ``text`` begins in ``context`` closest to ``start``; it is somewhere in it."""
    at = min(max(start, 0), len(context))
    before, after = context.rfind(text, 0, at + len(text)), context.find(text, at)
    return min((place for place in (before, after) if place >= 0), key=lambda place: abs(place - start))
