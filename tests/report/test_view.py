"""What the page of `qakit view` holds."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from view_pages import REGISTRY, THRESHOLD, answered, asked, said

from qakit.inference.evaluation import Judge
from qakit.report.html import page
from qakit.report.view import view_page, write_questions
from qakit.report.view_data import Findings, view_data
from qakit.values import Answer, Candidate, ContextPrediction, Example, LabelPrediction, SpanPrediction, Targets

TEXT = "The old mill stands by the river Tame."
GOLD = asked("right", TEXT, "the river Tame")
EDGE = asked("boundary", TEXT, "river Tame")
NONE = asked("none", TEXT, None)
LOWER = asked("lower", TEXT, "mill")
ELSE = asked("else", TEXT, "old")
EXAMPLES = [GOLD, EDGE, NONE, LOWER, ELSE]
PREDICTIONS = [
    said(GOLD, "the river Tame", "mill"),
    said(EDGE, "by the river Tame"),
    said(NONE, "mill", score=0.0),
    said(LOWER, "river", "mill"),
    said(ELSE, "river", score=-3.0),
]


LOG = {
    "loss": [[1, 3.0], [2, 1.5], [3, 1.0]],
    "validation": [[2, 2.0], [3, 1.75]],
    "figures": {"exact": [[2, 20.0], [3, 30.0]]},
}


def data_of(*runs: Any) -> dict[str, Any]:
    examples = list(runs[0].examples.values())
    judges = [Judge.of(run.recipe, REGISTRY) for run in runs]
    return view_data(runs, [run.run.name for run in runs], judges, examples)


def test_each_answer_has_its_figures_and_what_went_wrong(tmp_path: Path) -> None:
    data = data_of(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    assert data["keys"][data["exact"]] == "exact"
    answers = data["answers"][0]
    assert [answer["r"] for answer in answers] == [1, 0, 0, 0, 0]
    assert [answer["c"] for answer in answers] == [None, "boundary", "no answer", "ranked lower", "no answer"]
    assert [answer["a"] for answer in answers] == ["the river Tame", "by the river Tame", "mill", "river", ""]
    assert answers[0]["n"] == [[23, 37, 0, 0.5, 2.0], [8, 12, 0, 0.25, 1.0]]
    assert data["texts"] == [TEXT]
    assert data["questions"][2]["g"] == [] and data["questions"][0]["g"] == [["the river Tame", 23, 0, 37]]


def test_the_threshold_can_be_moved_by_what_each_answer_would_score(tmp_path: Path) -> None:
    data = data_of(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    assert data["runs"][0]["threshold"] == THRESHOLD
    exact = data["exact"]
    assert [answer["d"] for answer in data["answers"][0]] == [-2.0, -2.0, 0.0, -2.0, 3.0]
    assert [[part[exact] for part in answer["t"]] for answer in data["answers"][0]] == [
        [100, 0], [0, 0], [0, 100], [0, 0], [0, 0],
    ]  # fmt: skip
    plain = [said(each, "mill", null=None) for each in EXAMPLES]
    data = data_of(answered(tmp_path / "plain", EXAMPLES, plain, metric="squad_v1", no_answer=False))
    assert data["runs"][0]["threshold"] is None


def test_confidence_is_told_beside_how_often_it_is_right(tmp_path: Path) -> None:
    data = data_of(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    assert data["runs"][0]["calibration"] == [[0.4, 0.0, 1], [0.5, 0.25, 4]]
    assert data["runs"][0]["log"] == LOG


def test_an_answer_without_a_place_brings_its_text(tmp_path: Path) -> None:
    prediction = SpanPrediction("right", "mill", (Candidate("mill", None, None, 0, 1.0, 0.9),))
    data = data_of(answered(tmp_path / "run", [GOLD], [prediction]))
    assert data["answers"][0][0]["n"] == [[None, None, 0, 0.9, 1.0, "mill"]]
    gold = Example("g", "?", (TEXT,), (Answer("Tame river", None),))
    data = data_of(answered(tmp_path / "gold", [gold], [SpanPrediction("g", "")]))
    assert data["questions"][0]["g"] == [["Tame river", None, 0, None]]


def test_classes_have_a_table_of_confusions(tmp_path: Path) -> None:
    examples = [Example(str(n), "text", (), None, label) for n, label in enumerate("aabb")]
    predictions = [LabelPrediction(str(n), label, scores) for n, (label, scores) in enumerate(
        [("a", (0.9, 0.1)), ("b", (0.2, 0.8)), ("b", (0.3, 0.7)), ("b", (0.4, 0.6))]
    )]  # fmt: skip
    data = data_of(
        answered(tmp_path / "run", examples, predictions, metric="accuracy", no_answer=False, classes=("a", "b"))
    )
    assert data["kind"] == "labels"
    assert data["runs"][0]["confusion"] == {"labels": ["a", "b"], "cells": [[1, 1], [0, 2]]}
    assert data["runs"][0]["labels"] == ["a", "b"]
    assert [answer["r"] for answer in data["answers"][0]] == [1, 0, 1, 1]


def test_numbers_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    examples = [Example(str(n), "text", (), None, float(n)) for n in range(3)]
    predictions = [LabelPrediction(str(n), n + 0.25) for n in range(3)]
    data = data_of(answered(tmp_path / "run", examples, predictions, metric="pearson_spearman", no_answer=False))
    assert [answer["r"] for answer in data["answers"][0]] == [None] * 3
    assert data["runs"][0]["confusion"] is None


def test_chosen_contexts_are_right_or_wrong(tmp_path: Path) -> None:
    examples = [Example(str(n), "q", ("a", "b"), None, None, n) for n in (0, 1)]
    predictions = [ContextPrediction("0", 0, (0.75, 0.25)), ContextPrediction("1", 0, (0.5, 0.5))]
    data = data_of(answered(tmp_path / "run", examples, predictions, metric="selection", no_answer=False))
    assert data["kind"] == "contexts"
    assert [answer["r"] for answer in data["answers"][0]] == [1, 0]
    assert [question["g"] for question in data["questions"]] == [0, 1]


def test_several_numbers_are_shown_with_their_names(tmp_path: Path) -> None:
    examples = [Example("0", "text", (), None, Targets([0.25, math.nan], ("b", "a")))]
    predictions = [LabelPrediction("0", Targets([0.123456789, 0.5], ("b", "a")))]
    data = data_of(answered(tmp_path / "run", examples, predictions, metric="columnwise_rmse", no_answer=False))
    assert data["questions"][0]["g"] == "b 0.25, a -"
    assert data["answers"][0][0]["a"] == "b 0.123, a 0.5"


def test_the_table_of_questions_keeps_lone_carriage_returns(tmp_path: Path) -> None:
    example = asked("a\rb", "The old\rmill stands.", "old\rmill")
    table, run = tmp_path / "questions.csv", answered(tmp_path / "run", [example], [said(example, "old\rmill")])
    write_questions(table, run, REGISTRY, Findings(THRESHOLD))
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["right"], row["answer"]) == ("a\rb", "old\rmill", "old\rmill")
    assert b'"old\rmill"' in table.read_bytes()


def test_several_runs_are_compared_question_by_question(tmp_path: Path) -> None:
    other = [said(GOLD, "mill"), *PREDICTIONS[1:]]
    runs = [answered(tmp_path / "a", EXAMPLES, PREDICTIONS), answered(tmp_path / "b", EXAMPLES, other, seed=1)]
    text = view_page(runs, REGISTRY)
    assert "Differences, paired by question" in text and "-20.00" in text
    assert [run["name"] for run in data_of(*runs)["runs"]] == ["a", "b"]
    assert len(data_of(*runs)["answers"]) == 2


@pytest.mark.parametrize("loss", ["NaN", "Infinity", '"low"', "null"])
def test_a_log_whose_losses_are_no_numbers_has_a_curve_without_them(loss: str, tmp_path: Path) -> None:
    run = answered(tmp_path / "run", EXAMPLES, PREDICTIONS)
    log = run.run.folder / "metrics.jsonl"
    log.write_text(log.read_text("utf-8").replace('"validation_loss": 2.0', f'"validation_loss": {loss}'), "utf-8")
    assert loss in log.read_text("utf-8")
    assert view_page([run], REGISTRY)
    assert data_of(run)["runs"][0]["log"]["validation"] == [[3, 1.75]]


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028 & <b>"])
def test_no_text_of_the_data_ends_the_data(text: str) -> None:
    made = page("x", [], script="view.js", data={"t": text})
    held = made.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert json.loads(held) == {"t": text}
    assert made.count("<script") == 2 and "<!--" not in held


def test_a_page_may_run_its_own_script_alone_and_fetch_nothing() -> None:
    made = page("x", [], script="view.js", data={})
    assert "default-src 'none'" in made and "script-src 'sha256-" in made
    assert "script-src" not in page("x", []).split("</head>")[0]
