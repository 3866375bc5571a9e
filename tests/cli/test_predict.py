"""`qakit predict`, `evaluate`, `ask` and the Python API on one trained run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import qakit
from qakit.errors import DataError, RunError, UsageError

pytestmark = pytest.mark.slow

QUESTION = "Where is Normandy?"
CONTEXT = "The Normans gave their name to Normandy, a region in France."


def test_predict_writes_the_same_submission_as_training_did(
    small_run: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    output = tmp_path / "answers.csv"
    result = invoke("predict", small_run, "--input", small_data / "test.json", "--output", output, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["rows"] == 8
    assert output.read_bytes() == (small_run / "predictions" / "submission.csv").read_bytes()


def test_the_ending_of_the_output_chooses_the_format(
    small_run: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    invoke("predict", small_run, "--input", small_data / "test.json", "--output", tmp_path / "a.json")
    with (small_run / "predictions" / "submission.csv").open(newline="") as file:
        rows = {row["id"]: row["answer"] for row in csv.DictReader(file)}
    assert json.loads((tmp_path / "a.json").read_text()) == rows


def test_evaluate_gives_the_figures_of_training(small_run: Path, small_data: Path, invoke: Any) -> None:
    result = invoke("evaluate", small_run, "--input", small_data / "dev.json", "--json")
    figures = json.loads(result.stdout)
    assert figures == pytest.approx(json.loads((small_run / "metrics.json").read_text())["validation"])


def test_evaluate_refuses_an_unlabelled_file(small_run: Path, small_data: Path, invoke: Any) -> None:
    result = invoke("evaluate", small_run, "--input", small_data / "test.json")
    assert result.exit_code == 2
    assert isinstance(result.exception, DataError)
    assert "8 of 8 questions have no answers to compare with" in str(result.exception)


def test_ask_answers_from_the_text(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    file = tmp_path / "context.txt"
    file.write_text(CONTEXT, "utf-8")
    result = invoke("ask", small_run, "-q", QUESTION, "-c", f"@{file}", "-c", "Paris is in France.", "-k", 4, "--json")
    reply = json.loads(result.stdout)
    contexts = [CONTEXT, "Paris is in France."]
    assert len(reply["candidates"]) == 4
    assert reply["answer"] == reply["candidates"][0]["text"]
    for candidate in reply["candidates"]:
        assert contexts[candidate["context"]][candidate["start"] : candidate["end"]] == candidate["text"]


def test_the_python_api_fills_the_place_of_the_removed_pipeline(small_run: Path) -> None:
    answerer = qakit.load(small_run)
    reply = answerer.answer(QUESTION, CONTEXT, top_k=3)
    assert reply.answer == reply.candidates[0].text
    assert len({candidate.text for candidate in reply.candidates}) == 3
    assert answerer.answer(QUESTION, "").answer == ""
    with pytest.raises(UsageError, match="top_k is 0"):
        answerer.answer(QUESTION, CONTEXT, top_k=0)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path, invoke: Any) -> None:
    result = invoke("ask", tmp_path, "-q", QUESTION, "-c", CONTEXT)
    assert isinstance(result.exception, RunError)
    assert str(result.exception) == f"{tmp_path} is not a run: it has no recipe.yaml (`qakit runs list` shows the runs)"


def test_runs_are_listed_and_shown(small_run: Path, invoke: Any) -> None:
    listed = json.loads(invoke("runs", "list", small_run.parent, "--json").stdout)
    assert [(run["state"], run["step"]) for run in listed] == [("finished", 6)]
    shown = json.loads(invoke("runs", "show", small_run, "--json").stdout)
    assert shown["meta"]["data"]["train"]["examples"] == 48
    assert "Evaluations" in invoke("runs", "show", small_run).stdout


def test_one_damaged_run_does_not_hide_the_others(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(small_run, tmp_path / "runs" / "whole")
    shutil.copytree(small_run, tmp_path / "runs" / "broken")
    (tmp_path / "runs" / "broken" / "metrics.jsonl").write_text("[]\n")
    listed = json.loads(invoke("runs", "list", tmp_path / "runs", "--json").stdout)
    assert {Path(run["run"]).name: run["state"] for run in listed} == {"whole": "finished", "broken": "damaged"}
    shown = invoke("runs", "show", tmp_path / "runs" / "broken")
    assert str(shown.exception).endswith("metrics.jsonl, line 1 is damaged: it is no line of a training")


def test_the_output_is_checked_before_the_work(small_run: Path, small_data: Path, invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    result = invoke("predict", small_run, "--input", small_data / "test.json", "--output", tmp_path / "a.csv")
    assert str(result.exception) == f"{tmp_path / 'a.csv'} is a folder; name a file in it"
    assert result.exit_code == 2


def test_the_input_is_never_overwritten(small_run: Path, small_data: Path, invoke: Any, tmp_path: Path) -> None:
    import shutil

    source = tmp_path / "test.json"
    shutil.copy(small_data / "test.json", source)
    result = invoke("predict", small_run, "--input", source, "--output", tmp_path / "x" / ".." / "test.json")
    assert result.exit_code == 2
    assert "is the input file; name another output" in str(result.exception)
    assert source.read_bytes() == (small_data / "test.json").read_bytes()
