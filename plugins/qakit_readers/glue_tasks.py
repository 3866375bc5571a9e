"""The ten GLUE tasks as their TSV files have them: which columns hold the texts and the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_NLI = ("entailment", "neutral", "contradiction")
_RTE = ("entailment", "not_entailment")
_BINARY = ("0", "1")


@dataclass(frozen=True, slots=True)
class TaskColumns:
    """One task's columns by header name.

    Attributes:
        texts: one or two columns.
        label: the label's column; a file without it is a test file.
        labels: the class names; empty for regression.
        range: lowest and highest value of a regression target.
        headless: the columns of files without a header line, None where every file has one.
    """

    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 0.0)
    headless: tuple[str, ...] | None = None


TASKS: Mapping[str, TaskColumns] = MappingProxyType(
    {
        "CoLA": TaskColumns(("sentence",), "label", _BINARY, headless=("source", "label", "star", "sentence")),
        "SST-2": TaskColumns(("sentence",), "label", _BINARY),
        "MRPC": TaskColumns(("#1 String", "#2 String"), "Quality", _BINARY),
        "STS-B": TaskColumns(("sentence1", "sentence2"), "score", range=(0.0, 5.0)),
        "QQP": TaskColumns(("question1", "question2"), "is_duplicate", _BINARY),
        "MNLI": TaskColumns(("sentence1", "sentence2"), "gold_label", _NLI),
        "QNLI": TaskColumns(("question", "sentence"), "label", _RTE),
        "RTE": TaskColumns(("sentence1", "sentence2"), "label", _RTE),
        "WNLI": TaskColumns(("sentence1", "sentence2"), "label", _BINARY),
        "AX": TaskColumns(("sentence1", "sentence2"), "label", _NLI),
    }
)
"""By GLUE's own names."""

ID_COLUMNS = ("index", "id")
"""Columns that number the rows, in order of preference; without them rows are numbered from 0."""
