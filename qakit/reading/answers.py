"""Where an answer lies in its context: believed, mended, or left open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qakit.problems import Policy
from qakit.reading.record import Record, kind_of, quoted, whole_number
from qakit.values import YES_NO, Answer

Place = tuple[int, int]
"""[first, end) characters of a context."""
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_VISIBLE = re.compile(r"[^\s\u200b-\u200f\u2060\ufeff\u00ad]")
"""No blank, zero-width or direction mark, nor soft hyphen: those may stand between any two characters of an answer."""
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no blanks between words."""


def answer_values(record: Record, field: str) -> list[tuple[str, object]]:
    """The answers of a field that is there, each with its place in messages, for :func:`read_answer`.

    Files have them as ``[{"text", "answer_start"}]`` (SQuAD), as ``{"text": [...], "answer_start": [...]}`` (Hugging
    Face), as one ``{"text", "answer_start"}`` (KorQuAD 2), or as ``[text, ...]`` (CMRC's own files).

    Raises:
        SkippedRecordError: it is none of these and the policy is ``skip``.
        DataError: the policy stops.
    """
    value = record.values[field]
    if not isinstance(value, dict):
        if isinstance(value, str):
            message = f"should be a list of answers, not {kind_of(value)}; the table reader's `answer_text` takes texts"
            record.refuse("wrong_type", field, message)
        return [(f"{field}[{number}]", item) for number, item in enumerate(record.items(field))]
    if not isinstance(value.get("text"), list):
        return [(field, value)]
    answers = record.child(value, field)
    texts = answers.items("text")
    starts = answers.items("answer_start") if answers.has("answer_start") else [None] * len(texts)
    if len(texts) != len(starts):
        record.refuse("contradiction", field, f"there are {len(texts)} texts and {len(starts)} offsets")
    pairs = enumerate(zip(texts, starts, strict=True))
    return [(f"{field}[{number}]", {"text": text, "answer_start": start}) for number, (text, start) in pairs]


def read_answer(
    record: Record, place: str, value: object, context: str, *, start_field: str = "answer_start", index: int = 0
) -> Answer:
    """One of :func:`answer_values` at its place in the context, or without one.

    Args:
        record: the question.
        place: where the answer stands in the record.
        value: a text, or an object with ``text`` and perhaps an offset.
        context: the raw context.
        start_field: what the object calls the offset.
        index: which of the question's contexts.

    Raises:
        SkippedRecordError: the policy leaves the record out.
        DataError: the policy stops.
    """
    if isinstance(value, str):
        return place_answer(record.sound(value, place), None, context, record=record, field=place, index=index)
    answer = record.child(value, place)
    text, start = answer.text("text"), start_of(answer, start_field)
    return place_answer(
        text, start, context, record=answer, field=start_field, index=index, named="text", offsets_expected=True
    )


def start_of(record: Record, field: str) -> int | None:
    """The offset that a record claims: a whole number, also as text; None where it has none, or what it has is none.

    Raises:
        SkippedRecordError: it is no number and the policy leaves the record out.
        DataError: it is no number and the policy stops.
    """
    claimed = record.values.get(field)
    if isinstance(claimed, str) and _WHOLE.fullmatch(claimed.strip()):
        return int(claimed)
    start = whole_number(claimed)
    if start is None and claimed is not None:
        record.judge("answer_start", field, f"should be a whole number, not {kind_of(claimed)}")
    return start


def place_answer(
    text: str,
    start: int | None,
    context: str,
    *,
    record: Record,
    field: str,
    index: int = 0,
    named: str = "",
    offsets_expected: bool = False,
) -> Answer:
    """The answer at its place, with ``context[start:end] == text``, at several (``others``), or without a place.

    Yes and no have none where the claimed one is wrong, or none is claimed and the context has no such word; that is no
    problem of the record.

    Args:
        text: the answer's text.
        start: first character that the file claims; None when it claims none.
        context: the raw context.
        record: whose problem it is when the claim is wrong.
        field: the field of the offset, for messages.
        index: which of the example's contexts.
        named: the field of the text, for messages; by default ``field``.
        offsets_expected: whether a file of this format has offsets; then placing an answer without one is a repair.

    Raises:
        SkippedRecordError: the policy leaves the record out.
        DataError: the policy stops.
    """
    if not text.strip():
        record.judge("empty_answer", named or field, "the answer has no text")
        return Answer(text, None, index)
    if start is not None and 0 <= start <= len(context) and context.startswith(text, start):
        record.problems.shifts[0] += 1
        return Answer(text, start, index)
    if text in YES_NO and (start is not None or not re.search(rf"\b{text}\b", context)):
        return Answer(text, None, index)
    first = context.find(text)
    if first < 0:
        return _place_loosely(text, context, record=record, field=named or field, index=index)
    only = context.find(text, first + 1) < 0
    if start is not None:
        record.problems.shifts[_nearest(text, start, context) - start] += 1
    if start is None and only and not offsets_expected:
        return Answer(text, first, index)
    claim = "the file has no offset for it" if start is None else f"it is not at character {start}"
    if only:
        message = f"the answer {quoted(text)} occurs once, at character {first}; {claim}"
        policy = record.judge("answer_offset", field, message, repairable=True)
        return Answer(text, first if policy == "repair" else None, index)
    message = f"the answer {quoted(text)} occurs several times, first at character {first}; {claim}"
    policy = record.judge("answer_ambiguous", field, message)
    places = _chosen([(at, at + len(text)) for at in _occurrences(text, context)], context, policy)
    return Answer(text, places[0][0] if places else None, index, places[1:])


def _place_loosely(text: str, context: str, *, record: Record, field: str, index: int) -> Answer:
    """The answer where the context has it with other blanks and zero-width characters, or in another case.

    Its text stays as it is, so metrics see no other answer; it is no slice of the context, so it has no ``start``.
    """
    visible = [found.start() for found in _VISIBLE.finditer(context)]
    seen, wanted = "".join(context[at] for at in visible), "".join(_VISIBLE.findall(text))
    for kind, what in (("answer_spacing", "with other blanks"), ("answer_case", "in another case")):
        if kind == "answer_case":
            seen, wanted = lowered(seen), lowered(wanted)
        found = _occurrences(wanted, seen) if wanted else ()
        places = [(visible[at], visible[at + len(wanted) - 1] + 1) for at in found]
        if not places:
            continue
        message = f"the answer {quoted(text)} is in the context only {what}, at character {places[0][0]}"
        policy = record.judge(kind, field, message, repairable=True)
        if policy == "repair" and len(places) > 1:
            policy = record.judge("answer_ambiguous", field, f"{message}; it occurs several times")
        return Answer(text, None, index, _chosen(places, context, policy))
    record.judge("answer_missing", field, f"the answer {quoted(text)} is not in the context")
    return Answer(text, None, index)


def _occurrences(text: str, context: str) -> Iterator[int]:
    """Where the text begins; occurrences may overlap."""
    at = context.find(text)
    while at >= 0:
        yield at
        at = context.find(text, at + 1)


def lowered(text: str) -> str:
    """In lower case, where that is one character too: no character moves."""
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)


def _chosen(places: Sequence[Place], context: str, policy: Policy) -> tuple[Place, ...]:
    """What a policy takes of several places: those that cut no word, if there are such."""
    if policy not in ("first", "all", "repair"):
        return ()
    whole = [place for place in places if not any(within_word(context, at) for at in place)]
    chosen = whole or list(places)
    return tuple(chosen if policy == "all" else chosen[:1])


def within_word(context: str, at: int) -> bool:
    """Whether a word continues across this character's beginning; Chinese, Japanese and Thai have no borders to see."""
    return 0 < at < len(context) and all(
        character.isalnum() and not _UNSPACED.match(character) for character in context[at - 1 : at + 1]
    )


def _nearest(text: str, start: int, context: str) -> int:
    """Where ``text`` begins in ``context`` closest to ``start``; it is somewhere in it."""
    at = min(max(start, 0), len(context))
    before, after = context.rfind(text, 0, at + len(text)), context.find(text, at)
    return min((place for place in (before, after) if place >= 0), key=lambda place: abs(place - start))
