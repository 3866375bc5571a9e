"""First-party readers: question answering data sets, GLUE, tables, and exports of annotation tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from qakit.api import Component, NoRuntime, NoSettings, Reader, Settings, hookimpl
from qakit_readers.problems import ANSWER_END, BAD_LABEL, BAD_REFERENCE, BAD_ROW, IS_IMPOSSIBLE, PARAGRAPH_COUNT

GlueTask = Literal["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE", "WNLI", "AX"]


class SquadSettings(Settings):
    labelled: bool | Literal["auto"] = Field(
        default="auto",
        description="What `answers: []` means: no answer in a labelled file, nothing in a test file. `auto`: the file "
        "is labelled when any question has `is_impossible` or an answer. `false`: answers are ignored.",
    )


class AdlSettings(Settings):
    contexts: str = Field(
        default="context.json",
        description="The file with the paragraphs' texts, relative to the folder of the data file.",
    )
    paragraphs: PositiveInt | None = Field(
        default=None, description="How many paragraphs each question must have; by default any number."
    )


class GlueSettings(Settings):
    task: GlueTask = Field(description="Which of the ten tasks: it decides columns and labels.")


class HotpotSettings(Settings):
    titles: bool = Field(
        default=True, description="Whether each paragraph begins with its title, on a line of its own."
    )


class NewsSettings(Settings):
    split: Literal["train", "dev", "test"] | None = Field(
        default=None, description="Read only the stories of this split (JSON, which says it for each); by default all."
    )


class TriviaSettings(Settings):
    evidence: str = Field(
        default="../evidence",
        description="The folder with the documents' folders `web` and `wikipedia`, relative to that of the data file. "
        "The hub's edition holds the documents itself.",
    )
    together: bool = Field(
        default=False,
        description="`true`: one example for each question, with all its documents as contexts. By default one for "
        "each question and document; then every place of the answer can be learnt.",
    )


class BratSettings(Settings):
    types: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="Types of spans to ask for; by default those of `annotation.conf`, else those in each file.",
    )


class LabelStudioSettings(Settings):
    text: str = Field(default="text", description="Field of a task's `data` that holds the text.")
    question: str | None = Field(
        default=None,
        description="Field of a task's `data` that holds its question; without it each label is a question.",
    )
    labels: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="Labels to ask for; by default those in the file. A file without annotations needs them.",
    )


class TableSettings(Settings):
    """Settings of the ``table`` reader: which column holds what. Offsets are characters, counted from 0."""

    format: Literal["auto", "csv", "tsv", "json", "jsonl", "parquet"] = Field(
        default="auto",
        description="`auto`: by the file's ending. `json` and `jsonl` are the same: one object a line, a list of "
        'objects, or `{"data": [objects]}`, as the content says.',
    )
    quotes: bool | None = Field(
        default=None,
        description="Whether quotation marks enclose cells. By default they do in CSV; in TSV they are text, and a "
        "file where they seem to enclose cells is refused.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="The character between the cells of CSV and TSV; by default a comma and a tab.",
    )
    id: str | None = Field(default=None, description="Column of the ids; by default the row's number from 0.")
    question: str | None = Field(default=None, description="Column of the question, or a template as in `text_a`.")
    context: str | None = Field(default=None, description="Column of the context.")
    text_a: str | None = Field(
        default=None,
        description="Column of the first text, for classification; takes the place of `question`. Several columns are "
        'one text by a template with their names in braces: `"{anchor} [SEP] {target}"`; a brace that is meant is '
        "doubled. The name of a column is never a template.",
    )
    text_b: str | None = Field(
        default=None,
        description="Column of the second text of a pair, or a template as in `text_a`; takes the place of `context`.",
    )
    answer_text: str | None = Field(
        default=None, description="Column of the answer's text. An empty cell is read as `empty_answer` says."
    )
    answer_start: str | None = Field(
        default=None,
        description="Column of the answer's first character. Without it an answer is placed where its text occurs "
        "exactly once.",
    )
    answer_end: str | None = Field(
        default=None, description="Column of one past the answer's last character; checked against start and text."
    )
    answers: str | None = Field(
        default=None,
        description='Column of `{"text": [...], "answer_start": [...]}`, as Hugging Face\'s SQuAD has it, or of '
        '`[{"text", "answer_start"}]` or `[text, ...]` (JSON, Parquet).',
    )
    empty_answer: Literal["unlabelled", "unanswerable"] = Field(
        default="unlabelled", description="What an empty `answer_text` cell means."
    )
    choices: Annotated[list[str], Field(min_length=2)] | None = Field(
        default=None,
        description="Columns of the contexts that a question chooses among (multiple choice). `label` then says which "
        "is right: its number from 0, its column's name, its letter (A is the first), or its text.",
    )
    label: str | Annotated[list[str], Field(min_length=2)] | None = Field(
        default=None,
        description="Column of the class name or number, or with `label_type: number` a list of columns: several "
        "numbers of each text, which are learnt and predicted together.",
    )
    label_type: Literal["class", "number"] = Field(
        default="class",
        description="`number`: regression. Of several numbers some cells may be empty: the text teaches the others.",
    )
    document: str | None = Field(
        default=None, description="Column of what the context comes from (an article): folds keep its rows together."
    )

    @model_validator(mode="after")
    def _columns_go_together(self) -> TableSettings:
        if (self.question is None) == (self.text_a is None):
            raise ValueError("give `question` (question answering) or `text_a` (classification), one of the two")
        if self.context is not None and self.text_b is not None:
            raise ValueError("give `context` or `text_b`, not both")
        if self.choices is not None and (self.context or self.text_b or self.question is None):
            raise ValueError("`choices` go with `question`, and without `context` or `text_b`")
        if self.answers is not None and self.answer_text is not None:
            raise ValueError("give `answers` or `answer_text`, not both")
        if (self.answers or self.answer_text) and self.context is None:
            raise ValueError("answers need a `context` column")
        if (self.answer_start or self.answer_end) and self.answer_text is None:
            raise ValueError("`answer_start` and `answer_end` need `answer_text`")
        if isinstance(self.label, list):
            if self.label_type == "class":
                raise ValueError("a list of columns in `label` is for numbers: set `label_type: number`")
            if len(set(self.label)) < len(self.label):
                raise ValueError("`label` names a column twice")
            if self.choices is not None:
                raise ValueError("with `choices`, `label` is one column")
        return self


SQUAD: Component[SquadSettings, NoRuntime, Reader] = Component(
    name="squad",
    summary="SQuAD 1.1 and 2.0 JSON, its relatives (DRCD, CMRC 2018, XQuAD, KorQuAD 2), and lists of such questions",
    settings=SquadSettings,
    build="qakit_readers.squad:SquadReader",
    guess="qakit_readers.guess:guess_squad",
    problems=(IS_IMPOSSIBLE,),
)
HW7: Component[NoSettings, NoRuntime, Reader] = Component(
    name="hw7",
    summary="NTU ML HW7 JSON: questions beside paragraphs, inclusive answer_end",
    settings=NoSettings,
    build="qakit_readers.hw7:Hw7Reader",
    guess="qakit_readers.guess:guess_hw7",
    problems=(ANSWER_END, BAD_REFERENCE),
)
ADL: Component[AdlSettings, NoRuntime, Reader] = Component(
    name="adl",
    summary="NTU ADL JSON: several paragraphs for each question, texts in context.json",
    settings=AdlSettings,
    build="qakit_readers.adl:AdlReader",
    guess="qakit_readers.guess:guess_adl",
    problems=(BAD_REFERENCE, PARAGRAPH_COUNT),
)
GLUE: Component[GlueSettings, NoRuntime, Reader] = Component(
    name="glue",
    summary="TSV files of the ten GLUE tasks",
    settings=GlueSettings,
    build="qakit_readers.glue:GlueReader",
    guess="qakit_readers.guess:guess_glue",
    problems=(BAD_LABEL, BAD_ROW),
)
MRQA: Component[NoSettings, NoRuntime, Reader] = Component(
    name="mrqa",
    summary="MRQA's shared task: JSON Lines with the places of the answers, inclusive ends",
    settings=NoSettings,
    build="qakit_readers.mrqa:MrqaReader",
    guess="qakit_readers.known:guess_mrqa",
)
NATURAL_QUESTIONS: Component[NoSettings, NoRuntime, Reader] = Component(
    name="natural_questions",
    summary="Natural Questions, simplified as on Kaggle: long answers are contexts, short ones spans in them",
    settings=NoSettings,
    build="qakit_readers.natural_questions:NaturalQuestionsReader",
    guess="qakit_readers.known:guess_natural_questions",
    problems=(ANSWER_END, BAD_LABEL, BAD_REFERENCE),
)
HOTPOTQA: Component[HotpotSettings, NoRuntime, Reader] = Component(
    name="hotpotqa",
    summary="HotpotQA: several paragraphs for each question, answers without offsets",
    settings=HotpotSettings,
    build="qakit_readers.hotpotqa:HotpotReader",
    guess="qakit_readers.known:guess_hotpotqa",
    problems=(BAD_REFERENCE,),
)
MULTISPANQA: Component[NoSettings, NoRuntime, Reader] = Component(
    name="multispanqa",
    summary="MultiSpanQA: questions whose answer is several spans together, as tags of tokens",
    settings=NoSettings,
    build="qakit_readers.multispanqa:MultiSpanQAReader",
    guess="qakit_readers.known:guess_multispanqa",
    problems=(BAD_LABEL,),
)
NEWSQA: Component[NewsSettings, NoRuntime, Reader] = Component(
    name="newsqa",
    summary="NewsQA: combined JSON or CSV with ranges of characters, or CSV with ranges of tokens",
    settings=NewsSettings,
    build="qakit_readers.newsqa:NewsReader",
    guess="qakit_readers.known:guess_newsqa",
    problems=(ANSWER_END, BAD_REFERENCE, BAD_ROW),
)
TRIVIAQA: Component[TriviaSettings, NoRuntime, Reader] = Component(
    name="triviaqa",
    summary="TriviaQA: names of an answer, looked for in the documents beside it",
    settings=TriviaSettings,
    build="qakit_readers.triviaqa:TriviaReader",
    guess="qakit_readers.known:guess_triviaqa",
    problems=(BAD_REFERENCE,),
)
BRAT: Component[BratSettings, NoRuntime, Reader] = Component(
    name="brat",
    summary="brat's standoff files: each type of span is a question to each text",
    settings=BratSettings,
    build="qakit_readers.spans:BratReader",
    guess="qakit_readers.known:guess_brat",
    problems=(ANSWER_END, BAD_REFERENCE),
)
LABEL_STUDIO: Component[LabelStudioSettings, NoRuntime, Reader] = Component(
    name="label_studio",
    summary="Label Studio's JSON export of labelled spans: each label, or a field, is a question to the text",
    settings=LabelStudioSettings,
    build="qakit_readers.spans:LabelStudioReader",
    guess="qakit_readers.known:guess_label_studio",
    problems=(ANSWER_END, BAD_REFERENCE),
)
TABLE: Component[TableSettings, NoRuntime, Reader] = Component(
    name="table",
    summary="CSV, TSV, JSON, JSON Lines or Parquet with a column map",
    settings=TableSettings,
    build="qakit_readers.table:TableReader",
    guess="qakit_readers.guess:guess_table",
    problems=(ANSWER_END, BAD_LABEL, BAD_ROW),
)


@hookimpl
def qakit_register_readers() -> Iterable[Component[Any, Any, Any]]:
    """The readers of this package."""
    return (
        SQUAD,
        HW7,
        ADL,
        GLUE,
        MRQA,
        NATURAL_QUESTIONS,
        HOTPOTQA,
        MULTISPANQA,
        NEWSQA,
        TRIVIAQA,
        BRAT,
        LABEL_STUDIO,
        TABLE,
    )
