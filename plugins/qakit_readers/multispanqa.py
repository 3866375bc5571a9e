"""MultiSpanQA: questions whose answer is several spans together, as tags of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qakit.api import Answer, Example, Problems
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted
from qakit_readers.forms import demand
from qakit_readers.json_table import object_rows
from qakit_readers.tokens import Tokens

_TAGS = ("O", "B", "I")


class MultiSpanQAReader:
    """``{"data": [{"id", "question": [token], "context": [token], "label": ["B" | "I" | "O"]}]}``.

    Texts are the tokens with a blank between two. All spans together are the answer; a question without any has none,
    and one without ``label``, as in the test file, is unlabelled. A span begins at a B, or at an I that follows no
    span, as in the official script.
    """

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        for _, row, values in object_rows(path, problems):
            with suppress(SkippedRecordError):
                yield _question(Record.of(values, row, problems))


def _question(record: Record) -> Example:
    demand(record, "context", "multispanqa")
    identifier = record.identifier("id")
    record = record.named(f"id {identifier}")
    question, context = _text(record, "question"), _text(record, "context")
    if record.problems.predicted_only or not record.has("label"):
        return Example(identifier, question, (context,), together=True)
    return Example(identifier, question, (context,), answers=_answers(record, context), together=True)


def _answers(record: Record, context: str) -> tuple[Answer, ...]:
    labels, tokens = record.items("label"), Tokens.of(context)
    if len(labels) != len(record.items("context")):
        record.refuse(
            "contradiction", "label", f"there are {len(record.items('context'))} tokens and {len(labels)} tags"
        )
    odd = next((label for label in labels if label not in _TAGS), None)
    if odd is not None:
        record.refuse("bad_label", "label", f"should be O, B or I, not {quoted(str(odd))}")
    answers: list[Answer] = []
    first: int | None = None
    for at, label in enumerate([*labels, "O"]):
        if first is not None and label != "I":
            start, end = tokens.characters(first, at)
            answers.append(Answer(context[start:end], start))
            first = None
        if label == "B" or (label == "I" and first is None):
            first = at
    return tuple(answers)


def _text(record: Record, field: str) -> str:
    """The tokens with blanks between them."""
    tokens = record.items(field)
    odd = next((token for token in tokens if not isinstance(token, str) or not token or " " in token), None)
    if odd is not None:
        what = quoted(odd) if isinstance(odd, str) else kind_of(odd)
        record.refuse("wrong_type", field, f"should hold tokens without blanks, not {what}")
    text = " ".join(tokens)
    if not text.strip():
        record.judge(f"empty_{field}", field, "holds no token")
    return record.sound(text, field)
