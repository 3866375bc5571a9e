"""Which columns of a table hold what, guessed from names and contents; which readers know a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.api import DataError, Guess
from qakit_readers.columns import Column, contained
from qakit_readers.guess import guess_glue, guess_table

Table = Callable[..., Path]
ROWS = 30
PLACES = ("Bonn", "Köln", "Ulm")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """``table("a.csv", ("id", "text"), [("1", "x"), ...])``: a file of these columns and rows."""

    def write(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], separator: str = ",") -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([columns, *rows])
        return path

    return write


def only(path: Path) -> Guess:
    (guess,) = guess_table(path)
    return guess


def question(number: int) -> tuple[str, str, str]:
    """Context, question, answer."""
    place = PLACES[number % 3]
    return f"Number {number} lies near {place}, as all know.", f"Where does number {number} lie?", place


COLUMNS: dict[str, tuple[Sequence[str], Callable[[int], Sequence[Any]], dict[str, Any]]] = {
    "tweets": (
        ("textID", "text", "selected_text", "sentiment"),
        lambda n: (f"t{n}", f"day {n} is so bad", f"{n} is so bad", ("positive", "negative", "neutral")[n % 3]),
        {"id": "textID", "question": "sentiment", "context": "text", "answer_text": "selected_text"},
    ),
    "chaii": (
        ("id", "context", "question", "answer_text", "answer_start", "language"),
        lambda n: (f"q{n}", *question(n), question(n)[0].index(question(n)[2]), ("hindi", "tamil")[n % 2]),
        {
            "id": "id",
            "question": "question",
            "context": "context",
            "answer_text": "answer_text",
            "answer_start": "answer_start",
        },
    ),
    "names of another language, and none for the answer": (
        ("nr", "ort", "wo", "inhalt"),
        lambda n: (n, question(n)[2], question(n)[1], question(n)[0]),
        {"id": "nr", "question": "wo", "context": "inhalt", "answer_text": "ort"},
    ),
    "offsets that do not fit": (
        ("question", "context", "answer", "start"),
        lambda n: (question(n)[1], question(n)[0], question(n)[2], 0),
        {"question": "question", "context": "context", "answer_text": "answer"},
    ),
    "a keyword that stands in the text": (
        ("id", "keyword", "text", "target"),
        lambda n: (n, "fire", f"a fire number {n} in the woods", n % 2),
        {"id": "id", "text_a": "text", "label": "target"},
    ),
    "pairs": (
        ("sentence1", "sentence2", "gold_label"),
        lambda n: (f"a man {n} walks", f"a woman {n} sleeps", ("yes", "no")[n % 2]),
        {"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"},
    ),
    "yes-no questions about a passage": (
        ("question", "passage", "answer"),
        lambda n: (question(n)[1], question(n)[0], str(n % 2 == 0)),
        {"text_a": "question", "text_b": "passage", "label": "answer"},
    ),
    "numbers": (
        ("id", "excerpt", "target", "standard_error"),
        lambda n: (f"e{n}", f"a long excerpt, number {n}", n * 0.37 - 3, 0.5),
        {"id": "id", "text_a": "excerpt", "label": "target", "label_type": "number"},
    ),
    "choices by letters": (
        ("id", "prompt", "A", "B", "C", "answer"),
        lambda n: (n, f"Which is number {n}?", f"this is {n}", f"that is {n}", f"none is {n}", "ABC"[n % 3]),
        {"id": "id", "question": "prompt", "choices": ["A", "B", "C"], "label": "answer"},
    ),
    "choices by numbers": (
        ("sent1", "ending0", "ending1", "ending2", "label"),
        lambda n: (f"The {n}. sentence begins", f"so {n}", f"and so {n}", f"or so {n}", n % 3),
        {"question": "sent1", "choices": ["ending0", "ending1", "ending2"], "label": "label"},
    ),
    "a label without a name": (
        ("satz", "art"),
        lambda n: (f"ein langer Satz, der {n}. von allen", ("gut", "schlecht")[n % 2]),
        {"text_a": "satz", "label": "art"},
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_are_known_by_name_and_content(case: str, table: Table) -> None:
    columns, row, expected = COLUMNS[case]
    assert only(table("train.csv", columns, [row(number) for number in range(ROWS)])).settings == expected


@settings(max_examples=25)
@given(st.permutations(range(6)), st.sampled_from([",", ";", "\t", "|"]))
def test_neither_the_order_of_columns_nor_the_separator_matters(order: list[int], separator: str) -> None:
    import tempfile

    columns, row, expected = COLUMNS["chaii"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=separator)
            writer.writerows([[each[at] for at in order] for each in [columns, *map(row, range(ROWS))]])
        assert only(path).settings == expected | ({} if separator == "," else {"separator": separator})


@given(st.lists(st.tuples(st.text(min_size=1), st.text(), st.text()), min_size=1))
def test_what_is_cut_from_a_context_is_in_it(parts: list[tuple[str, str, str]]) -> None:
    answers = Column("a", tuple(answer for answer, _, _ in parts))
    contexts = Column("c", tuple(f"{before}{answer}{after}" for answer, before, after in parts))
    assert contained(answers, contexts) == 1


def test_empty_answers_are_questions_without_one(table: Table) -> None:
    rows = [(question(n)[1], question(n)[0], question(n)[2] if n % 3 else "") for n in range(ROWS)]
    guess = only(table("train.csv", ("question", "context", "answer"), rows))
    assert guess.settings["empty_answer"] == "unanswerable"
    assert guess.reasons["empty_answer"] == "10 of 30 rows have no answer"


def test_reasons_carry_figures_and_what_is_left_over_is_named(table: Table) -> None:
    columns, row, _ = COLUMNS["tweets"]
    guess = only(table("train.csv", [*columns, "Country"], [[*row(n), f"Land number {n % 3}"] for n in range(ROWS)]))
    assert guess.reasons["answer_text"] == "100% of its texts are in the column 'text'"
    assert "3 values" in guess.reasons["question"]
    assert guess.recipe == {"metric": "jaccard"}
    assert guess.notes == ("not used: 'Country'",)


def test_rows_of_json_with_lists_of_answers(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [
        {"q": question(n)[1], "context": question(n)[0], "answers": {"text": [question(n)[2]], "answer_start": [0]}}
        for n in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert only(path).settings == {"question": "q", "context": "context", "answers": "answers"}


def test_quoted_tsv_and_an_ending_that_says_nothing(table: Table) -> None:
    columns, row, expected = COLUMNS["tweets"]
    rows = [(*row(n)[:1], f'{row(n)[1]} "so to say"', *row(n)[2:]) for n in range(ROWS)]
    assert only(table("train.tsv", columns, rows, "\t")).settings == {"quotes": True} | expected
    plain = [row(n) for n in range(ROWS)]
    assert only(table("train.txt", columns, plain, ";")).settings == {"format": "csv", "separator": ";"} | expected


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        (("a", "b"), lambda n: (n * 1.5, n * 2.5), r"none of the columns 'a', 'b' looks like an answer"),
        (("3", "a text of some words"), lambda n: (n % 4, f"text {n} of words"), r"the first line seems to hold data"),
        (("pos", "a text of some words"), lambda n: (("pos", "neg")[n % 2], f"text {n}"), r"line seems to hold data"),
    ],
)
def test_what_cannot_be_guessed_is_said(
    columns: Sequence[str], row: Callable[[int], Sequence[Any]], message: str, table: Table
) -> None:
    with pytest.raises(DataError, match=message):
        only(table("train.csv", columns, [row(n) for n in range(ROWS)]))


@pytest.mark.parametrize(
    ("header", "row", "task"),
    [
        ("sentence\tlabel", "a film\t1", "SST-2"),
        ("gj04\t1\t\tA sentence.", "gj04\t0\t*\tSentence a.", "CoLA"),
        ("index\tsentence1\tsentence2\tlabel", "0\ta b\tc d\tnot_entailment", "RTE"),
        ("index\tsentence1\tsentence2\tlabel", "0\ta b\tc d\t1", "WNLI"),
        ("sentence1\tsentence2\tlabel", "a b\tc d\t1", None),
        ("sentence\tlabel", "a film\tgood", None),
    ],
)
def test_files_of_glue_are_known_by_header_and_labels(header: str, row: str, task: str | None, tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(f"{header}\n{row}\n")
    assert [guess.settings["task"] for guess in guess_glue(path)][:1] == ([task] if task else [])
