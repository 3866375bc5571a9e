"""Commands on models without a run, and trainings that begin with a model's own head."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import published
import pytest
from hub import models
from hub.server import HubServer
from transformers import AutoModelForQuestionAnswering

import qakit
from qakit.errors import RecipeError, UsageError

pytestmark = pytest.mark.slow

QUESTION, CONTEXT = "Where is Normandy?", "The Normans gave their name to Normandy, a region in France."


@pytest.fixture(scope="module")
def model(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [paragraph["context"] for paragraph in paragraphs(small_data / "train.json")]
    return published.publish("Bert", texts, tmp_path_factory.mktemp("published") / "bert")


def paragraphs(file: Path) -> list[dict[str, Any]]:
    return [each for article in json.loads(file.read_text("utf-8"))["data"] for each in article["paragraphs"]]


def test_a_model_is_asked_predicts_and_is_evaluated(model: Path, small_data: Path, invoke: Any, tmp_path: Path) -> None:
    reply = json.loads(invoke("ask", model, QUESTION, "-c", CONTEXT, "--json").stdout)
    assert reply["answer"] in CONTEXT and reply["no_answer"] is None
    output, nbest = tmp_path / "answers.json", tmp_path / "nbest.jsonl"
    result = invoke("predict", model, "--input", small_data / "test.json", "--output", output, "--nbest", nbest)
    assert result.exit_code == 0, result.output
    answers = json.loads(output.read_text())
    asked = [
        (each, paragraph["context"]) for paragraph in paragraphs(small_data / "test.json") for each in paragraph["qas"]
    ]
    by_api = qakit.load(model).answer([each["question"] for each, _ in asked], [context for _, context in asked])
    assert answers == {each["id"]: reply.answer for (each, _), reply in zip(asked, by_api, strict=True)}

    evaluated = invoke("evaluate", model, "--input", small_data / "dev.json", "--json")
    figures = json.loads(evaluated.stdout)["figures"]
    predicted = tmp_path / "dev.json"
    invoke("predict", model, "--input", small_data / "dev.json", "--output", predicted)
    scored = invoke("score", "-m", "squad_v1", "-g", small_data / "dev.json", "-p", predicted, "--json")
    assert figures["f1"] == pytest.approx(json.loads(scored.stdout)["f1"])


def test_no_answer_reader_and_metric_are_given_by_options(model: Path, invoke: Any, tmp_path: Path) -> None:
    table = tmp_path / "dev.jsonl"
    rows = [{"id": "1", "question": QUESTION, "context": CONTEXT, "answers": {"text": [], "answer_start": []}}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with_none = ("--set", "predict.no_answer=true", "--set", "predict.null_threshold=-1000")
    reader = ["--reader", "table"]
    for name in ("id", "question", "context", "answers"):
        reader += ["--reader-set", f"{name}={name}"]
    options = ("--input", table, *reader, "--metric", "squad_v2", *with_none, "--json")
    result = invoke("evaluate", model, *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["figures"]["NoAns_f1"] == 100
    reply = json.loads(invoke("ask", model, QUESTION, "-c", CONTEXT, *with_none, "--json").stdout)
    assert reply["answer"] == "" and reply["candidates"] and 0 < reply["no_answer"]["probability"] < 1
    refused = invoke("evaluate", model, "--input", table, *reader, "--threshold", "1")
    unset = invoke("evaluate", model, "--input", table, "--reader", "table")
    assert str(unset.exception).startswith("the recipe: the reader 'table': give `question`")
    assert "this one answers every question: say otherwise with --set predict.no_answer=true" in str(refused.exception)


def test_a_table_without_answers_is_told_how_to_name_their_column(model: Path, invoke: Any, tmp_path: Path) -> None:
    table = tmp_path / "dev.csv"
    table.write_text(f'id,q,c,a\n1,{QUESTION},"{CONTEXT}",France\n')
    reader = ["--reader", "table", "--reader-set", "question=q", "--reader-set", "context=c"]
    refused = invoke("evaluate", model, "--input", table, *reader)
    assert "name it with --reader-set answer_text=COLUMN (lists: answers=COLUMN)" in str(refused.exception)
    done = invoke("evaluate", model, "--input", table, *reader, "--reader-set", "answer_text=a", "--json")
    assert done.exit_code == 0, done.output


def test_many_files_are_answered_by_a_model_and_belong_to_it(
    model: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    output = tmp_path / "answers"
    inputs = ("--input", small_data / "test.json", "--input", small_data / "dev.json", "--output", f"{output}/")
    done = json.loads(invoke("predict", model, *inputs, "--format", "csv", "--json").stdout)
    assert (done["answered"], done["rows"]) == (2, 20)
    assert all(row["answer"] for row in csv.DictReader((output / "test.csv").open(newline="")))
    again = json.loads(invoke("predict", model, *inputs, "--format", "csv", "--json").stdout)
    assert (again["answered"], again["skipped"]) == (0, 2)
    other = published.publish("DistilBert", [CONTEXT], tmp_path / "bert")
    refused = invoke("predict", other, *inputs, "--format", "csv", "--json")
    assert refused.exit_code == 2 and str(output) in str(refused.exception)


def test_questions_without_a_split_of_their_own_must_be_given(model: Path, invoke: Any) -> None:
    for command in (("evaluate", model), ("predict", model, "--split", "validation")):
        result = invoke(*command)
        assert isinstance(result.exception, UsageError)
        assert str(result.exception) == "the run's recipe names no validation file; give the questions with --input"
    wrong = invoke("ask", model, QUESTION, "-c", CONTEXT, "--set", "predict.no_answr=true")
    assert isinstance(wrong.exception, RecipeError) and "did you mean 'no_answer'" in str(wrong.exception)


@pytest.mark.parametrize(("question", "context"), [("", CONTEXT), (" ", CONTEXT), (QUESTION, ""), (QUESTION, " \n")])
def test_an_empty_question_is_told_before_a_model_is_looked_for(invoke: Any, question: str, context: str) -> None:
    result = invoke("ask", "deepset/nosuch", question, "-c", context)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("the question is" if context == CONTEXT else "the context is empty")


def test_a_name_on_the_hub_is_enough(hub: HubServer, invoke: Any, small_data: Path) -> None:
    name = "deepset/roberta-base-squad2"
    hub.publish(name, models.files_of(name))
    assert invoke("ask", name, QUESTION, "-c", CONTEXT).exit_code == 0
    result = invoke("evaluate", name, "--input", small_data / "dev.json", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["figures"]["f1"] >= 0


def test_an_exported_model_answers_with_what_was_tuned(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    assert invoke("export", small_run, "--merge", "--output", exported).exit_code == 0
    one, other = (qakit.load(each).answer(QUESTION, CONTEXT, top_k=3) for each in (small_run, exported))
    assert [each.text for each in one.candidates] == [each.text for each in other.candidates]
    for ours, alone in zip(one.candidates, other.candidates, strict=True):
        assert alone.probability == pytest.approx(ours.probability, abs=1e-5)


def test_a_training_begins_with_the_models_head_and_its_adapter_is_opened_again(
    model: Path, small_recipe: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    changes = [f"backbone.source={model}", "adapter=lora", "train.keep=adapter", "train.max_steps=2"]
    settings = [option for change in changes for option in ("--set", change)]
    result = invoke("train", small_recipe, "--output", run, *settings)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert f"begins with the encoder and the head of {model}" in said
    assert "not used from the backbone's file" not in said
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    alike = ["windows.max_length=128", "windows.max_question_length=32", "preprocess.predict.overlap=32"]
    alike.append("predict.aggregation=mean")  # as a training has it by default; a published model has not
    same = [option for change in alike for option in ("--set", change)]
    alone = invoke("evaluate", model, "--input", small_data / "dev.json", *same, "--json")
    assert first["f1"] == pytest.approx(json.loads(alone.stdout)["figures"]["f1"])  # before the first step
    figures = json.loads(invoke("evaluate", run, "--input", small_data / "dev.json", "--json").stdout)["figures"]
    assert figures == pytest.approx(json.loads((run / "metrics.json").read_text())["validation"])


def test_a_fresh_head_can_be_asked_for(model: Path, small_recipe: Path, invoke: Any, tmp_path: Path) -> None:
    settings = ["--set", f"backbone.source={model}", "--set", "backbone.head=fresh", "--set", "train.max_steps=1"]
    result = invoke("train", small_recipe, "--output", tmp_path / "run", *settings)
    said = " ".join(result.output.split())
    assert f"begins with the encoder of {model}; the head is fresh: backbone.head is fresh" in said
    theirs = AutoModelForQuestionAnswering.from_pretrained(model).qa_outputs.weight
    ours = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "run" / "model").qa_outputs.weight
    assert (theirs - ours).abs().max() > 0.1
