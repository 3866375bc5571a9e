"""Data files in another format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.data import convert
from qakit.data.convert import check_free, write_adl, write_tables
from qakit.data.read import read_examples
from qakit.errors import DataError, OutputError, UsageError
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.values import Answer, Example, Targets

TEXTS = [
    "Ada Lovelace wrote the first program.",
    "Babbage built engines.",
    "Turing asked whether machines think.",
    "Tea.",
]
QUESTIONS = [
    Example("q1", "Who wrote the first program?", (TEXTS[0],), (Answer("Ada Lovelace", 0),), document="computing"),
    Example("q2", "What did Babbage build?", (TEXTS[1],), (Answer("engines", 14),), document="computing"),
    Example("q3", "Who asked?", (TEXTS[2],), (Answer("Turing", 0),), document="computing"),
    Example("q4", "Who drank?", (TEXTS[3],), (), document="drinks"),
]


def reader(name: str, **settings: str) -> object:
    return load_registry().build("readers", name, settings, NoRuntime())


def read(name: str, path: Path, **settings: str) -> list[Example]:
    return list(read_examples(reader(name, **settings), path).examples)  # type: ignore[arg-type]


def test_a_question_with_several_paragraphs(tmp_path: Path) -> None:
    done = write_adl({"train": QUESTIONS}, tmp_path, paragraphs=3, seed=0)
    assert (done.files, done.left_out) == ({"train.json": 3}, {"train": 1})
    examples = read("adl", tmp_path / "train.json")
    assert [each.id for each in examples] == ["q1", "q2", "q3"]
    for example, original in zip(examples, QUESTIONS, strict=False):
        assert example.relevant is not None
        assert example.contexts[example.relevant] == original.contexts[0]
        assert len(set(example.contexts)) == 3
        assert "Tea." not in example.contexts  # those of the same document come first
        assert example.answers is not None
        assert [(answer.text, answer.start) for answer in example.answers] == [
            (answer.text, answer.start) for answer in original.answers or ()
        ]
    assert len({example.relevant for example in examples}) > 1


def test_unlabelled_questions_become_test_questions(tmp_path: Path) -> None:
    bare = [Example(each.id, each.question, each.contexts, document=each.document) for each in QUESTIONS]
    write_adl({"test": bare}, tmp_path, paragraphs=2, seed=0)
    records = json.loads((tmp_path / "test.json").read_text("utf-8"))
    assert [set(record) for record in records] == [{"id", "question", "paragraphs"}] * 4
    assert all(each.answers is None for each in read("adl", tmp_path / "test.json"))


def test_too_few_paragraphs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train: no question has an answer .* and 4 other contexts"):
        write_adl({"train": QUESTIONS}, tmp_path, paragraphs=5, seed=0)
    with pytest.raises(UsageError, match="at least 2"):
        write_adl({"train": QUESTIONS}, tmp_path, paragraphs=1, seed=0)
    with pytest.raises(DataError, match="no question has an answer"):
        write_adl({"train": QUESTIONS[3:]}, tmp_path, paragraphs=2, seed=0)
    assert not list(tmp_path.iterdir())


@settings(deadline=None)
@given(st.lists(st.text("ab \n語", min_size=1, max_size=12), min_size=3, max_size=6, unique=True), st.integers(0, 9))
def test_no_other_paragraph_holds_the_answer(texts: list[str], seed: int) -> None:
    from tempfile import TemporaryDirectory

    examples = [Example(str(i), text, (text,), (Answer(text[:1], 0),)) for i, text in enumerate(texts)]
    with TemporaryDirectory() as name:
        try:
            write_adl({"train": examples}, Path(name), paragraphs=2, seed=seed)
        except DataError:
            return
        contexts = json.loads(Path(name, "context.json").read_text("utf-8"))
        for record in json.loads(Path(name, "train.json").read_text("utf-8")):
            held = [number for number in record["paragraphs"] if record["answer"]["text"] in contexts[number]]
            assert held == [record["relevant"]]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_tables_hold_the_same_questions(form: str, tmp_path: Path) -> None:
    done = write_tables({"dev": QUESTIONS}, tmp_path, form=form, rows=3)  # type: ignore[arg-type]
    assert done.files == {f"dev-00000.{form}": 3, f"dev-00001.{form}": 1}
    columns = {"id": "id", "question": "question", "context": "context", "answers": "answers", "document": "document"}
    examples = [each for name in done.files for each in read("table", tmp_path / name, **columns)]
    assert examples == QUESTIONS


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_several_numbers_have_columns_of_their_own(form: Any, tmp_path: Path) -> None:
    numbers = Targets((0.5, math.nan), ("one", "other"))
    examples = [Example("1", "a text", label=numbers), Example("2", "a text", label=Targets((1, 2), numbers.names))]
    (name,) = write_tables({"dev": examples}, tmp_path, form=form, rows=None).files
    columns: Any = {"label": ["one", "other"], "label_type": "number"}
    assert [each.label for each in read("table", tmp_path / name, id="id", text_a="question", **columns)] == [
        example.label for example in examples
    ]
    taken = Example("1", "a text", label=Targets((0.5, 1), ("one", "document")))
    with pytest.raises(DataError, match="the number 'document' would take the place of another column"):
        write_tables({"other": [taken]}, tmp_path, form=form, rows=None)


def test_paragraphs_that_are_there_are_not_exchanged_unasked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"id x.*several contexts, and nothing says which one to keep"):
        write_adl({"test": [Example("x", "?", ("a", "b", "c"))]}, tmp_path, paragraphs=2, seed=0)
    assert not list(tmp_path.iterdir())


def test_parquet_is_written_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tables({"dev": QUESTIONS}, tmp_path, form="parquet", rows=None)
    assert capfd.readouterr() == ("", "")


def test_a_table_has_one_context_to_a_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"id x.*several contexts"):
        write_tables({"dev": [Example("x", "?", ("a", "b"))]}, tmp_path, form="jsonl", rows=None)


SQUAD = json.dumps(
    {"data": [{"paragraphs": [{"context": TEXTS[1], "qas": [{"id": "q2", "question": "What?", "answers": []}]}]}]}
)


@pytest.mark.parametrize(
    "options", [["--to", "adl"], ["--to", "jsonl"], ["--to", "jsonl", "--rows", "1"]], ids=" ".join
)
def test_a_file_is_not_written_over_unasked(options: list[str], tmp_path: Path, invoke: Invoke) -> None:
    """Neither the file that is read, which nothing excuses, nor a neighbour."""
    (tmp_path / "train.json").write_text(SQUAD, "utf-8")
    for name in ("context.json", "train.jsonl", "train-00000.jsonl"):
        (tmp_path / name).write_text("the competition's own", "utf-8")
    before = {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()}
    command = ("data", "convert", tmp_path / "train.json", "--reader", "squad", "--output", tmp_path, *options)
    result = invoke(*command)
    assert result.exit_code == 2
    assert "exists: choose another --output, or give --overwrite" in str(result.exception)
    assert {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()} == before
    again = invoke(*command, "--overwrite")
    assert again.exit_code == (2 if "adl" in options else 0)
    assert (tmp_path / "train.json").read_text("utf-8") == SQUAD


def test_what_convert_may_not_write_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    check_free([tmp_path / "b.jsonl"], tmp_path, form="jsonl", overwrite=False)
    with pytest.raises(UsageError, match="is read and would be written over"):
        check_free([tmp_path / "a.jsonl"], tmp_path / ".", form="jsonl", overwrite=True)
    with pytest.raises(UsageError, match="is read and would be written over"):
        check_free([tmp_path / "a.jsonl", tmp_path / "link.json"], tmp_path, form="jsonl", overwrite=True)
    with pytest.raises(UsageError, match=r"a question file called context"):
        check_free([tmp_path / "context.json"], tmp_path / "new", form="adl", overwrite=True)


@pytest.mark.parametrize("rows", [None, 2])
@pytest.mark.parametrize("before", [None, 1])
def test_what_was_written_in_another_number_of_files_goes(tmp_path: Path, before: int | None, rows: int | None) -> None:
    """As one file or in parts: a pattern for the new ones would take in the old ones, too."""
    write_tables({"dev": QUESTIONS}, tmp_path, form="jsonl", rows=before)
    held = sorted(file.name for file in tmp_path.iterdir())
    with pytest.raises(UsageError, match="exists: choose another --output, or give --overwrite"):
        check_free([tmp_path / "dev.json"], tmp_path, form="jsonl", overwrite=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == held
    check_free([tmp_path / "dev.json"], tmp_path, form="jsonl", overwrite=True)
    done = write_tables({"dev": QUESTIONS}, tmp_path, form="jsonl", rows=rows)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(done.files)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_full_disk_leaves_the_earlier_files(tmp_path: Path, form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables({"dev": QUESTIONS}, tmp_path, form=form, rows=1)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write, written = convert._write_table, []

    def until_the_disk_is_full(path: Path, *more: Any) -> None:
        if written:
            raise OutputError("cannot write: No space left on device")
        written.append(path)
        write(path, *more)

    monkeypatch.setattr(convert, "_write_table", until_the_disk_is_full)
    with pytest.raises(OutputError):
        write_tables({"dev": QUESTIONS[:3]}, tmp_path, form=form, rows=2)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_questions_never_lie_beside_the_contexts_of_another_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_adl({"train": QUESTIONS}, tmp_path, paragraphs=2, seed=0)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write, written = convert.write_text, []

    def until_the_disk_is_full(path: Path, text: str) -> None:
        if written:
            raise OutputError("cannot write: No space left on device")
        written.append(path)
        write(path, text)

    monkeypatch.setattr(convert, "write_text", until_the_disk_is_full)
    with pytest.raises(OutputError):
        write_adl({"train": QUESTIONS[::-1]}, tmp_path, paragraphs=2, seed=1)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_compressed_file_is_known_by_its_name_without_gz(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").touch()
    with pytest.raises(UsageError, match=r"dev\.jsonl exists"):
        check_free([tmp_path / "dev.json.gz"], tmp_path, form="jsonl", overwrite=False)
    (tmp_path / "new.parquet").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_free([tmp_path / "new.json"], tmp_path, form="parquet", overwrite=True)


def test_fewer_parts_leave_none_of_the_larger_file_behind(tmp_path: Path) -> None:
    write_tables({"dev": QUESTIONS}, tmp_path, form="jsonl", rows=1)
    (tmp_path / "dev-notes.jsonl").write_text("mine")
    done = write_tables({"dev": QUESTIONS[:1]}, tmp_path, form="jsonl", rows=1)
    assert sorted(file.name for file in tmp_path.iterdir()) == [*done.files, "dev-notes.jsonl"]


def test_answers_that_are_right_only_together_are_refused(tmp_path: Path) -> None:
    both = Example("q1", "Who?", ("Ada and Bob",), (Answer("Ada", 0), Answer("Bob", 8)), together=True)
    with pytest.raises(DataError, match=r"id q1.*right only together"):
        write_tables({"train": [both]}, tmp_path, form="jsonl", rows=None)
    with pytest.raises(DataError, match=r"id q1.*right only together"):
        write_adl({"train": [both]}, tmp_path, paragraphs=2, seed=0)
