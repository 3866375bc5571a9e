"""NewsQA as its own tools compile it: the combined JSON and CSV files, and the tokenised ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from qakit.api import Answer, DataError, Example, Problems
from qakit.reading.files import beginning, load_json
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted
from qakit_readers import NewsSettings
from qakit_readers.delimited import delimited_rows
from qakit_readers.forms import demand, entries_of, format_hint
from qakit_readers.several import answer_between
from qakit_readers.tokens import Tokens

_NONE, _BAD = "no answer", "bad question"
_SAID = {"none": _NONE, "noanswer": _NONE, "badquestion": _BAD, "bad_question": _BAD}
"""How the files spell them, in lower case."""
_RANGE = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
_CHARACTERS, _TOKENS = "answer_char_ranges", "answer_token_ranges"

Range = tuple[int, int]
"""[start, end) characters or tokens of the story."""
Verdict = Range | str
"""An annotator's: a range, or one of ``_NONE`` and ``_BAD``."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What annotators said of a question.

    Attributes:
        verdicts: of those who looked for answers; one may have marked several ranges.
        votes: of those who judged these answers afterwards; empty where nobody did.
        agreed: what the file says they agreed on; None where it does not say.
    """

    verdicts: Sequence[Verdict]
    votes: Mapping[Verdict, int]
    agreed: Verdict | None = None

    @property
    def chosen(self) -> Verdict | None:
        """What most of them said; of equally many the first."""
        counted = Counter(self.votes or self.verdicts)
        return self.agreed or next((verdict for verdict, _ in counted.most_common(1)), None)


class NewsReader:
    """JSON ``{"data": [{"storyId", "text", "type", "questions": [{"q", "consensus", "answers",
    "validatedAnswers"}]}]}``; CSV with ``answer_char_ranges`` (``196:228|196:202,217:228|None``) or with
    ``answer_token_ranges``.

    The answer that most annotators agreed on comes first, those of the others count, too. Where they agreed that there
    is none, the question has none; where they called the question bad, it is unlabelled. Ids are the story's with the
    question's number in it, from 0. ``Example.document`` is the story's id.
    """

    def __init__(self, settings: NewsSettings) -> None:
        self._split = settings.split

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        if beginning(path).lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            return self._stories(path, problems)
        if self._split is not None:
            raise DataError("CSV files do not say which split a story is of; leave the reader's `split` out", path=path)
        return _rows(path, problems)

    def _stories(self, path: Path, problems: Problems) -> Iterator[Example]:
        document = load_json(path)
        entries = entries_of(document)
        if entries is None:
            message = f"should be an object with a list 'data' of stories, as NewsQA has it{format_hint(document)}"
            raise DataError(message, path=path)
        for number, value in enumerate(entries):
            if self._split is None or not isinstance(value, dict) or value.get("type") == self._split:
                yield from _story(value, f"data[{number}]", problems)


def _story(value: object, row: str, problems: Problems) -> Iterator[Example]:
    questions = value.get("questions") if isinstance(value, dict) else None
    try:
        story = Record.of(value, row, problems, weight=len(questions) if isinstance(questions, list) else 1)
        demand(story, "storyId", "newsqa")
        identifier = story.identifier("storyId")
        text = story.text("text", empty="empty_context")
        questions = story.items("questions")
    except SkippedRecordError:
        return
    for number, question in enumerate(questions):
        with suppress(SkippedRecordError):
            record = Record.of(question, f"id {identifier}:{number}", problems)
            asked = record.text("q", empty="empty_question")
            said = None if problems.predicted_only else _of_json(record)
            yield _example(record, f"{identifier}:{number}", asked, text, said, document=identifier)


def _of_json(record: Record) -> _Said | None:
    sourced = record.items("answers") if record.has("answers") else []
    verdicts: list[Verdict] = []
    for number, value in enumerate(sourced):
        sourcer = record.child(value, f"answers[{number}]")
        verdicts += [_verdict(sourcer, "sourcerAnswers", each) for each in sourcer.items("sourcerAnswers")]
    votes: dict[Verdict, int] = {}
    for value in record.items("validatedAnswers") if record.has("validatedAnswers") else []:
        voted = record.child(value, "validatedAnswers")
        votes[_verdict(record, "validatedAnswers", value)] = voted.integer("count")
    agreed = _verdict(record, "consensus", record.values["consensus"]) if record.has("consensus") else None
    return _Said(verdicts, votes, agreed) if verdicts or votes or agreed else None


def _verdict(record: Record, field: str, value: object) -> Verdict:
    answer = record.child(value, field)
    flag = next((said for name, said in _SAID.items() if any(name == key.lower() for key in answer.values)), None)
    if flag is not None and not answer.has("s"):
        return flag
    return answer.integer("s"), answer.integer("e")


def _rows(path: Path, problems: Problems) -> Iterator[Example]:
    numbers: Counter[str] = Counter()
    rows = delimited_rows(path, problems, separator=",", quotes=True)
    first = next(rows, None)
    if first is None:
        raise DataError("the table has no row", path=path)
    for _, row, values in chain([first], rows):
        record = Record(values, row, problems)
        if not {"story_id", "story_text", "question"} <= values.keys():
            names = ", ".join(map(quoted, values))
            message = f"the columns story_id, story_text and question should be there, as NewsQA has them, not {names}"
            raise DataError(message, path=path)
        with suppress(SkippedRecordError):
            story = record.identifier("story_id")
            identifier = f"{story}:{numbers[story]}"
            numbers[story] += 1
            record = record.named(f"{row} (id {identifier})")
            text = record.text("story_text", empty="empty_context").replace("\r\n", "\n")  # so the offsets count
            asked = record.text("question", empty="empty_question")
            tokens = Tokens.of(text) if record.values.get(_TOKENS) else None
            said = None if problems.predicted_only else _of_cells(record)
            yield _example(record, identifier, asked, text, said, document=story, tokens=tokens)


def _of_cells(record: Record) -> _Said | None:
    field = _TOKENS if _TOKENS in record.values else _CHARACTERS
    cell = record.values.get(field) or ""
    if not cell.strip():
        return None
    verdicts = [_cell(record, field, text) for text in re.split(r"[|,]", cell)]
    validated = record.values.get("validated_answers") or "{}"
    try:
        votes = json.loads(validated)
    except (ValueError, RecursionError):
        votes = None
    if not isinstance(votes, dict) or not all(type(count) is int for count in votes.values()):
        record.refuse("wrong_type", "validated_answers", f"should be an object of counts, not {kind_of(validated)}")
    return _Said(verdicts, {_cell(record, "validated_answers", text): count for text, count in votes.items()})


def _cell(record: Record, field: str, text: str) -> Verdict:
    if (said := _SAID.get(text.strip().lower())) is not None:
        return said
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        record.refuse("wrong_type", field, f"should hold ranges such as 196:228, not {kind_of(text)}")
    return int(found[1]), int(found[2])


def _example(
    record: Record,
    identifier: str,
    question: str,
    story: str,
    said: _Said | None,
    *,
    document: str,
    tokens: Tokens | None = None,
) -> Example:
    chosen = None if said is None else said.chosen
    answers: tuple[Answer, ...] | None = None
    if said is not None and chosen == _NONE:
        answers = ()
    elif said is not None and chosen != _BAD:
        ranges = [each for each in (chosen, *said.votes, *said.verdicts) if isinstance(each, tuple)]
        answers = tuple(_answers(record, dict.fromkeys(ranges), story, tokens))
    return Example(identifier, question, (story,), answers=answers, document=document)


def _answers(record: Record, ranges: Iterable[Range], story: str, tokens: Tokens | None) -> Iterator[Answer]:
    for start, end in ranges:
        if tokens is not None and 0 <= start < end <= len(tokens):
            start, end = tokens.characters(start, end)
        elif tokens is not None:
            message = f"there are no tokens {start} to {end} in a story of {len(tokens)}"
            record.refuse("bad_reference", _TOKENS, message)
        yield answer_between(record, _CHARACTERS, start, end, story)
