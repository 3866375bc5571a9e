"""The eleven files of a GLUE upload: how many rows each has, what may stand in them, and their form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from qakit.api import DataError
from qakit.reading import load_text

HIGHEST_SIMILARITY = 5.0
"""STS-B's numbers lie between 0 and this."""


@dataclass(frozen=True, slots=True)
class TestSet:
    """One of GLUE's test sets.

    Attributes:
        rows: how many examples it has; they are numbered from 0.
        filler: what stands for a task without predictions: the most frequent class of its training set, or any number.
        classes: the allowed predictions; empty for numbers (STS-B).
    """

    rows: int
    filler: str
    classes: tuple[str, ...] = ("0", "1")


_NLI = ("entailment", "neutral", "contradiction")
_RTE = ("entailment", "not_entailment")

TEST_SETS: Mapping[str, TestSet] = MappingProxyType(
    {
        "CoLA": TestSet(1063, "1"),
        "SST-2": TestSet(1821, "1"),
        "MRPC": TestSet(1725, "1"),
        "STS-B": TestSet(1379, "2.500", ()),
        "MNLI-m": TestSet(9796, "contradiction", _NLI),
        "MNLI-mm": TestSet(9847, "contradiction", _NLI),
        "QNLI": TestSet(5463, "not_entailment", _RTE),
        "QQP": TestSet(390965, "0"),
        "RTE": TestSet(3000, "entailment", _RTE),
        "WNLI": TestSet(146, "0"),
        "AX": TestSet(1104, "contradiction", _NLI),
    }
)
"""By the name of the file without its ending."""


def problem_of(value: str, test: TestSet) -> str | None:
    """What is wrong with a prediction as the file has it; None if nothing is."""
    if test.classes:
        return None if value in test.classes else f"{value[:40]!r} is none of {', '.join(test.classes)}"
    try:
        number = float(value)
    except ValueError:
        return f"{value[:40]!r} is not a number"
    inside = 0.0 <= number <= HIGHEST_SIMILARITY
    return None if inside else f"{value[:40]} is not between 0 and {HIGHEST_SIMILARITY:g}"


HEADER = "index\tprediction"


def table_text(values: Sequence[str], *, indices: Sequence[int] | None = None) -> str:
    """The file's text; rows are numbered from 0 without ``indices``."""
    numbers = range(len(values)) if indices is None else indices
    return "\n".join([HEADER, *(f"{number}\t{value}" for number, value in zip(numbers, values, strict=True)), ""])


def read_table(path: Path) -> dict[int, str]:
    """Predictions by index, in the file's order.

    Raises:
        DataError: the file cannot be read, or is not such a table.
    """
    lines = load_text(path).splitlines()
    if not lines or lines[0].split("\t") != HEADER.split("\t"):
        found = lines[0][:60] if lines else ""
        raise DataError(f"the header is {found!r}; GLUE wants 'index' and 'prediction', with a tab", path=path)
    rows: dict[int, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != 2 or not (cells[0].isascii() and cells[0].isdigit()):
            raise DataError("is not an index and a prediction with a tab between them", path=path, row=f"line {number}")
        index = int(cells[0])
        if index in rows:
            raise DataError(f"the index {index} was there before", path=path, row=f"line {number}")
        rows[index] = cells[1]
    return rows
