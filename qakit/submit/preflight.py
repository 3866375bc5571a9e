"""Is this file what the competition wants? Checked here, before a submission is spent on it.

A *problem* would be refused or scored wrong; a *notice* is worth a look and stops nothing. Values are read as they are:
``""`` and ``NA`` stay what they are. Memory grows with the number of ids only; answers are looked at and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from qakit.errors import DataError
from qakit.files import file_sha256
from qakit.submit.csv_content import LOOKS_MISSING, Answers, Ids, Sample, Table, as_choice, place_of, read_sample

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found out about a file."""

    path: Path
    sha256: str
    bytes: int
    rows: int
    """Without the header."""
    sample: Path | None
    problems: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def check_csv(
    path: Path,
    sample: Path | None = None,
    *,
    id_column: str | None = None,
    answer_column: str | None = None,
    allow_empty: bool = False,
    allow_bom: bool = False,
) -> Preflight:
    """Check a CSV file, against the competition's sample submission where there is one.

    Args:
        id_column: the column that names the questions; by default the first.
        answer_column: the column of the answers; by default all others.
        allow_empty: whether an answer may be empty though no answer of the sample is.
        allow_bom: whether the file may begin with a byte order mark though the sample does not.

    Raises:
        DataError: the file is not there, or the sample itself is no good.
    """
    digest, size = _digest(path)
    if size == 0:
        return Preflight(path, digest, 0, 0, sample, ("the file is empty",), ())
    expected = None if sample is None else read_sample(sample, id_column, answer_column)
    table, answers = Table(path), Answers()
    records = table.records()
    first = next(records, None)
    problems = list(_header_problems(table.header, expected, id_column, answer_column))
    notices: list[str] = []
    if not allow_bom and _has_bom(path) and not (sample is not None and _has_bom(sample)):
        problems.append(
            "begins with a byte order mark (BOM), which becomes part of the first column's name; write it without"
        )
    ids = Ids(expected)
    if first is not None:
        place = place_of(table.header, id_column)
        chosen = [table.header.index(answer_column)] if answer_column in table.header else range(len(table.header))
        columns = [column for column in chosen if column != place]
        for row in chain((first,), records):
            id_ = row[place]
            ids.see(id_)
            for column in columns:
                answer = row[column]
                answers.choices.add(as_choice(answer))
                if not answer or answer in LOOKS_MISSING or "\n" in answer or "\r" in answer:
                    answers.look(id_, answer)
    problems += table.problems()
    if not table.rows and not table.broken:
        problems.append("has no rows under its header")
    problems += ids.problems(complete=table.broken is None)
    notices += ids.notices()
    if answers.empty.count and not (allow_empty or (expected is not None and expected.empty_answers)):
        where = "the sample has none" if expected is not None else "there is no sample that has any"
        line = f"{answers.empty.count:,} answers are empty and {where}: {answers.empty}"
        (problems if expected is not None else notices).append(line)
    elif answers.empty.count:
        notices.append(f"{answers.empty.count:,} answers are empty, which is allowed here")
    remedy = "a recipe that names the sample (competition.sample_submission) writes them as it has them"
    for ours, theirs in (("numbers", "letters"), ("letters", "numbers")):
        if expected is not None and (answers.choices, expected.choices) == ({ours}, frozenset({theirs})):
            problems.append(f"the answers are {ours}, and those of the sample are {theirs}: {remedy}")
    notices += answers.notices()
    if expected is None:
        notices.append("there is no sample submission to compare with: ids and columns were not checked")
    return Preflight(path, digest, size, table.rows, sample, tuple(problems), tuple(notices))


def _header_problems(
    header: tuple[str, ...], sample: Sample | None, id_column: str | None, answer_column: str | None
) -> Iterator[str]:
    if sample is not None:
        if header == sample.header:
            return
        ours, theirs = ",".join(header), ",".join(sample.header)
        if sorted(header) == sorted(sample.header):
            yield f"the columns are in another order: {ours!r}, the sample has {theirs!r}"
        elif any(id_ in sample.places for id_ in header):
            yield f"the first line is no header: it is {ours[:60]!r}, the sample has {theirs!r}"
        else:
            yield f"the columns are {ours[:200]!r}, the sample has {theirs!r}"
        return
    for name in (id_column, answer_column):
        if name is not None and name not in header:
            yield f"there is no column {name!r}; there are {', '.join(header)[:200]}"
    if len(set(header)) != len(header):
        yield f"two columns have the same name: {','.join(header)[:200]!r}"
    if len(header) < 2:
        yield f"there is one column, {','.join(header)[:60]!r}; a submission has ids and answers"


def _digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size in bytes."""
    try:
        return file_sha256(path), path.stat().st_size
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path) from None


def _has_bom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3) == BOM
