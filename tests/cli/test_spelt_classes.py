"""Booleans are one class in every format, and a submission has them as the training file does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from command_line import Invoke

from qakit.data.labels import classes_of, label_numbers, run_classes
from qakit.inference.nbest_file import read_nbest, write_nbest
from qakit.values import Example, LabelPrediction, SpeltClass, as_written, class_name

TEXTS = ("a great war", "in the city", "the king was early", "of the first church")


def rows(count: int, spelling: tuple[str, str] | None) -> str:
    header = "id,text" + (",label" if spelling else "")
    cells = [f"{i},{TEXTS[i % 4]}" + (f",{spelling[i % 2]}" if spelling else "") for i in range(count)]
    return "\n".join([header, *cells]) + "\n"


@pytest.fixture(scope="module")
def run(tiny_backbone: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of ``True`` and ``False``, judged on a file with JSON's own booleans."""
    folder = tmp_path_factory.mktemp("spelt")
    (folder / "train.csv").write_text(rows(16, ("True", "False")), "utf-8")
    (folder / "test.csv").write_text(rows(6, None), "utf-8")
    records = [{"id": i, "text": TEXTS[i % 4], "label": not i % 2} for i in range(8)]
    (folder / "dev.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"""\
data:
  reader: {{name: table, id: id, text_a: text, label: label}}
  train: {folder}/train.csv
  validation: {folder}/dev.jsonl
  test: {folder}/test.csv
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 32}}
preprocess: {{train: truncate, predict: truncate}}
head: classifier
train: {{epochs: 6, batch_size: 8, learning_rate: 3e-3, precision: fp32}}
metric: accuracy
writer: {{name: csv, id_column: id, answer_column: label}}
""",
        "utf-8",
    )
    result = invoke("train", recipe, "--output", folder / "run", "--quiet")
    assert result.exit_code == 0, result.output
    return folder / "run"


def labels(file: Path) -> set[str]:
    return {line.split(",")[1] for line in file.read_text("utf-8").splitlines()[1:]}


def test_a_submission_has_the_spelling_of_the_training_file(run: Path, tmp_path: Path, invoke: Invoke) -> None:
    submission = run / "predictions" / "submission.csv"
    assert labels(submission) <= {"True", "False"}
    done = invoke("predict", run, "-i", run.parent / "test.csv", "-o", tmp_path / "answers.csv")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "answers.csv").read_bytes() == submission.read_bytes()
    done = invoke("ensemble", run, submission, "-o", tmp_path / "both.csv", "--folder", tmp_path / "both", "--quiet")
    assert done.exit_code == 0, done.output
    assert labels(tmp_path / "both.csv") <= {"True", "False"}
    done = invoke("predict", run, "-i", run.parent / "test.csv", "-i", run.parent / "dev.jsonl", "-o", tmp_path / "m/")
    assert done.exit_code == 0, done.output
    assert "True" in (tmp_path / "m" / "test.csv").read_text() or "False" in (tmp_path / "m" / "test.csv").read_text()


def test_a_validation_file_that_spells_them_otherwise_judges_the_same(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    assert metrics["validation"]["accuracy"] >= 50


def test_the_most_usual_spelling_counts() -> None:
    def example(label: object) -> Example:
        return Example("x", "?", label=class_name(label))

    examples = [example(label) for label in ("TRUE", "True", "True", True, "FALSE", "yes")]
    assert list(map(as_written, classes_of(examples))) == ["FALSE", "True", "yes"]
    assert classes_of(examples) == ("false", "true", "yes")
    assert list(map(as_written, run_classes(["true", "false"], examples))) == ["True", "FALSE"]
    assert label_numbers(examples, ("false", "true", "yes")).tolist() == [1, 1, 1, 1, 0, 2]
    assert [as_written(name) for name in classes_of([example(True), example("maybe")])] == ["maybe", "true"]


def test_candidates_keep_the_spelling(tmp_path: Path) -> None:
    spelt = class_name("TRUE")
    assert isinstance(spelt, SpeltClass)
    assert as_written(pickle.loads(pickle.dumps(spelt))) == "TRUE"
    write_nbest(tmp_path / "nbest.jsonl", [LabelPrediction("a", spelt, (1.0,)), LabelPrediction("b", "True", (1.0,))])
    first, second = read_nbest(tmp_path / "nbest.jsonl")
    assert isinstance(first, LabelPrediction)
    assert isinstance(second, LabelPrediction)
    assert (first.label, as_written(str.__str__(first.label))) == ("true", "true")
    assert as_written(first.label) == "TRUE"  # type: ignore[arg-type]
    assert second.label == "True"
