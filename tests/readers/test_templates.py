"""One text of several columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import DataError
from qakit_readers.template import TextTemplate

PATENT = "{anchor} [SEP] {target}"


@pytest.fixture
def write(tmp_path: Path):
    def write_table(content: str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write_table


def test_two_texts_of_three_columns(write, read):
    path = write("id,anchor,target,context,score\n1,a lid,a cover,A47,0.5\n2,,a cover,,1\n")
    settings = {"id": "id", "label": "score", "label_type": "number"}
    examples, problems = read("table", path, text_a="{context}: {anchor}", text_b=PATENT, **settings)
    assert [(each.question, *each.contexts, each.label) for each in examples] == [
        ("A47: a lid", "a lid [SEP] a cover", 0.5),
        (": ", " [SEP] a cover", 1.0),
    ]
    assert problems.counts == {("empty_question", "kept"): 1}  # of the first text all cells are empty


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_empty_cells_and_those_that_are_no_text(form, tmp_path, read):
    rows = [
        {"t": "one", "n": 2, "b": True, "f": 1.5},
        {"t": None, "n": 3, "b": None, "f": float("nan")},
        {"t": "two", "n": None, "b": False, "f": 2.0},
    ]
    path = tmp_path / f"data.{form}"
    if form == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    examples, problems = read("table", path, text_a="{t}|{n}|{b}|{f}")
    assert [each.question for each in examples] == ["one|2|true|1.5", "|3||", "two||false|2"]
    assert not problems.counts


def test_a_row_without_any_text_is_a_problem(write, read):
    path = write("a,b\nx,y\n, \n")
    with pytest.raises(DataError, match="line 3, field 'text_a': there is no text in any of 'a', 'b'"):
        read("table", path, {"empty_question": "error"}, text_a="{a} and {b}")


def test_the_name_of_a_column_is_no_template(write, read):
    path = write("{a},a,a{b\nbraced,plain,odd\n")
    assert read("table", path, text_a="{a}")[0][0].question == "braced"
    assert read("table", path, text_a="{a} ")[0][0].question == "plain "
    assert read("table", path, text_a="a{b")[0][0].question == "odd"
    assert read("table", path, text_a="{{{a}}}")[0][0].question == "{plain}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{a} {c}", r"there is no column 'c' \(the reader's `text_a`\); there are 'a', 'b'"),
        ("{a} {}", "there is no column ''"),
        ("{a} {b", r"'\{a\} \{b' \(the reader's `text_a`\) is no column, and no template: every column's name"),
        ("{a}} {b}", "is no column, and no template"),
        ("{{a}}", "is no column, and no template"),
        ("a [SEP] b", r"there is no column 'a \[SEP\] b'"),
    ],
)
def test_templates_that_name_no_column(template, message, write, read):
    with pytest.raises(DataError, match=message) as caught:
        read("table", write("a,b\nx,y\n"), text_a=template)
    assert "\n" not in str(caught.value)


def test_a_list_in_a_cell_is_refused(write, read):
    path = write(json.dumps([{"a": ["x"], "b": "y"}]), "data.json")
    with pytest.raises(DataError, match="field 'a': should be text or a number, not a list of 1"):
        read("table", path, text_a="{a} {b}")


def test_a_question_may_be_one_and_a_context_may_not(write, read):
    path = write("subject,q,A,B,right\nhistory,who?,he,she,A\n")
    settings = {"choices": ["A", "B"], "label": "right"}
    (example,), _ = read("table", path, question="{subject}: {q}", **settings)
    assert (example.question, example.contexts, example.relevant) == ("history: who?", ("he", "she"), 0)
    with pytest.raises(DataError, match=r"there is no column '\{A\} \{B\}' \(the reader's `context`\)"):
        read("table", path, question="q", context="{A} {B}")  # answers are places in one column's text


def test_a_column_of_a_template_is_no_slip_of_the_label(write, read):
    path = write("score 1,a\nx,y\n")
    with pytest.raises(DataError, match="did you mean 'score 1'"):
        read("table", path, text_a="a", label="score_1")
    assert read("table", path, text_a="{score 1} {a}", label="score_1")[0][0].label is None


words = st.text(st.characters(exclude_characters="{}"), max_size=5)


@given(st.lists(words, min_size=1, max_size=5), st.data())
def test_a_template_is_taken_apart_as_it_was_put_together(columns, data):
    size = len(columns) + 1
    around = data.draw(st.lists(st.text(st.sampled_from("{} a"), max_size=4), min_size=size, max_size=size))
    doubled = [text.replace("{", "{{").replace("}", "}}") for text in around]
    written = doubled[0] + "".join(f"{{{name}}}{text}" for name, text in zip(columns, doubled[1:], strict=True))
    assert TextTemplate.of(written) == TextTemplate(tuple(columns), tuple(around))
