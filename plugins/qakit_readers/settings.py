"""Settings of the readers. Light: imported when the plugin is found."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, PositiveInt, model_validator

from qakit.api import Settings

GlueTask = Literal["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE", "WNLI", "AX"]


class _Documented(Settings):
    model_config = ConfigDict(use_attribute_docstrings=True)


class SquadSettings(_Documented):
    """Settings of the ``squad`` reader."""

    labelled: bool | Literal["auto"] = "auto"
    """What `answers: []` means: no answer in a labelled file, nothing in a test file. `auto`: the file is labelled when
    any question has `is_impossible` or an answer. `false`: answers are ignored."""


class Hw7Settings(_Documented):
    """The ``hw7`` reader has no settings."""


class AdlSettings(_Documented):
    """Settings of the ``adl`` reader."""

    contexts: str = "context.json"
    """The file with the paragraphs' texts, relative to the folder of the data file."""
    paragraphs: PositiveInt | None = None
    """How many paragraphs each question must have; by default any number."""


class GlueSettings(_Documented):
    """Settings of the ``glue`` reader."""

    task: GlueTask
    """Which of the ten tasks: it decides columns and labels."""


class TableSettings(_Documented):
    """Settings of the ``table`` reader: which column holds what. Offsets are characters, counted from 0."""

    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = "auto"
    """`auto`: by the file's ending."""
    quotes: bool | None = None
    """Whether quotation marks enclose cells; by default in CSV, not in TSV."""
    id: str | None = None
    """Column of the ids; by default the row's number from 0."""
    question: str | None = None
    """Column of the question."""
    context: str | None = None
    """Column of the context."""
    text_a: str | None = None
    """Column of the first text, for classification; takes the place of `question`."""
    text_b: str | None = None
    """Column of the second text of a pair; takes the place of `context`."""
    answer_text: str | None = None
    """Column of the answer's text. An empty cell is read as `empty_answer` says."""
    answer_start: str | None = None
    """Column of the answer's first character. Without it an answer is placed where its text occurs exactly once."""
    answer_end: str | None = None
    """Column of one past the answer's last character; checked against start and text."""
    answers: str | None = None
    """Column of `{"text": [...], "answer_start": [...]}`, as Hugging Face's SQuAD has it (JSON Lines, Parquet)."""
    empty_answer: Literal["unlabelled", "unanswerable"] = "unlabelled"
    """What an empty `answer_text` cell means."""
    label: str | None = None
    """Column of the class name or number."""
    label_type: Literal["class", "number"] = "class"
    """`number`: regression."""
    document: str | None = None
    """Column of what the context comes from (an article): folds keep its rows together."""

    @model_validator(mode="after")
    def _columns_go_together(self) -> TableSettings:
        if (self.question is None) == (self.text_a is None):
            raise ValueError("give `question` (question answering) or `text_a` (classification), one of the two")
        if self.context is not None and self.text_b is not None:
            raise ValueError("give `context` or `text_b`, not both")
        if self.answers is not None and self.answer_text is not None:
            raise ValueError("give `answers` or `answer_text`, not both")
        if (self.answers or self.answer_text) and self.context is None:
            raise ValueError("answers need a `context` column")
        if (self.answer_start or self.answer_end) and self.answer_text is None:
            raise ValueError("`answer_start` and `answer_end` need `answer_text`")
        return self
