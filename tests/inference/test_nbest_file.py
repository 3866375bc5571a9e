"""nbest.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit.errors import DataError
from qakit.inference import nbest_file
from qakit.inference.nbest_file import read_nbest, write_nbest
from qakit.values import Candidate, LabelPrediction, NoAnswer, Prediction, SpanPrediction, Targets

# Any character, lone surrogates too; not a high one before a low one, which in JSON *is* the character they encode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\ud800\u2028\u2029\x85\r\n\x00"\\中'))
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
PLACE = st.none() | st.integers(0, 10**6)
CANDIDATE = st.builds(Candidate, TEXT, PLACE, PLACE, st.integers(0, 9), NUMBER, NUMBER)
SPANS = st.builds(
    SpanPrediction,
    TEXT,
    TEXT,
    st.lists(CANDIDATE, max_size=4).map(tuple),
    st.none() | st.builds(NoAnswer, NUMBER, NUMBER),
)
SEVERAL = st.dictionaries(TEXT, NUMBER, min_size=1, max_size=3).map(lambda held: Targets(held.values(), held))
LABELS = st.builds(LabelPrediction, TEXT, TEXT | NUMBER | SEVERAL, st.lists(NUMBER, max_size=4).map(tuple))


@given(predictions=st.lists(SPANS | LABELS, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_written_is_read(tmp_path: Path, predictions: list[Prediction]) -> None:
    write_nbest(tmp_path / "nbest.jsonl", predictions)
    found = read_nbest(tmp_path / "nbest.jsonl")
    assert found == predictions
    assert [each.final for each in found] == [each.final for each in predictions]


def test_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "nbest.jsonl"
    candidate = Candidate("魯迅", 3, 5, 1, 0.1, 0.75)
    write_nbest(
        path,
        [SpanPrediction("q1", "魯迅", (candidate,), NoAnswer(-1.0, 0.25)), LabelPrediction("q2", "yes", (0.5, 1.5))],
    )
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert "魯迅" in first
    assert json.loads(first) == {
        "id": "q1",
        "answer": "魯迅",
        "candidates": [{"text": "魯迅", "start": 3, "end": 5, "context": 1, "score": 0.1, "probability": 0.75}],
        "null": {"score": -1.0, "probability": 0.25},
    }
    assert json.loads(second) == {"id": "q2", "label": "yes", "scores": [0.5, 1.5]}
    assert [file.name for file in path.parent.iterdir()] == ["nbest.jsonl"]


def test_a_line_that_utf_8_cannot_hold_is_ascii(tmp_path: Path) -> None:
    path = tmp_path / "nbest.jsonl"
    write_nbest(path, [SpanPrediction("a", "中\ud800"), SpanPrediction("b", "中")])
    first, second = path.read_bytes().splitlines()
    assert rb"\u4e2d\ud800" in first
    assert "中".encode() in second


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_broken_score_is_not_written(tmp_path: Path, score: float) -> None:
    path = tmp_path / "nbest.jsonl"
    write_nbest(path, [SpanPrediction("old", "")])
    with pytest.raises(DataError, match=r"nbest\.jsonl, id q7: cannot be written: a score is NaN or infinite"):
        write_nbest(path, [SpanPrediction("q7", "x", (Candidate("x", 0, 1, 0, score, 0.5),))])
    assert [each.id for each in read_nbest(path)] == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


GOOD: dict[str, Any] = {
    "id": "a",
    "answer": "x",
    "candidates": [{"text": "x", "start": 0, "end": 1, "context": 0, "score": 1, "probability": 1.0}],
    "null": {"score": 0.0, "probability": 0.0},
}


def change(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def change_candidate(**changes: Any) -> str:
    return change(candidates=[GOOD["candidates"][0], {**GOOD["candidates"][0], **changes}])


def without(field: str) -> str:
    return json.dumps({key: value for key, value in GOOD.items() if key != field})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: not a line of nbest.jsonl ("),
        ("[1]", "line 3: must be a JSON object"),
        ("[" * 100_000, "line 3: not a line of nbest.jsonl ("),
        (without("id"), "line 3, field 'id': is missing"),
        (without("answer"), "line 3, field 'answer': is missing"),
        (without("candidates"), "line 3, field 'candidates': is missing"),
        (change(id=7), "line 3, field 'id': must be text"),
        (change(candidates={}), "line 3, field 'candidates': must be a list"),
        (change(candidates=["x"]), "line 3, field 'candidates[0]': must be a JSON object"),
        (change(null=3), "line 3, field 'null': must be a JSON object"),
        (change(null={"score": 1}), "line 3, field 'null.probability': is missing"),
        (change_candidate(start=-1), "line 3, field 'candidates[1].start': must be a whole number, 0 or more"),
        (change_candidate(end=1.5), "line 3, field 'candidates[1].end': must be a whole number, 0 or more"),
        (change_candidate(context=None), "line 3, field 'candidates[1].context': must be a whole number, 0 or more"),
        (change_candidate(score=True), "line 3, field 'candidates[1].score': must be a finite number"),
        (change_candidate(score=float("nan")), "line 3, field 'candidates[1].score': must be a finite number"),
        (change_candidate(score=10**400), "line 3, field 'candidates[1].score': must be a finite number"),
        ('{"id": "a", "label": null, "scores": []}', "line 3, field 'label': must be text or a finite number"),
        ('{"id": "a", "label": 1, "scores": [1, "2"]}', "line 3, field 'scores': must be a list of finite numbers"),
        ('{"id": "a", "label": 1}', "line 3, field 'scores': is missing"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "nbest.jsonl"
    path.write_text(f"{change()}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_nbest(path)
    assert str(caught.value).startswith(f"{path}, {message}")


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "nbest.jsonl"
    path.write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(DataError, match=r"line 1: not a line of nbest\.jsonl"):
        read_nbest(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read \(No such file"):
        read_nbest(tmp_path / "none.jsonl")


def test_whole_numbers_are_scores_too(tmp_path: Path) -> None:
    path = tmp_path / "nbest.jsonl"
    path.write_text(change(), encoding="utf-8")  # the last line may lack its end
    (prediction,) = read_nbest(path)
    assert isinstance(prediction, SpanPrediction)
    assert prediction.candidates == (Candidate("x", 0, 1, 0, 1.0, 1.0),)


@given(predictions=st.lists(SPANS, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_short_way_and_the_long_way_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictions: list[Prediction]
) -> None:
    path = tmp_path / "nbest.jsonl"
    write_nbest(path, predictions)
    short = read_nbest(path)
    with monkeypatch.context() as patch:
        patch.setattr(nbest_file, "_plain_candidate", lambda value: None)
        assert read_nbest(path) == short


def test_several_numbers_are_an_object(tmp_path: Path) -> None:
    path = tmp_path / "nbest.jsonl"
    write_nbest(path, [LabelPrediction("q", Targets((0.5, 2.0), ("a", "b")))])
    assert json.loads(path.read_text()) == {"id": "q", "label": {"a": 0.5, "b": 2.0}, "scores": []}
    path.write_text('{"id": "q", "label": {"a": null}, "scores": []}')
    with pytest.raises(DataError, match="line 1, field 'label': must be finite numbers by their names"):
        read_nbest(path)
    with pytest.raises(DataError, match="id q: cannot be written"):
        write_nbest(path, [LabelPrediction("q", Targets((0.5, float("inf")), ("a", "b")))])
