"""Whatever a file holds, a reader says DataError or gives valid examples; nothing else ever comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qakit.api import DataError, Example
from qakit.data.read import read_examples

FAST = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", "a", "aa", "aaa", "null", "\ud800", "a\x00b", "\ufeffa"]
)
scalars = st.none() | st.booleans() | st.integers(-3, 12) | st.integers() | st.floats() | texts
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The right kind of value, rarely junk."""
    return st.integers(0, 30).flatmap(lambda roll: junk if roll == 30 else strategy)


@st.composite
def record(draw: st.DrawFn, **fields: st.SearchStrategy[Any]) -> Any:
    """An object with these fields; now and then one of them is missing or junk."""
    values = {name: draw(value) for name, value in fields.items()}
    fault = draw(st.sampled_from(["none"] * 8 + ["missing", "junk"]))
    if fault != "none":
        name = draw(st.sampled_from(sorted(fields)))
        if fault == "missing":
            del values[name]
        else:
            values[name] = draw(junk)
    return values


def items(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(mostly(strategy), min_size=1, max_size=3)


ids = st.integers(0, 5) | st.sampled_from(["x", "y"])
names = st.integers(0, 10**6) | ids
plain = st.text("ab \U0001f5fc", min_size=3, max_size=12)
context = st.one_of(plain, plain, plain, st.text("ab\ud800 ", max_size=8))
short = st.text("ab", min_size=1, max_size=2) | st.text("ab", max_size=2)
offset = st.integers(-1, 6)
squad_answer = record(text=short, answer_start=offset)
squad_question = record(
    id=names,
    question=short,
    answers=items(squad_answer),
    is_impossible=st.sampled_from([None, None, None, False, True]),
)
squad = record(
    data=items(record(title=short, paragraphs=items(record(context=context, id=ids, qas=items(squad_question)))))
)
hw7_question = record(
    id=names,
    paragraph_id=st.integers(0, 2),
    question_text=short,
    answer_text=short | st.just("null"),
    answer_start=offset,
    answer_end=offset,
)
hw7 = record(questions=items(hw7_question), paragraphs=st.lists(mostly(context), min_size=3, max_size=3))
adl_answer = record(text=short, start=offset)
adl = items(
    record(
        id=names,
        question=short,
        paragraphs=st.permutations(range(4)) | items(st.integers(0, 3)),
        relevant=st.integers(0, 3),
        answer=adl_answer,
        answers=items(adl_answer),
    )
)


def check(examples: tuple[Example, ...]) -> None:
    """The promises of an example."""
    assert len({example.id for example in examples}) == len(examples)
    for one in examples:
        one.id.encode()
        for text in (one.question, *one.contexts):
            text.encode()  # no lone surrogates: tokenizers and files take it
        for answer in one.answers or ():
            assert 0 <= answer.context < len(one.contexts)
            if answer.start is not None:
                assert answer.text
                assert one.contexts[answer.context][answer.start : answer.end] == answer.text


def read_leniently_and_strictly(reader: Any, path: Path) -> None:
    """With the default policies and with every other one."""
    for policies in ({}, {"default": "skip"}, {"default": "keep"}, {"default": "repair"}, {"default": "error"}):
        try:
            result = read_examples(reader, path, policies=policies)
        except DataError as error:
            assert str(path.parent) in str(error)
            continue
        check(result.examples)
        if policies == {"default": "error"}:
            assert not result.problems[0].counts


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@FAST
@given(squad | junk)
def test_squad_reads_or_refuses(tmp_path, build_reader, value):
    read_leniently_and_strictly(build_reader("squad"), write(tmp_path / "data.json", value))


@FAST
@given(hw7 | junk)
def test_hw7_reads_or_refuses(tmp_path, build_reader, value):
    read_leniently_and_strictly(build_reader("hw7"), write(tmp_path / "data.json", value))


@FAST
@given(adl | junk, st.lists(mostly(context), min_size=3, max_size=4) | junk)
def test_adl_reads_or_refuses(tmp_path, build_reader, value, contexts):
    write(tmp_path / "context.json", contexts)
    read_leniently_and_strictly(build_reader("adl"), write(tmp_path / "data.json", value))


@FAST
@given(
    st.sampled_from(["CoLA", "SST-2", "MRPC", "STS-B", "MNLI"]),
    st.lists(
        st.lists(short | st.sampled_from(["0", "1", "5.0", "\r", "\u2028"]), max_size=5).map("\t".join), max_size=4
    ),
    st.sampled_from(
        ["", "sentence\tlabel\n", "index\tsentence1\tsentence2\tscore\n", "index\tsentence1\tsentence2\tgold_label\n"]
    ),
)
def test_glue_reads_or_refuses(tmp_path, build_reader, task, lines, header):
    path = tmp_path / "train.tsv"
    path.write_bytes((header + "\n".join(lines)).encode("utf-8", "surrogatepass"))
    read_leniently_and_strictly(build_reader("glue", task=task), path)


@FAST
@given(
    st.lists(st.lists(short | st.sampled_from(['"', "0", "1", '"a\n"', "\r"]), max_size=5).map(",".join), max_size=4),
    st.booleans(),
)
def test_csv_reads_or_refuses(tmp_path, build_reader, lines, quotes):
    path = tmp_path / "data.csv"
    path.write_bytes(("i,q,c,a,s\n" + "\n".join(lines)).encode())
    reader = build_reader("table", id="i", question="q", context="c", answer_text="a", answer_start="s", quotes=quotes)
    read_leniently_and_strictly(reader, path)


READERS: dict[str, dict[str, Any]] = {
    "squad": {},
    "hw7": {},
    "adl": {},
    "glue": {"task": "CoLA"},
    "table": {"question": "q", "context": "c", "format": "csv"},
}


@pytest.mark.parametrize("name", READERS)
@FAST
@given(st.binary(max_size=40))
@example(b"\x00")
@example(b"q,c\n\x00,\x00")
@example(b"\xef\xbb\xbf")
@example(b'"')
@example(b"\r\r\n\t\t\t\n")
def test_random_bytes_are_refused(tmp_path, build_reader, name, data):
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    read_leniently_and_strictly(build_reader(name, **READERS[name]), path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["jsonl", "parquet"]), st.binary(max_size=30) | st.lists(junk, max_size=3))
def test_other_tables_read_or_refuse(tmp_path, build_reader, form, content):
    path = tmp_path / "data.bin"
    path.write_bytes(content if isinstance(content, bytes) else "\n".join(map(json.dumps, content)).encode())
    read_leniently_and_strictly(build_reader("table", question="q", context="c", format=form), path)
