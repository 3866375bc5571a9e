"""Which format a JSON document has, for messages of a reader that was given another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qakit.reading.record import Record

MARKS: Mapping[str, frozenset[str]] = {
    "mrqa": frozenset({"context_tokens", "detected_answers"}),
    "natural_questions": frozenset({"long_answer_candidates"}),
    "hotpotqa": frozenset({"supporting_facts"}),
    "multispanqa": frozenset({"num_span"}),
    "newsqa": frozenset({"storyId", "answer_char_ranges", "answer_token_ranges"}),
    "triviaqa": frozenset({"EntityPages", "SearchResults", "entity_pages", "search_results"}),
    "label_studio": frozenset({"total_annotations", "from_name"}),
}
"""Fields by which the formats are known that no other has."""
_FLAT = "flat records: the table reader takes them, with the fields' names (--reader table --set question=NAME ...)"


def entries_of(document: Any) -> list[Any] | None:
    """The entries of ``[...]`` or ``{"data": [...]}``; None for what is neither."""
    entries = document.get("data") if isinstance(document, dict) else document
    return entries if isinstance(entries, list) else None


def format_hint(document: Any) -> str:
    """``"; this looks like the hw7 format"``, or nothing where the document looks like nothing that is known."""
    found = format_of(document)
    if found == "table":
        return f"; this looks like {_FLAT}"
    return f"; this looks like the {found} format" if found else ""


def demand(record: Record, field: str, form: str) -> None:
    """Make sure that a record has what every record of its format has; without it the file may be in another format.

    Args:
        form: which format that is: a record that looks like one of these lacks the field, and nothing else is wrong.

    Raises:
        SkippedRecordError: it has not and the policy leaves the record out.
        DataError: it has not and the policy stops; the message says what the record looks like.
    """
    if field not in record.values:
        listed = [record.values]
        found = format_of(listed)
        flat = found == "table"  # perhaps a whole document on one line
        hint = "" if found == form else (flat and format_hint(record.values)) or format_hint(listed)
        record.refuse("missing_field", field, f"the field is missing{hint}")


def format_of(document: Any) -> str | None:
    """``squad``, ``hw7``, ``adl``, one of :data:`MARKS`, ``table`` (flat records), or None."""
    if isinstance(document, dict) and {"questions", "paragraphs"} <= document.keys():
        return "hw7"
    first = next(iter(entries_of(document) or ()), None)
    if isinstance(document, dict) and isinstance(document.get("Data"), list):
        first = next(iter(document["Data"]), None)
    if isinstance(first, dict):
        if marked := next((name for name, marks in MARKS.items() if marks & first.keys()), None):
            return marked
        if first.keys() == {"header"}:  # MRQA's first line
            return "mrqa"
        paragraphs = first.get("paragraphs")
        if isinstance(paragraphs, list):
            inner = next(iter(paragraphs), None)
            if isinstance(inner, dict):
                return None if "question" in first else "squad"
            return "adl" if isinstance(document, list) and isinstance(inner, int) else None
        return "squad" if "qas" in first else "table"
    return "squad" if isinstance(document, dict) and isinstance(document.get("data"), list) else None
