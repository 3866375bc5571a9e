"""First-party writers: CSV as Kaggle wants it, SQuAD's prediction file, JSON Lines, Natural Questions' tokens."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from qakit.api import Component, NoRuntime, NoSettings, RecipePath, Settings, Writer, hookimpl


class CsvSettings(Settings):
    """A table of ids and answers."""

    id_column: str = Field("id", description="Header of the first column.")
    answer_column: str = Field(
        "answer",
        description="Header of the second column. Several numbers of each text have columns of their own names.",
    )
    header: bool = Field(True, description="Whether the first line names the columns.")
    quoting: Literal["minimal", "all", "never"] = Field(
        "minimal",
        description="`minimal`: quote values that hold a comma, a quote or a line break; `all`: quote every value; "
        "`never`: a value that would need quotes is an error.",
    )
    line_end: Literal["\n", "\r\n"] = Field("\n", description=r"Between lines: `\n` or `\r\n`.")
    remove_characters: str = Field("", description='Characters taken out of the answers; "," for NTU HW7.')
    encoding: str = Field("utf-8", description="A Python codec name. Kaggle wants UTF-8.")
    escape_formulas: bool = Field(
        False,
        description="Put an apostrophe before values that a spreadsheet would take for a formula (they begin with "
        "`=`, `+`, `-`, `@` or a tab). For files that people open; a competition compares the exact text, so leave it "
        "off for submissions.",
    )
    bom: bool = Field(False, description="Begin with a byte order mark, for Excel. UTF-8 only.")
    same_order: bool = Field(
        False, description="Whether the check against the sample submission wants the rows in the sample's order."
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError(f"no codec is called {value!r}; use utf-8") from None

    @model_validator(mode="after")
    def _bom_is_utf8(self) -> Self:
        if self.bom and self.encoding != "utf-8":
            raise ValueError("bom: true goes with encoding: utf-8 only")
        return self


class SquadJsonSettings(Settings):
    """The official SQuAD prediction file."""

    no_answer_probability: bool = Field(
        False,
        description="Also write NAME.no_answer_probability.json (id -> probability), which "
        "`qakit score --no-answer-probability` and the official script's `--na-prob-file` take.",
    )


class NaturalQuestionsSettings(Settings):
    """A submission of Natural Questions."""

    questions: RecipePath = Field(
        description="The file with the questions that are predicted, in the simplified form: it says which tokens of "
        "the document the answers are. `qakit predict --input FILE` takes FILE."
    )
    long_threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A question without a short answer gets the long one of its best candidate where the probability "
        "of no answer is at most this, as in the metric `micro_f1`.",
    )


CSV: Component[CsvSettings, NoRuntime, Writer] = Component(
    name="csv",
    summary="A table of ids and answers, quoted where needed and checked against the sample submission",
    settings=CsvSettings,
    build="qakit_writers.table:CsvWriter",
)
SQUAD_JSON: Component[SquadJsonSettings, NoRuntime, Writer] = Component(
    name="squad_json",
    summary="SQuAD's prediction file: one JSON object, id -> text",
    settings=SquadJsonSettings,
    build="qakit_writers.json_files:SquadJsonWriter",
)
JSONL: Component[NoSettings, NoRuntime, Writer] = Component(
    name="jsonl",
    summary="One JSON object a line, with id and answer (or label)",
    settings=NoSettings,
    build="qakit_writers.json_files:JsonlWriter",
)

NATURAL_QUESTIONS: Component[NaturalQuestionsSettings, NoRuntime, Writer] = Component(
    name="natural_questions",
    summary="Natural Questions on Kaggle: the tokens of long and short answers",
    settings=NaturalQuestionsSettings,
    build="qakit_writers.natural_questions:NaturalQuestionsWriter",
)


@hookimpl
def qakit_register_writers() -> Iterable[Component[Any, Any, Any]]:
    """The writers of this package."""
    return (CSV, SQUAD_JSON, JSONL, NATURAL_QUESTIONS)
