"""The ten GLUE tasks as their TSV files have them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from qakit.api import DataError, Problems

MNLI_HEADER = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tlabel1\tgold_label"
)
FILES = {
    "CoLA": ("gj04\t1\t\tIt sails.\ngj04\t0\t*\tIt sail.\n", [("0", "It sails.", (), "1"), ("1", "It sail.", (), "0")]),
    "SST-2": ("sentence\tlabel\nfine \t1\nbad\t0\n", [("0", "fine ", (), "1"), ("1", "bad", (), "0")]),
    "MRPC": ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t70\t71\ta\tb\r\n", [("0", "a", ("b",), "1")]),
    "STS-B": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n7\tg\tf\t2012\t1\tn\tn\ta\tb\t3.800\n",
        [("7", "a", ("b",), 3.8)],
    ),
    "QQP": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n5\t1\t2\ta?\tb?\t0\n", [("5", "a?", ("b?",), "0")]),
    "MNLI": (f"{MNLI_HEADER}\n3\tp\tq\tg\t(a)\t(b)\t(c)\t(d)\ta\tb\tx\tneutral\n", [("3", "a", ("b",), "neutral")]),
    "QNLI": ("index\tquestion\tsentence\tlabel\n0\ta\tb\tnot_entailment\n", [("0", "a", ("b",), "not_entailment")]),
    "RTE": ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n", [("0", "a", ("b",), "entailment")]),
    "WNLI": ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n", [("0", "a", ("b",), "1")]),
    "AX": ("index\tsentence1\tsentence2\n0\ta\tb\n", [("0", "a", ("b",), None)]),
}


@pytest.fixture
def write(tmp_path: Path):
    def write_tsv(content: str | bytes) -> Path:
        path = tmp_path / "train.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_tsv


@pytest.mark.parametrize("task", FILES)
def test_every_task(task, write, read):
    content, expected = FILES[task]
    examples, problems = read("glue", write(content), task=task)
    assert [(e.id, e.question, e.contexts, e.label) for e in examples] == expected
    assert all(example.answers is None for example in examples)
    assert not problems.counts


@pytest.mark.parametrize(
    ("task", "content", "expected"),
    [
        ("CoLA", "index\tsentence\n0\tIt sails.\n", ("0", "It sails.", ())),
        ("SST-2", "index\tsentence\n4\tfine\n", ("4", "fine", ())),
        ("MRPC", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n", ("0", "a", ("b",))),
        ("QQP", "id\tquestion1\tquestion2\n0\ta\tb\n", ("0", "a", ("b",))),
    ],
)
def test_test_files_are_unlabelled(task, content, expected, write, read):
    (example,), _ = read("glue", write(content), task=task)
    assert ((example.id, example.question, example.contexts), example.label) == (expected, None)


def test_quotation_marks_are_text(write, read):
    path = write('sentence\tlabel\n"open quote\t1\nsay "" it"\t0\n')
    assert [example.question for example in read("glue", path, task="SST-2")[0]] == ['"open quote', 'say "" it"']


def test_columns_are_found_by_name(write, read):
    (example,), _ = read("glue", write("label\tsentence2\tindex\tsentence1\nentailment\tb\t9\ta\n"), task="RTE")
    assert (example.id, example.question, example.contexts, example.label) == ("9", "a", ("b",), "entailment")


def test_only_newlines_end_a_line(write, read):
    (example,), _ = read("glue", write("sentence\tlabel\na\u2028b\x85c\x0bd\t1\n"), task="SST-2")
    assert example.question == "a\u2028b\x85c\x0bd"


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        (
            "SST-2",
            "sentence\tlabel\n1\tfine\n",
            "line 2, field 'label': 'fine' is none of the labels 0, 1; are the columns in order?",
        ),
        (
            "SST-2",
            "text\tlabel\nfine\t1\n",
            "line 1: SST-2 needs the column 'sentence'; the first line has 'text', 'label'",
        ),
        ("SST-2", "sentence\tlabel\nfine\n", "line 2.*has 1 cells where 2 are expected"),
        ("SST-2", "sentence\tlabel\nfine\t1\t1\n", "line 2.*has 3 cells where 2 are expected"),
        ("SST-2", "sentence\tlabel\nfine\t\n", "'' is none of the labels"),
        ("SST-2", "sentence\tlabel\n", "there is a header line, but no row"),
        ("SST-2", "sentence\tlabel\nok\t1\n\nfine\t1\n", "line 3: the line is empty"),
        ("SST-2", "sentence\tsentence\tlabel\na\tb\t1\n", "names the column 'sentence' twice"),
        ("CoLA", "gj04\tIt sails.\t\t1\n", "line 1, field 'label': 'It sails.' is none of the labels"),
        ("CoLA", "1\tIt sails.\n", "CoLA needs the column 'sentence'.*without a header have the 4 columns"),
        ("RTE", "index\tsentence1\tlabel\n0\ta\tentailment\n", "RTE needs the column 'sentence2'"),
        ("RTE", "index\tsentence1\tsentence2\tlabel\n\ta\tb\tentailment\n", "field 'index': the id is empty"),
        (
            "MNLI",
            MNLI_HEADER + "\n" + "0\t" * 11 + "-\n",
            "'-' is none of the labels entailment, neutral, contradiction",
        ),
        ("STS-B", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t5.1\n", "'5.1' is not a number from 0 to 5"),
        ("STS-B", "index\tsentence1\tsentence2\tscore\n0\ta\tb\tnan\n", "'nan' is not a number"),
        ("STS-B", "index\tsentence1\tsentence2\tscore\n0\ta\tb\tx\n", "'x' is not a number"),
    ],
)
def test_broken_files(task, content, message, write, read):
    with pytest.raises(DataError, match=message):
        read("glue", write(content), task=task)


def test_bad_bytes_are_named_by_line(write, read):
    with pytest.raises(DataError, match=r"line 2: byte 1 of the line \(0xff\) is not UTF-8"):
        read("glue", write(b"sentence\tlabel\na\xff\t1\n"), task="SST-2")
    with pytest.raises(DataError, match="Git LFS pointer"):
        read("glue", write(b"version https://git-lfs.github.com/spec/v1\n"), task="SST-2")
    with pytest.raises(DataError, match="the file is empty"):
        read("glue", write(b""), task="SST-2")


def test_bad_rows_can_be_skipped_and_ids_keep_counting_rows(write, read):
    path = write("sentence\tlabel\na\t1\nbroken\nb\t0\nc\t7\nd\t0\n\n")
    examples, problems = read("glue", path, {"bad_row": "skip", "bad_label": "skip"}, task="SST-2")
    assert [(example.id, example.question) for example in examples] == [("0", "a"), ("2", "b"), ("4", "d")]
    assert problems.counts == {("bad_row", "skipped"): 1, ("bad_label", "skipped"): 1}


def test_reading_is_lazy(tmp_path, build_reader):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"sentence\tlabel\n" + b"a\t1\n" * 3 + b"broken\n")
    reader = build_reader("glue", task="SST-2")
    first = list(itertools.islice(reader.read(path, Problems(path)), 3))
    assert len(first) == 3


def test_empty_texts_are_counted(write, read):
    examples, problems = read("glue", write("index\tsentence1\tsentence2\tlabel\n0\t\t \t1\n"), task="WNLI")
    assert examples[0].contexts == (" ",)
    assert problems.counts == {("empty_question", "kept"): 1, ("empty_context", "kept"): 1}


def test_mnlis_mismatched_rows_have_ids_of_their_own(write, read):
    rows = "".join(f"{i}\tp\tq\t{genre}\t1\t2\t3\t4\ta\tb\tx\tneutral\n" for i, genre in enumerate(("fiction", "oup")))
    examples, _ = read("glue", write(f"{MNLI_HEADER}\n{rows}"), task="MNLI")
    assert [example.id for example in examples] == ["0", "mismatched-1"]


@pytest.mark.parametrize("task", ["AX", "MNLI"])
def test_the_diagnostics_with_labels_have_other_column_names(task, write, read):
    header = "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel"
    (example,), _ = read("glue", write(f"{header}\n\t\t\t\tNews\ta\tb\tneutral\n"), task=task)
    assert (example.id, example.question, example.contexts, example.label) == ("0", "a", ("b",), "neutral")
