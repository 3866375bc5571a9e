"""brat and Label Studio."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readers.published_files import (
    NOTE,
    brat,
    labelled,
    task,
)

from qakit.api import Answer, DataError, NoRuntime
from qakit.data.read import read_examples
from qakit.registry import load_registry

Read = Callable[..., Any]


def test_brat_asks_each_type_of_each_text(tmp_path: Path, read: Read) -> None:
    examples, problems = read("brat", brat(tmp_path))
    assert {example.id: example.answers for example in examples} == {
        "note:Person": (Answer("Ada", 0),),
        "note:Place": (Answer("Ulm", 15), Answer("Bonn", 22)),
        "note:Move": (Answer("moved to Bonn", None),),
    }
    assert {(each.question, each.contexts, each.document) for each in examples} == {
        (name, (NOTE,), "note") for name in ("Person", "Place", "Move")
    }
    assert dict(problems.counts) == {("answer_missing", "kept"): 1}


def test_brat_a_whole_collection_with_the_types_of_its_configuration(tmp_path: Path, read: Read) -> None:
    (tmp_path / "annotation.conf").write_text(
        "# types\n[entities]\nPerson\n!Abstract\n\tPlace\tName:<STRING>\n[relations]\nMoved Arg1:Person, Arg2:Place\n"
    )
    brat(tmp_path / "a")
    brat(tmp_path / "b", text="Nothing.", standoff="")
    examples, _ = read("brat", tmp_path / "annotation.conf")
    assert [example.id for example in examples] == ["a/note:Person", "a/note:Place", "b/note:Person", "b/note:Place"]
    assert examples[2].answers == ()
    assert [each.id for each in read("brat", tmp_path / "a" / "note.ann", types=["Place"])[0]] == ["note:Place"]


def test_brat_a_collection_with_empty_texts_and_hidden_copies(tmp_path: Path, read: Read) -> None:
    """Of what nobody annotated, and of what systems keep for themselves."""
    (tmp_path / "annotation.conf").write_text("[entities]\nPlace\n")
    brat(tmp_path, standoff="T1\tPlace 15 18\tUlm\n")
    brat(tmp_path, name="empty", text="", standoff="")
    brat(tmp_path / ".ipynb_checkpoints", name="note-checkpoint", standoff="T1\tPlace 0 3\tAda\n")
    (tmp_path / "._note.ann").write_bytes(b"\0\5\x16\7")
    examples, problems = read("brat", tmp_path / "annotation.conf")
    assert [(each.id, each.answers) for each in examples] == [
        ("empty:Place", ()),
        ("note:Place", (Answer("Ulm", 15),)),
    ]
    assert dict(problems.counts) == {("empty_context", "kept"): 1}
    assert [each.id for each in read("brat", tmp_path / "annotation.conf", {"empty_context": "skip"})[0]] == [
        "note:Place"
    ]


def test_brat_spans_whose_text_is_not_repeated(tmp_path: Path, read: Read) -> None:
    assert read("brat", brat(tmp_path, standoff="T1\tPlace 15 18\n"))[0][0].answers == (Answer("Ulm", 15),)
    with pytest.raises(DataError, match="there are no characters 90 to 95"):
        read("brat", brat(tmp_path, standoff="T1\tPlace 90 95\t\n"))


def test_brat_a_type_that_is_configured_twice_is_asked_once(tmp_path: Path, read: Read) -> None:
    (tmp_path / "annotation.conf").write_text("[entities]\nPerson\n!Abstract\n\tPerson\n")
    brat(tmp_path / "a")
    examples, _ = read("brat", tmp_path / "annotation.conf")
    assert [example.id for example in examples] == ["a/note:Person"]


def test_brat_opens_no_text_outside_of_its_folder(tmp_path: Path, read: Read) -> None:
    own = tmp_path / "elsewhere.txt"
    own.write_text("my own notes")
    path = brat(tmp_path / "received", standoff="T1\tPlace 0 2\tmy\n")
    path.with_suffix(".txt").unlink()
    path.with_suffix(".txt").symlink_to(own)
    with pytest.raises(DataError, match=r"note\.txt: is a link that leads out of"):
        read("brat", path)
    path.with_suffix(".txt").unlink()
    (tmp_path / "received" / "texts").mkdir()
    own.rename(tmp_path / "received" / "texts" / "1.txt")
    path.with_suffix(".txt").symlink_to("texts/1.txt")
    assert [each.contexts for each in read("brat", path)[0]] == [("my own notes",)]


def test_brat_spans_over_lines_and_wrong_offsets(tmp_path: Path, read: Read) -> None:
    path = brat(tmp_path, standoff="T1\tMove 15 18;19 26\tUlm to Bonn\nT2\tMonth 29 32\tMay\n")
    (move, month), problems = read("brat", path)
    assert move.answers == (Answer("Ulm\nto Bonn", 15),)
    assert month.answers == (Answer("May", 30),)
    assert dict(problems.counts) == {("answer_offset", "repaired"): 1}
    with pytest.raises(DataError, match=r"note\.ann, line 1, field 'T1': should be a type with characters"):
        read("brat", brat(tmp_path, standoff="T1\tMove fifteen\tUlm\n"))


@given(st.binary(max_size=60) | st.text("T1#\tab 09;\n", max_size=60).map(str.encode), st.text(max_size=20))
def test_brat_any_bytes_are_read_or_refused(standoff: bytes, text: str) -> None:
    reader = load_registry().build("readers", "brat", {}, NoRuntime())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "note.ann"
        path.write_bytes(standoff)
        path.with_suffix(".txt").write_text(text, "utf-8", "surrogatepass", newline="")
        for policy in ("error", "skip", "keep", "repair"):
            with suppress(DataError):
                for example in read_examples(reader, path, policies={"default": policy}).examples:
                    (context,) = example.contexts
                    assert example.question and context == text.removeprefix("\ufeff")
                    assert all(context[first:end] for answer in example.answers or () for first, end in answer.places)


def test_brat_annotations_of_a_predicted_file_are_not_read(tmp_path: Path) -> None:
    path = brat(tmp_path, standoff="T1\tPlace fifteen\tUlm\n")
    reader = load_registry().build("readers", "brat", {"types": ["Place"]}, NoRuntime())
    (example,) = read_examples(reader, path, predicted_only=True).examples
    assert (example.id, example.answers) == ("note:Place", None)


def test_label_studio_asks_each_label_of_each_text(write_json: Any, read: Read) -> None:
    choice = {"value": {"choices": ["good"]}, "from_name": "c", "to_name": "text", "type": "choices"}
    noted = labelled((15, 18, "Place"), (0, 3, "Person"))
    noted["result"].append(choice)
    cancelled = labelled((22, 26, "Place"), was_cancelled=True)
    examples, problems = read("label_studio", write_json([task(noted, cancelled), task(number=2)]))
    assert {example.id: example.answers for example in examples} == {
        "1:Place": (Answer("Ulm", 15),),
        "1:Person": (Answer("Ada", 0),),
        "2:Place": None,
        "2:Person": None,
    }
    assert not problems.counts
    one, *_ = read("label_studio", write_json([task(labelled())]), labels=["Place"])[0]
    assert one.answers == ()


def test_label_studio_with_a_question_for_each_task(write_json: Any, read: Read) -> None:
    bare = labelled((22, 26, "Answer"))
    del bare["result"][0]["value"]["text"]  # exports need not repeat it
    path = write_json([task(bare, labelled((15, 26, "Answer")), question="Where to?")])
    (example,), _ = read("label_studio", path, question="question")
    assert (example.id, example.question) == ("1", "Where to?")
    assert example.answers == (Answer("Bonn", 22), Answer("Ulm\nto Bonn", 15))


def test_label_studio_offsets_are_checked(write_json: Any, read: Read) -> None:
    wrong = labelled((15, 18, "Place"))
    wrong["result"][0]["value"] |= {"end": 19}
    _, problems = read("label_studio", write_json([task(wrong)]))
    assert dict(problems.counts) == {("answer_end", "repaired"): 1}
    with pytest.raises(DataError, match="no span in the file has a label"):
        read("label_studio", write_json([task()]))
