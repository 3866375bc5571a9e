"""From Natural Questions' files to a submission: ``init``, a training, the tokens of long and short answers."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke

PASSAGES = ("<P> The tide rises twice a day . </P>", "<P> Near Ulm there is none . </P>")


def question(number: int) -> dict[str, Any]:
    """A question with one short answer, a long one alone, yes, or none."""
    text = " ".join(("Tides", *PASSAGES, str(number)))
    passages, at = [], 1
    for passage in PASSAGES:
        end = at + len(passage.split())
        passages.append({"start_token": at, "end_token": end, "top_level": True})
        at = end
    long = passages[number % 2] if number % 4 != 3 else {"start_token": -1, "end_token": -1}
    return {
        "example_id": number - 10,
        "question_text": f"{'does' if number % 4 == 1 else 'how often does'} tide {number} rise",
        "document_text": text,
        "long_answer_candidates": passages,
        "annotations": [
            {
                "long_answer": long,
                "short_answers": [{"start_token": 5, "end_token": 6}] if number % 4 == 0 else [],
                "yes_no_answer": "YES" if number % 4 == 1 else "NONE",
            }
        ],
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Training file, test file, sample submission, named as Kaggle does."""
    train, test = tmp_path / "simplified-nq-train.jsonl", tmp_path / "simplified-nq-test.jsonl"
    train.write_text("".join(json.dumps(question(number)) + "\n" for number in range(40)))
    asked = [{name: value for name, value in question(50 + n).items() if name != "annotations"} for n in range(4)]
    test.write_text("".join(json.dumps(each) + "\n" for each in asked))
    sample = tmp_path / "sample_submission.csv"
    ids = (f"{each['example_id']}_{kind}" for each in asked for kind in ("long", "short"))
    sample.write_text("example_id,PredictionString\n" + "".join(f"{identifier},\n" for identifier in ids))
    return train, test, sample


def test_from_init_to_a_submission(
    files: tuple[Path, Path, Path], tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    train, test, sample = files
    recipe = tmp_path / "nq.yaml"
    given = ("--validation", train, "--test", test, "--sample-submission", sample, "--backbone", tiny_backbone)
    drafted = invoke("init", train, *given, "-o", recipe)
    assert drafted.exit_code == 0, drafted.output
    less = ("--set", "train.max_steps=2", "--set", "train.precision=fp32", "--output", tmp_path / "run", "--quiet")
    done = invoke("train", recipe, *less)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]
    assert {"micro_f1", "long_f1", "short_f1"} <= figures.keys()
    with (tmp_path / "run" / "predictions" / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with sample.open(newline="") as file:
        assert [row["example_id"] for row in rows] == [row["example_id"] for row in csv.DictReader(file)]
    hidden = test.rename(tmp_path / "hidden.jsonl")
    exports = (("--kaggle", tmp_path / "k", "--user", "ada", "-c", "cup"), ("--offline", "--output", tmp_path / "o"))
    for given, run in zip(exports, (tmp_path / "k" / "dataset" / "run", tmp_path / "o" / "run"), strict=True):
        exported = invoke("export", tmp_path / "run", *given)
        assert exported.exit_code == 0, exported.output
        assert str(test) not in (run / "recipe.yaml").read_text(), "there is no such file elsewhere"
        answered = invoke("predict", run, "--input", hidden, "--output", tmp_path / "hidden.csv", "--quiet")
        assert answered.exit_code == 0, answered.output
        with (tmp_path / "hidden.csv").open(newline="") as file:
            assert list(csv.DictReader(file)) == rows
    given_answers = [row["PredictionString"] for row in rows]
    passages = {f"{each['start_token']}:{each['end_token']}" for each in question(0)["long_answer_candidates"]}
    assert {*given_answers[::2]} <= passages | {""}
    for answer in filter(None, given_answers[1::2]):
        first, stop = map(int, answer.split(":"))
        assert 1 <= first < stop <= 16


def test_yes_is_learnt_where_the_head_learns_it(
    files: tuple[Path, Path, Path], tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    train, test, _ = files
    data = {"reader": "natural_questions", "train": str(train), "validation": str(train), "test": str(test)}
    spaced = {"name": "every_context", "train_contexts": 2}
    recipe = {
        "data": data,
        "backbone": {"source": str(tiny_backbone)},
        "preprocess": {"train": spaced, "predict": "every_context"},
        "head": {"name": "joint_span", "yes_no_weight": 5.0},
        "windows": {"max_length": 64},
        "train": {"epochs": 4, "batch_size": 4, "learning_rate": 0.005, "precision": "fp32"},
        "predict": {"no_answer": True},
        "metric": "micro_f1",
        "writer": {"name": "natural_questions", "questions": str(test)},
    }
    (tmp_path / "nq.yaml").write_text(json.dumps(recipe))
    done = invoke("train", tmp_path / "nq.yaml", "--output", tmp_path / "run", "--quiet")
    assert done.exit_code == 0, done.output
    kept = [json.loads(line) for line in (tmp_path / "run/predictions/validation/nbest.jsonl").open()]
    said = [each["candidates"][0]["text"] == "yes" for each in kept]
    (yes,) = {each["start"] for line in kept for each in line["candidates"] if each["text"] == "yes"}
    assert yes is None
    assert any(said)
    with (tmp_path / "run" / "predictions" / "submission.csv").open(newline="") as file:
        short = [row["PredictionString"] for row in csv.DictReader(file)][1::2]
    answers = [line["answer"] for line in map(json.loads, (tmp_path / "run/predictions/nbest.jsonl").open())]
    assert [each == "YES" for each in short] == [each == "yes" for each in answers] == [False, False, False, True]
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    for method in ("nbest", "voting"):
        members = (tmp_path / "run", tmp_path / "again")
        done = invoke("ensemble", *members, "--method", method, "-o", tmp_path / f"{method}.jsonl", "--quiet")
        assert done.exit_code == 0, done.output
    assert [json.loads(line)["answer"] for line in (tmp_path / "voting.jsonl").open()] == answers
    # the same head without it is told what it cannot learn, and one where there is nothing to learn is refused
    checked = invoke("data", "check", tmp_path / "nq.yaml", "--set", "head.yes_no_weight=0")
    assert "10 train examples (of 40) are answered by yes or no" in " ".join(checked.output.split())
    train.write_text("".join(line for line in train.open() if '"YES"' not in line))
    refused = invoke("train", tmp_path / "nq.yaml", "--output", tmp_path / "other", "--quiet")
    assert "the head would learn that there is no such answer" in str(refused.exception)
    mean = invoke("train", tmp_path / "nq.yaml", "--set", "predict.aggregation=mean", "--output", tmp_path / "o")
    assert "learns yes and no, which no token stands for" in str(mean.exception)
