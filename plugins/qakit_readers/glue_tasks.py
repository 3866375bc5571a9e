"""The ten GLUE tasks as their TSV files have them: which columns hold the texts and the label, and what these and the
classes are called in ``nyu-mll/glue`` on the hub."""

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
        named: what classes are called there -> here.
    """

    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 0.0)
    headless: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)


_INDEX: Mapping[str, str] = MappingProxyType({"idx": "index"})


def _on_hub(first: str, second: str, label: str) -> Mapping[str, str]:
    """The hub's ``sentence1``, ``sentence2`` and ``label``."""
    return MappingProxyType({**_INDEX, "sentence1": first, "sentence2": second, "label": label})


def _inference(label: str) -> Mapping[str, str]:
    """The columns of ``diagnostic-full.tsv``, the edition of AX with labels that a model for MNLI answers, and the
    hub's."""
    diagnostics = {"Premise": "sentence1", "Hypothesis": "sentence2", "Label": label}
    on_hub = {name.lower(): column for name, column in diagnostics.items()}
    return MappingProxyType({**_INDEX, **diagnostics, **on_hub})


def _binary(no: str, yes: str) -> Mapping[str, str]:
    return MappingProxyType({no: "0", yes: "1"})


TASKS: Mapping[str, TaskColumns] = MappingProxyType(
    {
        "CoLA": TaskColumns(
            ("sentence",),
            "label",
            _BINARY,
            headless=("source", "label", "star", "sentence"),
            renamed=_INDEX,
            named=_binary("unacceptable", "acceptable"),
        ),
        "SST-2": TaskColumns(("sentence",), "label", _BINARY, renamed=_INDEX, named=_binary("negative", "positive")),
        "MRPC": TaskColumns(
            ("#1 String", "#2 String"),
            "Quality",
            _BINARY,
            renamed=_on_hub("#1 String", "#2 String", "Quality"),
            named=_binary("not_equivalent", "equivalent"),
        ),
        "STS-B": TaskColumns(
            ("sentence1", "sentence2"), "score", range=(0.0, 5.0), renamed=_on_hub("sentence1", "sentence2", "score")
        ),
        "QQP": TaskColumns(
            ("question1", "question2"),
            "is_duplicate",
            _BINARY,
            renamed={**_INDEX, "label": "is_duplicate"},
            named=_binary("not_duplicate", "duplicate"),
        ),
        "MNLI": TaskColumns(("sentence1", "sentence2"), "gold_label", _NLI, renamed=_inference("gold_label")),
        "QNLI": TaskColumns(("question", "sentence"), "label", _RTE, renamed=_INDEX),
        "RTE": TaskColumns(("sentence1", "sentence2"), "label", _RTE, renamed=_INDEX),
        "WNLI": TaskColumns(
            ("sentence1", "sentence2"),
            "label",
            _BINARY,
            renamed=_INDEX,
            named=_binary("not_entailment", "entailment"),
        ),
        "AX": TaskColumns(("sentence1", "sentence2"), "label", _NLI, renamed=_inference("label")),
    }
)
"""By GLUE's own names."""

ID_COLUMNS = ("index", "id")
"""Columns that number the rows, in order of preference; without them rows are numbered from 0."""

MISMATCHED_GENRES = frozenset({"facetoface", "letters", "nineeleven", "oup", "verbatim"})
"""MNLI's genres that its training set does not have."""
MISMATCHED = "mismatched-"
"""Goes before the ids of these rows: both evaluation sets number theirs from 0."""
