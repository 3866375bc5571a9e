"""Answer files, n-best files and sample submissions that somebody else wrote: read, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mutations import WRONG, mutants
from run_files import BROKEN

from qakit.data.predictions_file import read_answers, read_probabilities
from qakit.errors import DataError
from qakit.inference.nbest_file import read_nbest
from qakit.protocols import NoRuntime, Writer
from qakit.registry import load_registry
from qakit.values import SpanPrediction

NBEST: dict[str, Any] = {
    "id": "q1",
    "answer": "Pevensey",
    "candidates": [{"text": "Pevensey", "start": 19, "end": 27, "context": 0, "score": 1.5, "probability": 0.9}],
    "null": {"score": -1.0, "probability": 0.1},
}
READ: dict[str, Callable[[Path], object]] = {
    "answers.json": read_answers,
    "answers.csv": read_answers,
    "probabilities.json": read_probabilities,
    "nbest.jsonl": read_nbest,
}
VALID = {
    "answers.json": {"q1": "Pevensey", "q2": "", "=1+1": "x,\ny"},
    "probabilities.json": {"q1": 0.5, "q2": 1},
    "nbest.jsonl": NBEST,
}
FAST = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, name: str, content: bytes) -> bool:
    """Whether the file can be read; a refusal is one line that names the file."""
    path = folder / name
    path.write_bytes(content)
    try:
        READ[name](path)
    except DataError as error:
        assert str(path) in str(error)
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000, str(error)
        return False
    return True


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("what", BROKEN)
def test_files_that_are_something_else(tmp_path: Path, name: str, what: str) -> None:
    read_as_text = (name.endswith(".csv") and what == "a list") or (what, name) in (
        ("empty", "nbest.jsonl"),
        ("an empty object", "answers.json"),
        ("an empty object", "probabilities.json"),
    )
    assert read(tmp_path, name, BROKEN[what]) == read_as_text


@pytest.mark.parametrize("name", VALID)
def test_every_value_in_every_field(tmp_path: Path, name: str) -> None:
    seen = {read(tmp_path, name, json.dumps(document).encode()) for _, _, document in mutants(VALID[name])}
    assert seen == {True, False}


@pytest.mark.parametrize("name", READ)
@FAST
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"id,answer\na,\x00\n")
@example(b'id,answer\na,"b\n')
@example(b"\xef\xbb\xbfid,answer\r\na,b\r\n")
@example(b'{"a": 1e999}')
def test_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    read(tmp_path, name, content)


def test_an_answer_longer_than_a_cell_is_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, "answers.csv", b"id,answer\na," + b"x" * 200_000 + b"\n")


@pytest.mark.parametrize("name", ["csv", "squad_json", "jsonl"])
def test_a_writer_checks_any_file_against_any_sample(tmp_path: Path, name: str) -> None:
    """Problems in words, or one error about the sample."""
    writer: Writer = load_registry().build("writers", name, {}, NoRuntime())
    good, other = tmp_path / f"good{writer.suffix}", tmp_path / f"other{writer.suffix}"
    writer.write([SpanPrediction("a", "x" * 200_000), SpanPrediction("b", "=1")], good)
    assert writer.check(good, good) == []
    contents = [*BROKEN.values(), *(json.dumps({"id": value, "answer": value}).encode() for value in WRONG)]
    for content in contents:
        other.write_bytes(content)
        assert all(isinstance(problem, str) for problem in writer.check(other, good))
        try:
            writer.check(good, other)
        except DataError as error:
            assert str(other) in str(error) and len(str(error).splitlines()) == 1


def test_formulas_are_escaped_where_that_is_asked_for(tmp_path: Path) -> None:
    answers = ["=1+1", "+1", "-1", "@x", "\tx", "a=1", "", "'=1"]
    predictions = [SpanPrediction(f"q{row}", answer) for row, answer in enumerate(answers)]
    found = {}
    for escaped in (False, True):
        settings = {"escape_formulas": escaped}
        writer: Writer = load_registry().build("writers", "csv", settings, NoRuntime())
        writer.write([*predictions, SpanPrediction("=id", "x")], tmp_path / "a.csv")
        found[escaped] = read_answers(tmp_path / "a.csv").answers
    assert list(found[False].values()) == [*answers, "x"] and "=id" in found[False]
    assert list(found[True].values()) == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "a=1", "", "'=1", "x"]
    assert "'=id" in found[True]
