"""Long and short answers: the metric against a count of what the writer hands in, token by token."""

from __future__ import annotations

import csv
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import Candidate, DataError, Example, NoAnswer, NoRuntime, Prediction, SpanPrediction, UsageError
from qakit.data.read import read_examples
from qakit.registry import load_registry
from qakit.values import LabelPrediction

REGISTRY = load_registry()


def build(kind: Any, name: str, **given: Any) -> Any:
    return REGISTRY.build(kind, name, given, NoRuntime())


@st.composite
def question(draw: st.DrawFn) -> dict[str, Any]:
    """A document of words with passages, which one annotator has looked at."""
    words = draw(st.lists(st.sampled_from(["a", "bb", "ccc", "<P>"]), min_size=8, max_size=14))
    borders = sorted(draw(st.sets(st.integers(1, len(words) - 1), min_size=0, max_size=2)) | {0, len(words)})
    passages = [{"start_token": first, "end_token": stop, "top_level": True} for first, stop in pairwise(borders)]
    chosen = draw(st.none() | st.sampled_from(passages))
    annotation: dict[str, Any] = {
        "long_answer": chosen or {"start_token": -1, "end_token": -1},
        "short_answers": [],
        "yes_no_answer": "NONE",
    }
    if chosen is not None:
        kind = draw(st.sampled_from(["none", "spans", "YES", "NO"]))
        if kind == "spans":
            annotation["short_answers"] = draw(st.lists(tokens_in(chosen), min_size=1, max_size=2))
        elif kind != "none":
            annotation["yes_no_answer"] = kind
    return {
        "question_text": "which",
        "document_text": " ".join(words),
        "long_answer_candidates": passages,
        "annotations": [annotation],
    }


@st.composite
def tokens_in(draw: st.DrawFn, passage: dict[str, Any]) -> dict[str, int]:
    first = draw(st.integers(passage["start_token"], passage["end_token"] - 1))
    return {"start_token": first, "end_token": draw(st.integers(first + 1, passage["end_token"]))}


@st.composite
def answered(draw: st.DrawFn, example: Example) -> SpanPrediction:
    """A prediction: nothing, yes or no, or characters of a context, now and then those of a gold answer."""
    row = draw(st.integers(0, len(example.contexts) - 1))
    text = example.contexts[row]
    gold = [(answer.context, *answer.places[0]) for answer in example.answers or () if answer.places]
    start = draw(st.integers(0, len(text) - 1).filter(lambda at: text[at] != " "))
    end = draw(st.integers(start + 1, len(text)).filter(lambda at: text[at - 1] != " "))
    row, start, end = draw(st.sampled_from([*gold, (row, start, end)]))
    span = Candidate(example.contexts[row][start:end], start, end, row, 1.0, 0.5)
    answer = draw(st.sampled_from([span.text, "", "yes", "no"]))
    return SpanPrediction(example.id, answer, (span,), NoAnswer(0.0, draw(st.sampled_from([0.2, 0.5, 0.7]))))


def official(questions: list[dict[str, Any]], submission: dict[str, str]) -> float:
    """Micro F1 as the competition's page defines it."""
    right = wrong = missed = 0
    for each in questions:
        (annotation,) = each["annotations"]
        long = annotation["long_answer"]
        labels = {
            "long": [f"{long['start_token']}:{long['end_token']}"] if long["start_token"] >= 0 else [],
            "short": [f"{span['start_token']}:{span['end_token']}" for span in annotation["short_answers"]],
        }
        if annotation["yes_no_answer"] != "NONE":
            labels["short"] = [annotation["yes_no_answer"]]
        for kind, gold in labels.items():
            given = submission[f"{each['example_id']}_{kind}"]
            right += given in gold
            wrong += given != "" and given not in gold
            missed += given == "" and bool(gold)
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / (right + missed) if right + missed else 0.0
    return 200 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(st.data())
def test_the_metric_counts_what_the_writer_hands_in(data: st.DataObject) -> None:
    questions = data.draw(st.lists(question(), min_size=1, max_size=5))
    for number, each in enumerate(questions):
        each["example_id"] = number - 2  # ids of Kaggle's are negative, too
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "nq.jsonl", Path(folder) / "submission.csv"
        file.write_text("".join(json.dumps(each) + "\n" for each in questions))
        examples = read_examples(build("readers", "natural_questions"), file).examples
        predictions: list[Prediction] = [data.draw(answered(example)) for example in examples]
        threshold = data.draw(st.sampled_from([0.0, 0.5, 0.9]))
        writer = build("writers", "natural_questions", questions=str(file), long_threshold=threshold)
        writer.write(predictions, out)
        assert writer.check(out, out) == []
        with out.open(newline="") as table:
            submission = {row["example_id"]: row["PredictionString"] for row in csv.DictReader(table)}
    found = build("metrics", "micro_f1", long_threshold=threshold).compute(examples, predictions)
    assert found["micro_f1"] == pytest.approx(official(questions, submission))


def test_a_question_without_a_prediction_has_no_answer() -> None:
    metric = build("metrics", "micro_f1")
    example = Example("1", "?", ("one two",), answers=(), relevant=0)
    assert metric.compute([example], []) == {"micro_f1": 0.0, "long_f1": 0.0, "short_f1": 0.0}
    with pytest.raises(UsageError, match="is none"):
        metric.compute([example], [LabelPrediction("1", "x")])


def test_the_writer_finds_answers_that_come_as_texts_alone(tmp_path: Path) -> None:
    passages = [{"start_token": 0, "end_token": 2, "top_level": True}, {"start_token": 2, "end_token": 5}]
    file, out = tmp_path / "nq.jsonl", tmp_path / "out.csv"
    question = {"example_id": 1, "document_text": "a b c d e", "long_answer_candidates": passages}
    file.write_text(json.dumps(question) + "\n")
    writer = build("writers", "natural_questions", questions=str(file))
    voted = [SpanPrediction("1", "d e"), SpanPrediction("1", "x"), SpanPrediction("1", "no"), SpanPrediction("1", "")]
    rows = []
    for each in voted:
        writer.write([each], out)
        rows.append(out.read_text().split()[1:])
    assert rows == [
        ["1_long,2:5", "1_short,3:5"],
        ["1_long,", "1_short,"],
        ["1_long,", "1_short,NO"],
        ["1_long,", "1_short,"],
    ]


def test_the_writer_wants_the_questions_that_are_predicted(tmp_path: Path) -> None:
    file = tmp_path / "nq.jsonl"
    file.write_text(json.dumps({"example_id": 1, "document_text": "a b", "long_answer_candidates": []}) + "\n")
    answer = SpanPrediction("2", "a", (Candidate("a", 0, 1, 0, 1.0, 1.0),))
    with pytest.raises(DataError, match="has no question 2"):
        build("writers", "natural_questions", questions=str(file)).write([answer], tmp_path / "out.csv")
    with pytest.raises(DataError, match="the answer is in context 3, but the question has 1"):
        odd = SpanPrediction("1", "a", (Candidate("a", 0, 1, 3, 1.0, 1.0),))
        build("writers", "natural_questions", questions=str(file)).write([odd], tmp_path / "out.csv")
    with pytest.raises(DataError, match="the writer's setting `questions`"):
        build("writers", "natural_questions", questions=str(tmp_path / "none")).write([answer], tmp_path / "out.csv")
    file.write_text('{"example_id": 2}\n')
    with pytest.raises(DataError, match="line 1: is no question of Natural Questions"):
        build("writers", "natural_questions", questions=str(file)).write([answer], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
