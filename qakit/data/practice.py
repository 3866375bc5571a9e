"""A competition to practise on: its training file in two, one to learn from and one to be judged on.

The rows are those that MLE-bench holds back (Chan et al. 2024, "MLE-bench: Evaluating Machine Learning Agents on
Machine Learning Engineering"), which draws a tenth of them with scikit-learn's ``train_test_split(random_state=0)``; of
JSON Lines a tenth of each thousand. So scores can be compared with those that are published for it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from qakit.data.csv_rows import csv_rows
from qakit.errors import DataError, UsageError
from qakit.files import replace_folder, writing
from qakit.numbers import load_json
from qakit.outputs import check_empty
from qakit.reading.files import LONGEST, text_lines

SAMPLE = "sample_submission.csv"
ANSWERS = "answers"
"""Stem of the file with the held-back rows and their labels."""
LINES_AT_A_TIME = 1000
ENDINGS = (".csv", ".jsonl")


@dataclass(frozen=True, slots=True)
class Practice:
    """What was written."""

    folder: Path
    train: int
    """Rows to learn from."""
    test: int
    """Rows held back."""
    labels: tuple[str, ...]
    """Columns that the test file lacks."""
    answers: Path
    """The rows held back, with their labels."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """A file of rows, read twice and never held in memory."""

    path: Path

    def columns(self) -> tuple[tuple[str, ...], int]:
        """The header, or the keys of all records, and the number of rows.

        Raises:
            DataError: a row is damaged, or a name stands for two columns.
        """
        names: dict[str, None] = {}
        if self.path.suffix == ".csv":
            header = next(csv.reader(self._lines()), [])
            names = dict.fromkeys(header)
            if len(names) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise DataError(f"has two columns called {twice!r}: rename one of them", path=self.path)
        total = 0
        for total, row in enumerate(self, start=1):  # noqa: B007 - the number of the last one
            names.update(dict.fromkeys(row))
        return tuple(names), total

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Raises: DataError: a row is damaged."""
        if self.path.suffix != ".csv":
            yield from (_record(line, self.path, number) for number, line in text_lines(self.path) if line.strip())
            return
        reader = csv.DictReader(self._lines(), strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise DataError("has not as many cells as the header", path=self.path, row=_line(reader.line_num))
                yield row
        except csv.Error as error:
            raise DataError(f"is not valid CSV: {error}", path=self.path, row=_line(reader.line_num)) from None

    def _lines(self) -> Iterator[str]:
        csv.field_size_limit(LONGEST)
        return (line for _, line in text_lines(self.path, keep_ends=True))


def make_practice(
    source: Path,
    folder: Path,
    *,
    train: Path | None = None,
    test: Path | None = None,
    share: float = 0.1,
    seed: int = 0,
) -> Practice:
    """Split a competition's training file.

    ``folder`` gets files of the names that ``source`` has, for a recipe to read in their place: the training file
    without the rows that are held back, these without their labels as the test file, a sample submission for them; and
    ``answers``, with the labels. Rows keep their order.

    Args:
        source: the competition's folder, with a training file, a test file and the sample submission.
        folder: a new or empty one.
        train: the training file; by default the one in ``source`` with "train" in its name. Likewise ``test``.
        share: of the rows, to hold back; between 0 and 1.
        seed: which rows.

    Raises:
        UsageError: which files are meant is not clear, the folder holds something, or nothing would be held back.
        DataError: a file is damaged, or the test file has all columns that the training file has.
    """
    if not 0 < share < 1:
        raise UsageError(f"--share is {share:g}; it must be between 0 and 1")
    check_empty(folder)
    learned, official = _Rows(train or _named(source, "train")), _Rows(test or _named(source, "test"))
    if learned.path.suffix != official.path.suffix:
        raise UsageError(f"{learned.path} and {official.path} are of different kinds: CSV or JSON Lines, both of them")
    (columns, total), (kept, _) = learned.columns(), official.columns()
    labels = tuple(name for name in columns if name not in kept)
    lacking = [name for name in kept if name not in columns]
    if not labels or lacking:
        problem = (
            f"lacks the column {lacking[0]!r} of the test file" if lacking else "has no column beside the test file's"
        )
        raise DataError(f"{problem} {official.path.name}: where are the labels?", path=learned.path)
    held = _held_back(total, share, seed, max(1, total) if learned.path.suffix == ".csv" else LINES_AT_A_TIME)
    if not 0 < len(held) < total:
        raise UsageError(f"{share:g} of {total} rows are {len(held)}: some must be held back, and some stay")
    answers = ANSWERS + learned.path.suffix
    with writing(folder), replace_folder(folder) as new, ExitStack() as files:
        to_train = _writer(files, new / learned.path.name, columns)
        to_test = _writer(files, new / official.path.name, kept)
        to_answers = _writer(files, new / answers, columns)
        to_sample = _sample_writer(files, source / SAMPLE, new / SAMPLE, source=learned.path, test=official)
        for number, row in enumerate(learned):
            if number not in held:
                to_train(row)
                continue
            to_answers(row)
            to_test({name: row[name] for name in kept if name in row})
            to_sample(row)
    return Practice(folder, total - len(held), len(held), labels, folder / answers)


def _held_back(total: int, share: float, seed: int, chunk: int) -> frozenset[int]:
    """The rows that scikit-learn's ``train_test_split`` puts into the test file, drawn anew from each chunk."""
    import numpy as np

    held: list[int] = []
    for start in range(0, total, chunk):
        rows = min(chunk, total - start)
        order = np.random.RandomState(seed).permutation(rows)  # the generator that scikit-learn uses
        held += (start + order[: ceil(share * rows)]).tolist()
    return frozenset(held)


def _named(folder: Path, word: str) -> Path:
    found = [path for path in sorted(folder.glob(f"*{word}*")) if path.suffix in ENDINGS and path.name != SAMPLE]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "there is none"
        raise UsageError(f"{folder}: which is the {word} file? --{word} FILE ({names})")
    return found[0]


def _writer(files: ExitStack, path: Path, columns: Sequence[str]) -> Callable[[Mapping[str, Any]], object]:
    file = files.enter_context(path.open("w", encoding="utf-8", newline=""))
    if path.suffix == ".csv":
        write = csv_rows(file)
        write(columns)
        return lambda row: write(row.get(name, "") for name in columns)
    return lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _sample_writer(
    files: ExitStack, official: Path, path: Path, *, source: Path, test: _Rows
) -> Callable[[Mapping[str, Any]], object]:
    """Writes the sample's rows of one test row: as many as the official sample has, with the values of its first.

    Natural Questions has two to a question, whose ids end in ``_long`` and ``_short``.
    """
    if not official.is_file():
        return lambda _: None
    rows = _Rows(official)
    (header, _), first = rows.columns(), next(iter(test), {})
    sample = list(islice(rows, LINES_AT_A_TIME))
    id_column = header[0] if header else ""
    if not sample or id_column not in first:
        raise DataError(f"has no row, or no column of ids that {test.path.name} has, too", path=official)
    own = str(first[id_column])
    endings = [row[id_column].removeprefix(own) for row in sample if row[id_column].startswith(own)] or [""]
    if len(endings) > 1 and "" in endings:
        endings = [""]  # other ids that begin alike
    write = _writer(files, path, header)

    def write_all(row: Mapping[str, Any]) -> None:
        if id_column not in row:
            raise DataError(f"a row to hold back has no {id_column!r}, as the sample submission has", path=source)
        for ending in endings:
            write({**sample[0], id_column: f"{row[id_column]}{ending}"})

    return write_all


def _record(line: str, path: Path, number: int) -> Mapping[str, Any]:
    try:
        record = load_json(line)
    except ValueError as error:
        raise DataError(f"is not valid JSON: {error}", path=path, row=_line(number)) from None
    if not isinstance(record, dict):
        raise DataError("is not a JSON object", path=path, row=_line(number))
    return record


def _line(number: int) -> str:
    return f"line {number}"
