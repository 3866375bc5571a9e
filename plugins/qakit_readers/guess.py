"""With which settings the readers may read a file that nobody has described: for ``qakit init``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from qakit.api import DataError, Guess, Problems, without_gz
from qakit.reading.files import beginning, text_lines
from qakit_readers import GLUE, GlueSettings
from qakit_readers.columnar import is_parquet, parquet_rows
from qakit_readers.columns import (
    PAIRS,
    Column,
    choices,
    contained,
    ends_fit,
    named,
    starts_fit,
)
from qakit_readers.delimited import SEPARATORS, delimited_rows
from qakit_readers.glue import GlueReader
from qakit_readers.glue_tasks import TASKS
from qakit_readers.json_table import json_rows
from qakit_readers.problems import BAD_ROW
from qakit_readers.table import FORMATS

_MOST_ROWS, _MOST_CHARACTERS = 20_000, 20_000_000
"""Of a table that are looked at."""
_GLUE_ROWS = 200
_NAMED = 10
_HEADERS: Mapping[str, frozenset[str]] = {
    "SST-2": frozenset({"sentence", "label"}),
    "MRPC": frozenset({"Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"}),
    "STS-B": frozenset({"genre", "old_index", "sentence1", "sentence2", "score"}),
    "QQP": frozenset({"qid1", "qid2", "question1", "question2", "is_duplicate"}),
    "MNLI": frozenset({"pairID", "genre", "sentence1", "sentence2", "gold_label"}),
    "QNLI": frozenset({"index", "question", "sentence", "label"}),
    "RTE": frozenset({"index", "sentence1", "sentence2", "label"}),
    "WNLI": frozenset({"index", "sentence1", "sentence2", "label"}),
}
"""Columns by which GLUE's files are known; of SST-2 there are no others."""


def guess_squad(path: Path) -> Iterator[Guess]:  # noqa: ARG001 (the reader itself finds out)
    """SQuAD's predictions are one JSON object."""
    yield Guess(recipe={"writer": "squad_json"}, reasons={"writer": "SQuAD's own prediction file: id -> text"})


def guess_hw7(path: Path) -> Iterator[Guess]:
    """NTU ML's homework 7 compares answers without their commas."""
    if '"paragraph_id"' not in beginning(path):
        return
    yield Guess(
        recipe={
            "metric": {"name": "exact_match", "remove_characters": ","},
            "writer": {"name": "csv", "id_column": "ID", "answer_column": "Answer", "remove_characters": ","},
        },
        reasons={"metric": "the competition compares whole answers, without commas"},
    )


def guess_adl(path: Path) -> Iterator[Guess]:
    """NTU ADL's homework counts exact answers."""
    if '"paragraphs"' not in beginning(path):
        return
    yield Guess(recipe={"metric": "exact_match"}, reasons={"metric": "the competition compares whole answers"})


def guess_glue(path: Path) -> Iterator[Guess]:
    """The task whose columns and labels a file has."""
    parquet = is_parquet(path)
    if not parquet and without_gz(path).suffix.lower() != ".tsv":
        return
    cells = _first_row(path, parquet=parquet)
    for task in TASKS:
        if (_known_parquet if parquet else _known_lines)(task, cells) and _reads(task, path):
            yield Guess(
                {"task": task},
                {"metric": {"name": "glue", "task": task}, "writer": {"name": "glue", "task": task}},
                {"task": f"the columns and labels are those of {task}", "metric": "the task's official figures"},
            )


def guess_table(path: Path) -> Iterator[Guess]:
    """A column map, from the columns' names and from what they hold.

    Raises:
        DataError: the file is no table, or its columns look like nothing that is known.
    """
    layout, rows = _table(path)
    columns = Column.of(rows)
    if data := next((column.name for column in columns if column.is_named_like_data), None):
        message = f"the first line seems to hold data ({data!r}), and no names of columns: put a header line above it"
        raise DataError(message, path=path)
    found = _multiple_choice(columns) or _question_answering(columns) or _classification(columns)
    if found is None:
        names = ", ".join(repr(column.name) for column in columns[:_NAMED]) + (", ..." if len(columns) > _NAMED else "")
        message = f"none of the columns {names} looks like an answer within another column, or like a label"
        raise DataError(message, path=path)
    identifier, why = _identifier(columns, _mapped(found.settings))
    used: dict[str, Any] = {**layout, **identifier, **found.settings}
    taken = _mapped(used)
    unused = [column.name for column in columns if column.name not in taken]
    notes = (*found.notes, *([f"not used: {', '.join(map(repr, unused))}"] if unused else []))
    yield Guess(used, found.recipe, {**why, **found.reasons}, notes)


def _mapped(settings: Mapping[str, Any]) -> set[str]:
    """The columns that settings name, alone or in lists."""
    return {name for value in settings.values() for name in (value if isinstance(value, list) else [value])}


def _table(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How the file is to be read (settings beyond the defaults), and its first rows."""
    suffix = FORMATS.get(without_gz(path).suffix.lower())
    form = suffix or _format_of(path)
    layout: dict[str, Any] = {} if suffix else {"format": form}
    problems = Problems(path, collect=True, declared=(BAD_ROW,))
    if form == "parquet":
        return layout, _first(row for _, _, row in parquet_rows(path))
    if form in ("json", "jsonl"):
        return layout, _first(row for _, _, row in json_rows(path, problems))
    default = "," if form == "csv" else "\t"
    header = next((line for _, line in text_lines(path)), "")
    separator = default if default in header else max(default + SEPARATORS, key=header.count)
    if separator != default and not header.lower().startswith("sep="):
        layout["separator"] = separator
    for quotes in (True,) if form == "csv" else (None, True, False):
        try:
            rows = _first(row for _, _, row in delimited_rows(path, problems, separator=separator, quotes=quotes))
        except DataError:
            if quotes is False or form == "csv":
                raise
            continue
        if quotes is not None and form != "csv":
            layout["quotes"] = quotes
        return layout, rows
    raise AssertionError("a table whose quotation marks are text can always be read")


def _format_of(path: Path) -> str:
    """The format of a file whose ending says nothing."""
    if is_parquet(path):
        return "parquet"
    first = next((line.lstrip() for _, line in text_lines(path)), "")
    return "json" if first.startswith(("{", "[")) else "tsv" if "\t" in first else "csv"


def _first(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    taken: list[dict[str, Any]] = []
    characters = 0
    for row in islice(rows, _MOST_ROWS):
        taken.append(row)
        characters += sum(len(value) for value in row.values() if isinstance(value, str))
        if characters > _MOST_CHARACTERS:
            break
    return taken


def _multiple_choice(columns: Sequence[Column]) -> Guess | None:
    """Columns of a question, its choices, and which is right; None where no columns look like choices."""
    several = choices(columns)
    label = next((each for each in named(columns, "label") if each.is_few and each.name not in several), None)
    if not several or label is None:
        return None
    question, why = _question(columns, {label.name, *several})
    if question is None:
        return None
    reasons = {"question": why, "choices": "columns that are numbered alike", "label": f"{label.distinct} values"}
    note = "a choice is predicted as its number from 0; where the competition wants letters, replace them in the file"
    settings = {"question": question.name, "choices": several, "label": label.name}
    return Guess(settings, {}, reasons, () if label.is_whole else (note,))


def _question_answering(columns: Sequence[Column]) -> Guess | None:
    """Columns of question, context and answer; None where no column's texts lie in another one's."""
    listed = next((column for column in columns if column.lists_answers and column.key.startswith("answer")), None)
    texts = [column for column in columns if column.is_text and not (column.is_unique and column.looks_like_names)]
    if listed is not None:
        likely = [*named(texts, "context"), *sorted(texts, key=lambda each: -each.length)]
        answer, context = listed, next((each for each in likely if contained(listed.first_answers, each) >= 0.5), None)
        settings, reasons = {"answers": listed.name}, {"answers": "answers with their offsets, or lists of texts"}
    else:
        pair = _within(columns, texts)
        if pair is None:
            return None
        answer, context, share = pair
        settings = {"answer_text": answer.name}
        reasons = {"answer_text": f"{_percent(share)} of its texts are in the column {context.name!r}"}
    if context is None:
        return None
    question, why = _question(columns, {answer.name, context.name})
    if question is None:
        return None
    notes = []
    recipe: dict[str, Any] = {}
    if listed is None:
        more, said = _offsets(columns, answer, context)
        settings |= more
        notes += said
        asked = [a is None for a, c in zip(answer.values, context.values, strict=True) if c is not None]
        if sum(asked) >= len(asked) / 100:
            settings["empty_answer"] = "unanswerable"
            reasons["empty_answer"] = f"{sum(asked):,} of {len(asked):,} rows have no answer"
    others = (each for each in named(columns, "document") if each not in {answer, context, question})
    if document := next((each for each in others if 1 < each.distinct < len(each.filled) == len(each.values)), None):
        settings["document"] = document.name
        reasons["document"] = f"{document.distinct:,} of them; folds do not divide one"
    if question.is_few or any(column.key == "language" for column in columns):
        recipe["metric"] = "jaccard"
        reasons["metric"] = "the share of words in both, as in Kaggle's competitions with such columns"
    head = {"question": question.name, "context": context.name}
    return Guess(head | settings, recipe, {"question": why} | reasons, tuple(notes))


def _within(columns: Sequence[Column], texts: Sequence[Column]) -> tuple[Column, Column, float] | None:
    """Answer, context, and how many of the answers are in it."""
    names = [column for column in named(columns, "answer_text") if column.filled and not column.lists_answers]
    has_label = any(column.is_few or column.is_numeric for column in named(columns, "label"))
    others = [] if has_label else [column for column in texts if column not in names]
    best: tuple[Column, Column, float] | None = None
    for answer, least in [*((column, 0.5) for column in names), *((column, 0.95) for column in others)]:
        contexts = [context for context in texts if context is not answer and context.length > answer.length]
        known = list(named(contexts, "context"))
        for context in [*known, *sorted(set(contexts) - set(known), key=lambda each: -each.length)]:
            share = contained(answer, context)
            if share >= least and (best is None or share > best[2] + 0.02):
                best = answer, context, share
        if best is not None:
            return best
    return best


def _question(columns: Sequence[Column], taken: set[str]) -> tuple[Column | None, str]:
    """The question's column, and why."""
    free = [column for column in columns if column.name not in taken and column.is_text]
    if by_name := next(named(free, "question"), None):
        return by_name, ""
    if (asking := max(free, key=lambda each: each.asks, default=None)) and asking.asks >= 0.5:
        return asking, f"{asking.asks:.0%} of its texts end with a question mark"
    few = next((column for column in named(free, "label") if column.is_few), None)
    few = few or next((column for column in free if column.is_few), None)
    if few is not None:
        return few, f"there are no questions; one of {few.distinct} values says what to look for"
    free = [column for column in free if not column.looks_like_names]
    return max(free, key=lambda each: each.length, default=None), "the longest texts besides"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")


def _offsets(columns: Sequence[Column], answer: Column, context: Column) -> tuple[dict[str, Any], list[str]]:
    """The columns of first and last characters, where they hold what their names say."""
    start = next((column for column in named(columns, "answer_start") if column.is_whole), None)
    if start is None:
        return {}, []
    share = starts_fit(start, answer, context)
    if share < 0.5:
        return {}, [f"the offsets in {start.name!r} are not used: {share:.0%} of the answers begin there"]
    end = next((column for column in named(columns, "answer_end") if column.is_whole), None)
    exclusive = end is not None and ends_fit(end, start, answer) >= 0.95
    return {"answer_start": start.name} | ({"answer_end": end.name} if end is not None and exclusive else {}), []


def _classification(columns: Sequence[Column]) -> Guess | None:
    """Columns of one or two texts and a label."""
    label = next(
        (each for each in named(columns, "label") if each.is_few or (each.is_numeric and each.distinct > 1)), None
    )
    reasons: dict[str, str] = {}
    several = _several_numbers(columns, alone=label is None)
    if several:
        label = several[0]
    elif label is None:
        few = [column for column in columns if column.is_few and column.key not in ("id", "index")]
        if len(few) != 1:
            return None
        label = few[0]
        reasons["label"] = "the only column of a few values that come again: "
    words = [*named(columns, "text")]
    texts = [
        column
        for column in columns
        if column.is_text and column is not label and (column in words or not column.looks_like_names)
    ]
    keys = {column.key: column for column in texts}
    first: Column | None
    second: Column | None = None
    if pair := next((pair for pair in PAIRS if keys.keys() >= set(pair)), None):
        first, second = keys[pair[0]], keys[pair[1]]
    elif (asked := next(named(texts, "question"), None)) and (given := next(named(texts, "context"), None)):
        first, second = asked, given
    else:
        free = [column for column in texts if not column.is_few]
        first = next(named(free, "text"), None) or max(free, key=lambda each: each.length, default=None)
        if len(free) == 2 and first is not None and min(each.length for each in free) > 10:
            first, second = free
    if first is None:
        return None
    settings: dict[str, Any] = {"text_a": first.name} | ({"text_b": second.name} if second else {})
    if several:
        settings |= {"label": [each.name for each in several], "label_type": "number"}
        reasons["label"] = "columns of numbers; leave out those that are not asked for"
        return Guess(settings, {}, reasons)
    settings["label"] = label.name
    if label.is_numeric and not (label.is_whole and label.distinct <= 20):
        settings["label_type"] = "number"
        reasons["label_type"] = f"{label.distinct:,} different numbers"
    reasons["label"] = f"{reasons.get('label', '')}{label.distinct:,} different values"
    recipe = {}
    if label.is_whole and 3 <= label.distinct <= 20 and label.key in ("score", "rating", "grade", "stars"):
        recipe["metric"] = "quadratic_kappa"
        reasons["metric"] = "grades: a wrong one costs the more, the further it is off"
    return Guess(settings, recipe, reasons)


def _several_numbers(columns: Sequence[Column], *, alone: bool) -> list[Column]:
    """Columns of numbers that each text may have to be given; empty for fewer than two.

    Whole numbers may count anything.

    Args:
        alone: no column is called like a label; else only three or more shares are likelier than that one.
    """
    called = set(named(columns, "id"))
    numbers = [each for each in columns if each.is_numeric and each.distinct > 1 and each not in called]
    shares = [each for each in numbers if each.is_share]
    if not alone:
        return shares if len(shares) > 2 and not all(each.is_whole for each in shares) else []
    found = shares if len(shares) > 1 else [each for each in numbers if not each.is_whole]
    return found if len(found) > 1 else []


def _identifier(columns: Sequence[Column], taken: set[Any]) -> tuple[dict[str, str], dict[str, str]]:
    free = [column for column in columns if column.name not in taken]
    by_name = [column for column in named(free, "id") if column.distinct >= 0.95 * len(column.values)]
    likely = [column for column in free if column.is_unique and column.looks_like_names]
    found = next(iter([*by_name, *likely]), None)
    if found is None:
        return {}, {}
    repeated = len(found.values) - found.distinct
    return {"id": found.name}, {"id": f"{repeated:,} come twice or are empty" if repeated else "no two are the same"}


def _first_row(path: Path, *, parquet: bool) -> tuple[str, ...]:
    if parquet:
        return next((tuple(row) for _, _, row in parquet_rows(path)), ())
    return next((tuple(cell.strip() for cell in line.split("\t")) for _, line in text_lines(path)), ())


def _known_lines(task: str, cells: tuple[str, ...]) -> bool:
    if task == "CoLA":
        return len(cells) == 4 and cells[1] in ("0", "1") and cells[2] in ("", "*")
    wanted = _HEADERS.get(task)
    return wanted is not None and wanted <= set(cells) and (task != "SST-2" or len(cells) == len(wanted))


def _known_parquet(task: str, cells: tuple[str, ...]) -> bool:
    known = TASKS[task]
    names = [known.renamed.get(cell, cell) for cell in cells]
    return task != "AX" and "idx" in cells and {*known.texts, known.label} <= set(names)


def _reads(task: str, path: Path) -> bool:
    """Whether the first rows are the task's, labels included."""
    try:
        reader = GlueReader(GlueSettings.model_validate({"task": task}))
        examples = list(islice(reader.read(path, Problems(path, declared=GLUE.problems)), _GLUE_ROWS))
    except DataError:
        return False
    whole = task == "STS-B" and all(isinstance(each.label, float) and each.label.is_integer() for each in examples)
    return not whole and any(example.label is not None for example in examples)
