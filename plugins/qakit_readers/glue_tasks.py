"""The ten GLUE tasks as their TSV files have them: which columns hold the texts and the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        renamed: what columns are called in another edition of the file -> here.
    """

    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 0.0)
    headless: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


def _diagnostics(label: str) -> Mapping[str, str]:
    """The columns of ``diagnostic-full.tsv``, the edition of AX with labels; a model for MNLI answers it."""
    return MappingProxyType({"Premise": "sentence1", "Hypothesis": "sentence2", "Label": label})


TASKS: Mapping[str, TaskColumns] = MappingProxyType(
    {
        "CoLA": TaskColumns(("sentence",), "label", _BINARY, headless=("source", "label", "star", "sentence")),
        "SST-2": TaskColumns(("sentence",), "label", _BINARY),
        "MRPC": TaskColumns(("#1 String", "#2 String"), "Quality", _BINARY),
        "STS-B": TaskColumns(("sentence1", "sentence2"), "score", range=(0.0, 5.0)),
        "QQP": TaskColumns(("question1", "question2"), "is_duplicate", _BINARY),
        "MNLI": TaskColumns(("sentence1", "sentence2"), "gold_label", _NLI, renamed=_diagnostics("gold_label")),
        "QNLI": TaskColumns(("question", "sentence"), "label", _RTE),
        "RTE": TaskColumns(("sentence1", "sentence2"), "label", _RTE),
        "WNLI": TaskColumns(("sentence1", "sentence2"), "label", _BINARY),
        "AX": TaskColumns(("sentence1", "sentence2"), "label", _NLI, renamed=_diagnostics("label")),
    }
)
"""By GLUE's own names."""

ID_COLUMNS = ("index", "id")
"""Columns that number the rows, in order of preference; without them rows are numbered from 0."""

MISMATCHED_GENRES = frozenset({"facetoface", "letters", "nineeleven", "oup", "verbatim"})
"""MNLI's genres that its training set does not have."""
MISMATCHED = "mismatched-"
"""Goes before the ids of these rows: both evaluation sets number theirs from 0."""
