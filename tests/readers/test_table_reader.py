"""Tables with a column map."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pyarrow.parquet
import pytest

from qakit.api import Answer, DataError, Targets
from qakit.errors import PluginError

QA = {"id": "key", "question": "q", "context": "c", "answer_text": "a", "answer_start": "s"}


@pytest.fixture
def write(tmp_path: Path):
    def write_table(content: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_table


def test_csv_cells_are_text_and_keep_their_line_ends(write, read):
    path = write('key,q,c,a,s\r\n007,"NA, really?","null\r\nNA ""x""",NA,6\r\n')
    (example,), problems = read("table", path, **QA)
    assert (example.id, example.question, example.contexts) == ("007", "NA, really?", ('null\r\nNA "x"',))
    assert example.answers == (Answer("NA", 6),)
    assert not problems.counts


def test_tsv_quotation_marks_are_text_unless_asked_otherwise(write, read):
    path = write('q\tc\n"a\tb"\n', "data.tsv")
    assert read("table", path, question="q", context="c")[0][0].question == '"a'
    path = write('q\tc\n"a\tb"\tc\n', "data.tsv")
    assert read("table", path, question="q", context="c", quotes=True)[0][0].question == "a\tb"


@pytest.mark.parametrize("quoting", ["minimal", "all"])
def test_a_tsv_that_pandas_wrote_with_quotation_marks_names_the_way_out(quoting, write, read):
    import csv
    import io

    buffer = io.StringIO()
    style = csv.QUOTE_ALL if quoting == "all" else csv.QUOTE_MINIMAL
    rows = [("q", "c"), ("one", "two"), ('He said "now"?', "a\tb\nc")]
    csv.writer(buffer, delimiter="\t", quoting=style, lineterminator="\n").writerows(rows)
    path = write(buffer.getvalue(), "data.tsv")
    with pytest.raises(DataError, match=r"enclosed in quotation marks.* set the reader's `quotes: true`, or"):
        read("table", path, question="q", context="c")
    examples, _ = read("table", path, question="q", context="c", quotes=True)
    assert [(each.question, *each.contexts) for each in examples] == rows[1:]


def test_a_tsv_cell_with_a_line_end_names_the_way_out(write, read):
    path = write('q\tc\none\t"first\nsecond"\n', "data.tsv")
    with pytest.raises(DataError, match=r"1 cells where the header has 2; if quotation marks .* `quotes: true`"):
        read("table", write('q\tc\n"first\nsecond"\tone\n', "data.tsv"), question="q", context="c")
    path = write('q\tc\n"first\nsecond"\tone\n', "data.tsv")
    assert read("table", path, question="q", context="c", quotes=True)[0][0].question == "first\nsecond"


def test_quotation_marks_that_are_said_to_be_text(write, read):
    path = write('q\tc\n"a ""b"""\td\n', "data.tsv")
    assert read("table", path, question="q", context="c", quotes=False)[0][0].question == '"a ""b"""'


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_excels_first_line_names_the_separator(separator, write, read):
    text = f"sep={separator}\r\nq{separator}c\r\none{separator}two\r\n"
    (example,), _ = read("table", write(text), question="q", context="c")
    assert (example.question, example.contexts) == ("one", ("two",))
    with pytest.raises(DataError, match="line 3: the row has 1 cells"):
        read("table", write(f"sep={separator}\nq{separator}c\nx\n"), question="q", context="c")


@pytest.mark.parametrize("name", ["data.csv", "data.tsv"])
def test_lines_that_end_with_carriage_returns_alone(name, write, read):
    separator = "," if name.endswith("csv") else "\t"
    text = f"q{separator}c\rone{separator}two\rthree{separator}four\r"
    examples, _ = read("table", write(text, name), question="q", context="c")
    assert [each.question for each in examples] == ["one", "three"]


def test_a_carriage_return_in_the_middle_is_named(write, read):
    with pytest.raises(DataError, match="a carriage return stands alone and outside quotation marks"):
        read("table", write("q,c\none\rmore,two\n"), question="q", context="c")


ROWS = [
    {"id": "1", "q": "?", "c": "one two", "a": {"text": ["two"], "answer_start": [4]}},
    {"id": "2", "q": "?", "c": "one two", "a": {"text": [], "answer_start": []}},
]


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(ROWS), id="array"),
        pytest.param(json.dumps(ROWS, indent=1), id="array on lines"),
        pytest.param(json.dumps({"version": 1, "data": ROWS}), id="data"),
        pytest.param(json.dumps({"data": ROWS}, indent=2), id="data on lines"),
        pytest.param("\n".join(map(json.dumps, ROWS)), id="lines"),
        pytest.param("\n\n" + "\r\n".join(map(json.dumps, ROWS)) + "\n", id="lines with blanks"),
    ],
)
def test_json_in_every_shape_of_a_table(text, name, write, read):
    settings = {"id": "id", "question": "q", "context": "c", "answers": "a"}
    examples, problems = read("table", write(text, name), **settings)
    assert [(each.id, each.answers) for each in examples] == [("1", (Answer("two", 4),)), ("2", ())]
    assert not problems.counts


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["two"], "answer_start": [4]},
        {"text": ["two"]},
        {"text": "two", "answer_start": 4},
        [{"text": "two", "answer_start": 4}],
        [{"text": "two", "answer_start": "4"}],
        [{"text": "two"}],
        ["two"],
    ],
)
def test_answers_in_every_shape(answers, write, read):
    row = {"q": "?", "c": "one two", "a": answers}
    (example,), _ = read("table", write(json.dumps(row), "data.jsonl"), question="q", context="c", answers="a")
    assert example.answers == (Answer("two", 4),)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"q": {"0": "?"}, "c": {"0": "x"}}, "'q': should be text, not an object"),
        ({"data": [{"paragraphs": [{}]}]}, "there are 'paragraphs'; this looks like the squad format"),
        ([{"paragraphs": [1], "id": 1}], "this looks like the adl format"),
        ([{"q": "?", "c": "x"}, 3], "record 2: should hold an object, not the number 3"),
        ([], "the table has no row"),
    ],
)
def test_json_that_is_no_table(document, message, write, read):
    with pytest.raises(DataError, match=message):
        read("table", write(json.dumps(document), "data.json"), question="q", context="c")
    with pytest.raises(DataError):
        read("table", write(json.dumps(document, indent=1), "data.json"), question="q", context="c")


def test_a_key_that_comes_twice_in_a_row_is_told(write, read):
    path = write('{"q": "a", "q": "b", "c": "x"}\n{"q": "c", "c": "x"}\n', "data.jsonl")
    examples, problems = read("table", path, question="q", context="c")
    assert [each.question for each in examples] == ["b", "c"]
    assert problems.counts == {("repeated_key", "kept"): 1}
    assert [each.question for each in read("table", path, {"repeated_key": "skip"}, question="q", context="c")[0]] == [
        "c"
    ]


def test_a_hundred_thousand_columns_take_no_time(write, read):
    import time

    began = time.monotonic()
    columns = [f"column{number}" for number in range(100_000)]
    with pytest.raises(DataError, match=r"there is no column 'q' .* and 99,980 more") as caught:
        read("table", write(",".join(columns) + "\n" + "," * 99_999 + "\n"), question="q", context="c")
    assert len(str(caught.value)) < 1000
    assert time.monotonic() - began < 5


def test_a_line_that_never_ends_is_refused(write, read, monkeypatch):
    monkeypatch.setattr("qakit.reading.files.LONGEST", 1000)
    with pytest.raises(DataError, match="line 2: the line is longer than 1,000 bytes: no text is"):
        read("table", write("q,c\n" + "x" * 2000), question="q", context="c")


def test_long_cells(write, read):
    (example,), _ = read("table", write("q,c\nx," + "y" * 200_000 + "\n"), question="q", context="c")
    assert len(example.contexts[0]) == 200_000


def test_json_lines(write, read):
    rows = [
        {"key": 1, "q": "?", "c": "one two", "a": "two", "s": 4},
        {"key": 2, "q": "?", "c": "one two", "a": None, "s": None},
    ]
    path = write("".join(json.dumps(row) + "\n" for row in rows), "data.jsonl")
    examples, problems = read("table", path, **QA)
    assert [(example.id, example.answers) for example in examples] == [("1", (Answer("two", 4),)), ("2", None)]
    assert not problems.counts
    assert read("table", path, **QA, empty_answer="unanswerable")[0][1].answers == ()


def test_parquet_in_the_shape_of_hugging_face_squad(tmp_path, read):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "odd [name].parquet"
    answers = [{"text": ["two"], "answer_start": [4]}, {"text": [], "answer_start": []}]
    table = {
        "id": ["a", "b"],
        "title": ["T", None],
        "question": ["?", "?"],
        "context": ["one two"] * 2,
        "answers": answers,
    }
    pq.write_table(pa.table(table), path)
    settings = {"id": "id", "question": "question", "context": "context", "answers": "answers", "document": "title"}
    examples, problems = read("table", path, **settings)
    assert [(e.id, e.answers, e.document) for e in examples] == [("a", (Answer("two", 4),), "T"), ("b", (), "")]
    assert not problems.counts


def test_parquet_with_a_column_twice(tmp_path, read):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 3, names=["q", "c", "c"]), path)
    with pytest.raises(DataError, match="the table has the column 'c' twice"):
        read("table", path, question="q", context="c")


def test_classification_and_regression(write, read):
    path = write("x,y,n\nfirst,second,1\n")
    (example,), _ = read("table", path, text_a="x", text_b="y", label="n")
    assert (example.id, example.question, example.contexts, example.label) == ("0", "first", ("second",), "1")
    (example,), _ = read("table", path, text_a="x", label="n", label_type="number")
    assert (example.contexts, example.label, example.answers) == ((), 1.0, None)
    (example,), _ = read("table", path, text_a="x", label="absent")
    assert example.label is None


def test_without_offsets_an_answer_is_placed_where_it_occurs_once(write, read):
    path = write("q,c,a\n?,one two,two\n?,two two,two\n")
    examples, problems = read("table", path, question="q", context="c", answer_text="a")
    assert [example.answers for example in examples] == [(Answer("two", 4),), (Answer("two", None),)]
    assert problems.counts == {("answer_ambiguous", "kept"): 1}


def test_the_end_is_exclusive(write, read):
    path = write("q,c,a,s,e\n?,one two,two,4,7\n?,one two,two,4,6\n")
    settings = {"question": "q", "context": "c", "answer_text": "a", "answer_start": "s", "answer_end": "e"}
    examples, problems = read("table", path, **settings)
    assert {example.answers for example in examples} == {(Answer("two", 4),)}
    assert problems.counts == {("answer_end", "repaired"): 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("key,q,c,a,s\n1,?,x,y\n", "line 2: the row has 4 cells where the header has 5"),
        ("key,q,c,a,s\n1,?,x,x,0,more\n", "line 2: the row has 6 cells where the header has 5"),
        ("key,q,c,a,s\n1,?,x,x,zero\n", r"line 2 \(id 1\), field 's': should be a whole number, not the text 'zero'"),
        ("key,q,c,a,s\n,?,x,x,0\n", "line 2, field 'key': the id is empty"),
        ("key,q,c,a,s\n1,?,x,x,0\n1,?,x,x,0\n", "id 1, field 'id': the id of example 2 was there before, in this file"),
        (
            "key,q,d,a,s\n1,?,x,x,0\n",
            "there is no column 'c' .the reader's `context`.; there are 'key', 'q', 'd', 'a', 's'",
        ),
        ("key,q,c,a\n1,?,x,x\n", "there is no column 's' .the reader's `answer_start`."),
        ("key,q,q,a,s\n1,?,x,x,0\n", "line 1: the header names the column 'q' twice"),
        ('key,q,c,a,s\n1,"?,x,x,0\n', "the quotation marks do not match"),
        ("key,q,c,a,s\n", "the table has no row"),
        ("", "the file is empty"),
        (b"key,q\n1,\xff\n", r"line 2: byte 2 of the line \(0xff\) is not UTF-8"),
    ],
)
def test_broken_csv(content, message, write, read):
    with pytest.raises(DataError, match=message):
        read("table", write(content), **QA)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.jsonl", '{"q": "?", "c": 5}\n', "line 1, field 'c': should be text, not the number 5"),
        (
            "data.jsonl",
            '{"q": "?", "c": "x"}\n{"q"\n',
            "line 2: is not valid JSON at column 5: Expecting ':' delimiter",
        ),
        ("data.jsonl", "<html></html>", "is a web page"),
        ("data.jsonl", '{"q": "?", "c": "x"}\n\n[1]\n', "line 3: should hold an object, not a list"),
        ("data.parquet", "PAR1 and nothing else", "cannot be read as parquet"),
        ("data.parquet", "text", "is not a Parquet file"),
        ("data.txt", "text", "the ending '.txt' names no table format; set the reader's `format`"),
    ],
)
def test_broken_other_tables(name, content, message, write, read, caplog):
    with pytest.raises(DataError, match=message) as caught:
        read("table", write(content, name), question="q", context="c")
    assert "\n" not in str(caught.value)
    assert not caplog.records  # said once, as an error


def test_listed_answers_of_another_shape(write, read):
    row = {"q": "?", "c": "one two", "a": {"text": ["two", "one"], "answer_start": [4]}}
    with pytest.raises(DataError, match="there are 2 texts and 1 offsets"):
        read("table", write(json.dumps(row), "data.jsonl"), question="q", context="c", answers="a")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give `question` .* or `text_a`"),
        ({"question": "q", "text_a": "x"}, "one of the two"),
        ({"question": "q", "context": "c", "text_b": "y"}, "not both"),
        ({"question": "q", "context": "c", "answers": "a", "answer_text": "b"}, "not both"),
        ({"question": "q", "answer_text": "a"}, "answers need a `context` column"),
        ({"question": "q", "context": "c", "answer_start": "s"}, "need `answer_text`"),
    ],
)
def test_column_maps_that_make_no_sense(settings, message, build_reader):
    with pytest.raises(PluginError, match=message):
        build_reader("table", **settings)


def test_rows_can_be_skipped_and_ids_keep_counting(write, read):
    path = write("q,c\na,b\nbroken\nc,d\n")
    examples, problems = read("table", path, {"bad_row": "skip"}, question="q", context="c")
    assert [example.id for example in examples] == ["0", "2"]
    assert problems.counts == {("bad_row", "skipped"): 1}


@pytest.mark.parametrize(
    ("column", "settings"),
    [
        ("antwort", {"context": "c", "answer_text": "Antwort"}),
        ("Answers", {"context": "c", "answers": "answer"}),
        ("Label", {"label": "label"}),
    ],
)
def test_a_target_column_under_nearly_its_name(column, settings, write, read):
    wanted = settings.get("label") or settings.get("answers") or settings["answer_text"]
    with pytest.raises(DataError, match=f"there is no column '{wanted}'; did you mean '{column}'"):
        read("table", write(f"q,c,{column}\n?,one,one\n"), question="q", **settings)
    (example,), _ = read("table", write("q,c,other\n?,one,one\n"), question="q", **settings)
    assert example.answers is example.label is None


def test_shifts_of_offsets_are_counted(write, read):
    path = write("key,q,c,a,s\n1,?,one two,two,5\n2,?,a a a,a,3\n3,?,one,one,0\n4,?,one,two,0\n5,?,one two,two,-3\n")
    _, problems = read("table", path, **QA)
    assert problems.shifts == {-1: 2, 0: 1, 7: 1}  # the nearest place; a text that is nowhere does not count


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_set_or_hinted_at(separator, write, read):
    path = write(separator.join("qc") + "\n" + separator.join(("who, me?", "you, too")) + "\n")
    hint = re.escape(f"{separator!r} seems to separate them: set the reader's `separator`")
    with pytest.raises(DataError, match=hint):
        read("table", path, question="q", context="c")
    (example,), _ = read("table", path, question="q", context="c", separator=separator)
    assert (example.question, *example.contexts) == ("who, me?", "you, too")


def test_a_file_without_its_label_column_says_which_there_are(write, read):
    path = write("q,c,selected\na?,b,b\n")
    _, problems = read("table", path, question="q", context="c", answer_text="answer")
    assert (
        problems.unlabelled
        == "there is no column 'answer' (the reader's `answer_text`); there are 'q', 'c', 'selected'"
    )
    _, problems = read("table", path, question="q", context="c", answer_text="selected")
    assert problems.unlabelled == ""


@pytest.mark.parametrize(
    ("label", "relevant"), [("1", 1), ("B", 1), ("y", 1), ("two", 1), ("1.0", 1), ("", None), ("Z", DataError)]
)
def test_choices_are_contexts_and_the_label_says_which_is_right(label, relevant, write, read):
    path = write(f"q,x,y,right\nwhich?,one,two,{label}\n")
    mapped = {"question": "q", "choices": ["x", "y"], "label": "right"}
    if relevant is DataError:
        with pytest.raises(DataError, match="'Z' is none of the 2 choices"):
            read("table", path, **mapped)
        return
    (example,), _ = read("table", path, **mapped)
    assert (example.contexts, example.relevant, example.label) == (("one", "two"), relevant, None)
    with pytest.raises(PluginError, match="`choices` go with `question`"):
        read("table", path, question="q", context="x", choices=["x", "y"])


def test_the_note_of_classes_outlives_their_column(read, tmp_path):
    """pyarrow keeps what ``datasets`` has noted when it drops or rewrites columns."""
    note = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}}
    table = pyarrow.table({"text": ["a", "b"], "label": [[0], [1]]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(note)})
    path = tmp_path / "test.parquet"
    pyarrow.parquet.write_table(table.drop_columns(["label"]), path)
    examples, _ = read("table", path, text_a="text", label="label")
    assert [(example.id, example.label) for example in examples] == [("0", None), ("1", None)]
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(DataError, match=r"row 1, field 'label': a class should be .*, not a list of 1"):
        read("table", path, text_a="text", label="label")


@pytest.mark.parametrize(("name", "cell"), [("t.jsonl", "9007199254740993.0"), ("t.parquet", 9007199254740993.0)])
def test_an_id_that_has_lost_digits_is_refused(read, tmp_path, name, cell):
    path = tmp_path / name
    if name.endswith("jsonl"):
        path.write_text(f'{{"id": {cell}, "text": "x"}}\n')
    else:
        pyarrow.parquet.write_table(pyarrow.table({"id": [cell], "text": ["x"]}), path)
    with pytest.raises(DataError, match=r"field 'id': .* a float of this size has lost digits"):
        read("table", path, id="id", text_a="text")


def test_an_empty_cell_of_a_single_column_is_a_row(read, tmp_path):
    """pandas writes it as ``""``: left out, all later rows would get the id of the one before."""
    path = tmp_path / "t.csv"
    path.write_text('text\nfoo\n""\n\nbar\n')
    examples, _ = read("table", path, {"empty_question": "keep"}, text_a="text")
    assert [(example.id, example.question) for example in examples] == [("0", "foo"), ("1", ""), ("2", "bar")]


NUMBERS = {"text_a": "x", "label": ["a", "b"], "label_type": "number"}


def test_several_numbers_under_their_columns(write, read):
    path = write("b,x,a\n1,first,0.5\n,second,2\n,third,\n")
    examples, _ = read("table", path, **NUMBERS)
    assert [example.label for example in examples] == [
        Targets((0.5, 1), ("a", "b")),
        Targets((2, math.nan), ("a", "b")),
        None,
    ]
    assert examples[0].label.names == ("a", "b")


def test_a_file_without_any_of_the_numbers_is_a_test_file(write, read):
    (example,), problems = read("table", write("x\ntext\n"), **NUMBERS)
    assert example.label is None
    assert problems.unlabelled == "there is no column 'a' (the reader's `label`); there are 'x'"
    with pytest.raises(DataError, match=r"there is no column 'b' \(the reader's `label`\); there are 'x', 'a'"):
        read("table", write("x,a\ntext,1\n"), **NUMBERS)
    with pytest.raises(DataError, match="there is no column 'b'; did you mean 'B'"):
        read("table", write("x,B\ntext,1\n"), **NUMBERS)
    with pytest.raises(DataError, match="line 2, field 'b': should be a number, not the text 'one'"):
        read("table", write("x,a,b\ntext,1,one\n"), **NUMBERS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": ["a", "b"]}, "`label_type: number`"),
        ({"label": ["a"], "label_type": "number"}, "label"),
        ({"label": ["a", "a"], "label_type": "number"}, "names a column twice"),
    ],
)
def test_lists_of_labels_that_make_no_sense(settings, message, build_reader):
    with pytest.raises(PluginError, match=message):
        build_reader("table", text_a="x", **settings)
