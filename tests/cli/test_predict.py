"""`qakit predict`, `evaluate`, `ask` and the Python API on one trained run."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qakit
from qakit.errors import DataError, RunError, UsageError
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores
from qakit.inference.nbest_file import read_nbest
from qakit.training.events import silence
from qakit.workflows.questions import load_run, read_own_split

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
    figures = json.loads(result.stdout)["figures"]
    assert figures == pytest.approx(json.loads((small_run / "metrics.json").read_text())["validation"])


def test_evaluate_refuses_an_unlabelled_file(small_run: Path, small_data: Path, invoke: Any) -> None:
    result = invoke("evaluate", small_run, "--input", small_data / "test.json")
    assert result.exit_code == 2
    assert isinstance(result.exception, DataError)
    assert "8 of 8 questions have no answers to compare with" in str(result.exception)


def test_ask_answers_from_the_text(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    file = tmp_path / "context.txt"
    file.write_text(CONTEXT, "utf-8")
    result = invoke("ask", small_run, QUESTION, "-c", f"@{file}", "-c", "Paris is in France.", "-k", 4, "--json")
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
    many = answerer.answer([QUESTION, "Who?"], CONTEXT, top_k=3)
    assert len(many) == 2
    assert [candidate.text for candidate in many[0].candidates] == [candidate.text for candidate in reply.candidates]
    with pytest.raises(UsageError, match="top_k is 0"):
        answerer.answer(QUESTION, CONTEXT, top_k=0)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path, invoke: Any) -> None:
    result = invoke("ask", tmp_path, QUESTION, "-c", CONTEXT)
    assert isinstance(result.exception, RunError)
    assert str(result.exception) == f"{tmp_path} is not a run: it has no recipe.yaml (`qakit runs list` shows the runs)"


def test_a_runs_model_answers_without_its_run(small_run: Path, invoke: Any) -> None:
    asked = (QUESTION, "-c", CONTEXT, "--json")
    of_run = json.loads(invoke("ask", small_run, *asked).stdout)
    alone = json.loads(invoke("ask", small_run / "model", *asked).stdout)
    assert [each["text"] for each in alone["candidates"]] == [each["text"] for each in of_run["candidates"]]
    for one, other in zip(alone["candidates"], of_run["candidates"], strict=True):
        assert (one["start"], one["end"]) == (other["start"], other["end"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)  # the temperature is kept beside


def test_a_run_reads_and_answers_as_it_is_told(small_run: Path, small_data: Path, invoke: Any, tmp_path: Path) -> None:
    dev, nbest = ("--input", small_data / "dev.json", "--json"), tmp_path / "nbest.jsonl"
    figures = json.loads(invoke("evaluate", small_run, *dev, "--metric", "squad_v2").stdout)["figures"]
    assert {"exact", "HasAns_f1"} <= set(figures)
    short = ("--set", "predict.max_answer_length=1", "--set", "predict.n_best=2")
    assert invoke("evaluate", small_run, *dev, *short, "--nbest", nbest).exit_code == 0
    assert all(len(each.candidates) <= 2 and len(each.final.split()) == 1 for each in read_nbest(nbest))
    reply = invoke("ask", small_run, QUESTION, "-c", CONTEXT, "--set", "predict.no_answer=true", "--json")
    assert json.loads(reply.stdout)["no_answer"] is not None
    found = qakit.evaluate(small_run, small_data / "dev.json", set={"postprocess": ["special_chars"]})
    assert found.figures.keys() == {"exact_match", "f1"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.epochs=2", "--set train.epochs: this takes another training"),
        ("windows.max_length=64", "--set windows.max_length: this takes another training"),
        ("data.test=other.json", "--set data.test: a trained run keeps its files; name other questions with --input"),
        ("predict.null_threshold=low", "predict.null_threshold"),
        ("predict.nbest=2", "predict.nbest"),
        ("backbone.source=other", "--set backbone.source: this takes another training"),
    ],
)
def test_what_would_need_another_training_is_refused(
    small_run: Path, small_data: Path, invoke: Any, setting: str, said: str
) -> None:
    result = invoke("evaluate", small_run, "--input", small_data / "dev.json", "--set", setting)
    assert result.exit_code == 2
    assert said in str(result.exception)


def test_answers_of_a_split_under_other_values_are_not_kept_in_the_run(
    small_run: Path, invoke: Any, tmp_path: Path
) -> None:
    kept = small_run / "predictions" / "validation" / "nbest.jsonl"
    before, output = kept.read_bytes(), tmp_path / "answers.csv"
    command = ("predict", small_run, "--split", "validation", "--set", "predict.max_answer_length=1")
    assert "not kept in its folder: name a file with --output or --nbest" in str(invoke(*command).exception)
    assert invoke(*command, "--output", output).exit_code == 0
    assert output.is_file()
    assert kept.read_bytes() == before


def test_runs_are_listed_and_shown(small_run: Path, invoke: Any) -> None:
    listed = json.loads(invoke("runs", "list", small_run.parent, "--json").stdout)
    assert [(run["state"], run["step"]) for run in listed] == [("finished", 6)]
    shown = json.loads(invoke("runs", "show", small_run, "--json").stdout)
    assert shown["meta"]["data"]["train"]["examples"] == 48
    text = invoke("runs", "show", small_run).stdout
    assert "Evaluations" in text and "recipe.yaml" in text and ".lock" not in text


def test_one_damaged_run_does_not_hide_the_others(small_run: Path, invoke: Any, tmp_path: Path) -> None:
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
    source = tmp_path / "test.json"
    shutil.copy(small_data / "test.json", source)
    result = invoke("predict", small_run, "--input", source, "--output", tmp_path / "x" / ".." / "test.json")
    assert result.exit_code == 2
    assert "is the input file; name another output" in str(result.exception)
    assert source.read_bytes() == (small_data / "test.json").read_bytes()


def test_two_outputs_are_two_files(small_run: Path, small_data: Path, invoke: Any, tmp_path: Path) -> None:
    output = tmp_path / "a.csv"
    given = (
        "--input",
        small_data / "test.json",
        "--output",
        output,
        "--character-scores",
        tmp_path / "x" / ".." / "a.csv",
    )
    result = invoke("predict", small_run, *given)
    assert result.exit_code == 2
    assert str(result.exception) == f"{output} is named for two outputs; name another file for one of them"
    assert not output.exists()


def test_a_split_of_the_recipe_is_predicted_into_the_run(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    result = invoke("predict", run, "--split", "test", "--json")
    assert result.exit_code == 0, result.output
    folder = run / "predictions" / "test"
    assert json.loads(result.stdout) == {"rows": 8, "folder": str(folder)}
    assert (folder / "nbest.jsonl").read_bytes() == (small_run / "predictions" / "nbest.jsonl").read_bytes()
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["inputs"] == json.loads((small_run / "predictions" / "meta.json").read_text())["inputs"]
    assert not (folder / CHARACTERS_FILE).exists()

    invoke("predict", run, "--split", "validation", "-o", tmp_path / "answers.json")
    validation = run / "predictions" / "validation" / "nbest.jsonl"
    assert validation.read_bytes() == (small_run / "predictions" / "validation" / "nbest.jsonl").read_bytes()
    assert len(json.loads((tmp_path / "answers.json").read_text())) == 12
    assert json.loads(invoke("predict", run, "--split", "train", "--json").stdout)["rows"] == 48


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "give either --input FILE or --split train|validation|test"),
        (["--input", "a.json", "--split", "test"], "give either --input FILE or --split train|validation|test"),
        (["--input", "a.json"], "--input needs --output: the file for the answers"),
        (["--split", "test", "--output", "a"], "--output a has no ending; use .csv, .json, .jsonl or that of the"),
    ],
)
def test_options_that_do_not_go_together(small_run: Path, invoke: Any, options: list[str], problem: str) -> None:
    result = invoke("predict", small_run, *options)
    assert result.exit_code == 2
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(problem)


def test_a_split_that_the_recipe_lacks(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text("".join(line for line in recipe.splitlines(True) if "  test:" not in line))
    result = invoke("predict", run, "--split", "test")
    assert str(result.exception) == "the run's recipe names no test file; give the questions with --input"
    assert result.exit_code == 2


def test_character_scores_go_to_a_file(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "scores" / "characters.safetensors"
    shutil.copytree(small_run, run)
    result = invoke("predict", run, "--split", "validation", "--character-scores", file)
    assert result.exit_code == 0, result.output
    folder = run / "predictions" / "validation"
    assert file.read_bytes() == (folder / CHARACTERS_FILE).read_bytes()
    scores = CharacterScores.read(file)
    scores.check(read_own_split(load_run(run), "validation", silence).examples)
    assert scores.aggregation == "mean"

    invoke("predict", run, "--split", "validation")  # without them the old ones would not fit what is beside them
    assert not (folder / CHARACTERS_FILE).exists()


@pytest.mark.parametrize("aggregation", ["max", "mean"])
def test_training_and_all_commands_aggregate_alike(
    small_recipe: Path, small_data: Path, invoke: Any, tmp_path: Path, aggregation: str
) -> None:
    run = tmp_path / "run"
    changes = [f"predict.aggregation={aggregation}", "predict.character_scores=true", "train.evaluate_before=false"]
    changes += ["windows.max_length=64", "preprocess.predict.overlap=16"]
    settings = [option for change in changes for option in ("--set", change)]
    result = invoke("train", small_recipe, "--output", run, "--quiet", *settings)
    assert result.exit_code == 0, result.output
    figures = json.loads(invoke("evaluate", run, "--input", small_data / "dev.json", "--json").stdout)["figures"]
    assert figures == pytest.approx(json.loads((run / "metrics.json").read_text())["validation"])
    first = {name: (run / "predictions" / name).read_bytes() for name in ("nbest.jsonl", CHARACTERS_FILE)}
    invoke("predict", run, "--split", "test")
    assert first == {name: (run / "predictions" / "test" / name).read_bytes() for name in first}
    scores = CharacterScores.read(run / "predictions" / "validation" / CHARACTERS_FILE)
    assert (len(scores), scores.aggregation) == (12, aggregation)
    example = read_own_split(load_run(run), "test", silence).examples[0]
    reply = json.loads(invoke("ask", run, example.question, "-c", example.contexts[0], "--json").stdout)
    predicted = read_nbest(run / "predictions" / "nbest.jsonl")[0]
    assert reply["answer"] == predicted.answer
    if aggregation == "mean":
        check_characters(scores, read_nbest(run / "predictions" / "validation" / "nbest.jsonl"))


def check_characters(scores: CharacterScores, predictions: Sequence[Any]) -> None:
    """Characters give every candidate's score, and no span of them beats the best one, up to float16's rounding."""
    for row, prediction in enumerate(predictions):
        first, last = (values.astype(np.float64) for values in scores.of(row, 0))
        null = float(scores.no_answer[row].sum())
        for each in prediction.candidates:
            assert first[each.start] + last[each.end - 1] - null == pytest.approx(each.score, abs=0.03)
        best = prediction.candidates[0].score + null
        for start in np.flatnonzero(first > -np.inf):
            reach = last[start : start + 30]  # 30 tokens, the longest answer, are 30 characters at least
            assert first[start] + reach.max() <= best + 0.03


def test_a_run_that_is_not_finished_says_so_wherever_it_answers_or_is_exported(
    small_run: Path, small_data: Path, invoke: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody takes the answers of half a training for those of the whole; an export is whole in its own way."""
    run, test = tmp_path / "run", small_data / "test.json"
    shutil.copytree(small_run, run)
    (run / "metrics.json").unlink()
    commands = (
        ("predict", run, "--input", test, "--output", tmp_path / "answers.csv"),
        ("evaluate", run),
        ("ask", run, "Who?", "-c", "The king"),
        ("export", run, "--merge", "--output", tmp_path / "merged"),
        ("export", run, "--offline", "--output", tmp_path / "offline"),
        ("export", run, "--kaggle", tmp_path / "kaggle", "--user", "ada", "-c", "qa-cup"),
    )
    for command in commands:
        result = invoke(*command)
        assert result.exit_code == 0, result.output
        assert "is not finished: the best weights that it has so far" in " ".join(result.stderr.split())
    qakit.load(run)
    assert "is not finished" in caplog.text
    for whole in (small_run, tmp_path / "offline" / "run"):
        answered = invoke("predict", whole, "--input", test, "--output", tmp_path / "answers.csv")
        assert "not finished" not in answered.output
