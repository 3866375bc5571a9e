"""Comparing a written file with the competition's sample submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

WIDEST_CELL = 2**31 - 1
"""Characters of a cell of a CSV file; Python's own limit refuses long answers."""
MOST_COLUMNS = 4
"""That a message names."""


@dataclass(slots=True)
class Rows:
    """What a submission file holds, as far as the comparison needs it."""

    header: tuple[str, ...] = ()
    ids: list[str] = field(default_factory=list)
    empty_answers: int = 0


def compare(found: Rows, sample: Rows, *, same_order: bool = False) -> list[str]:
    """Problems of ``found``, one sentence each: columns, missing, unknown and repeated ids, empty answers, order."""
    problems = []
    if found.header != sample.header:
        problems.append(_other_columns(found.header, sample.header))
    found_ids, sample_ids = set(found.ids), set(sample.ids)
    if missing := [id_ for id_ in sample.ids if id_ not in found_ids]:
        problems.append(f"{len(missing)} ids of the sample are missing: {first_five(missing)}")
    if unknown := [id_ for id_ in found.ids if id_ not in sample_ids]:
        problems.append(f"{len(unknown)} ids are not in the sample: {first_five(unknown)}")
    if len(found_ids) != len(found.ids):
        repeated = [id_ for id_, count in Counter(found.ids).items() if count > 1]
        problems.append(f"{len(repeated)} ids are there more than once: {first_five(repeated)}")
    if found.empty_answers and not sample.empty_answers:
        problems.append(f"{found.empty_answers} answers are empty; the sample has none")
    if same_order and not problems and found.ids != sample.ids:
        row = next(index for index, pair in enumerate(zip(found.ids, sample.ids, strict=True)) if pair[0] != pair[1])
        problems.append(f"the rows are in another order than the sample's, from row {row + 1}: {found.ids[row]!r}")
    return problems


def _other_columns(found: Sequence[str], sample: Sequence[str]) -> str:
    """Of many columns only those that are wrong."""
    if sorted(found) == sorted(sample):
        return f"the columns are in another order than the sample's: {','.join(sample)!r}"
    if len(sample) <= MOST_COLUMNS:
        return f"the columns are {','.join(found)!r}, the sample has {','.join(sample)!r}"
    missing = [name for name in sample if name not in found]
    unknown = [name for name in found if name not in sample]
    parts = [(missing, "of the sample's columns are missing"), (unknown, "columns are not in the sample")]
    return "; ".join(f"{len(names)} {what}: {first_five(names)}" for names, what in parts if names)


def first_five(values: Iterable[str]) -> str:
    """The first five, comma-separated."""
    return ", ".join(islice(values, 5))
