"""`qakit data check` and training have one set of rules, and what a training ends with is said before it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke

from qakit.errors import DataError

CLASSES = """\
data:
  reader: {{name: table, id: id, text_a: text, label: label}}
  train: train.csv
  validation: val.csv
backbone: {{source: {backbone}}}
windows: {{max_length: 32}}
preprocess: {{train: truncate, predict: truncate}}
head: classifier
train: {{max_steps: 1, batch_size: 4, learning_rate: 1e-3, precision: fp32}}
metric: accuracy
writer: {{name: csv, id_column: id, answer_column: label}}
"""
ANSWERS = """\
data: {{reader: squad, train: train.json, validation: val.json}}
backbone: {{source: {backbone}}}
windows: {{max_length: 64, max_question_length: 16}}
"""


def table(*labels: object) -> str:
    return "id,text,label\n" + "".join(f"{number},the king {number},{label}\n" for number, label in enumerate(labels))


def squad(*answers: str) -> str:
    context = "the people of the south"
    qas = [
        {
            "id": f"{answers}{number}",
            "question": f"who {number}?",
            "answers": [{"text": text, "answer_start": context.index(text)}] if text else [],
            "is_impossible": not text,
        }
        for number, text in enumerate(answers)
    ]
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]})


@pytest.fixture
def recipe(tmp_path: Path, tiny_backbone: Path) -> Callable[..., Path]:
    """``recipe(CLASSES, train.csv=...)`` writes a recipe with its files."""

    def write(text: str, **files: str) -> Path:
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_text(content, "utf-8")
        path = tmp_path / "recipe.yaml"
        path.write_text(text.format(backbone=tiny_backbone), "utf-8")
        return path

    return write


STOPS: dict[str, tuple[str, dict[str, str], tuple[str, ...], str, str]] = {
    "a class that train lacks": (
        CLASSES,
        {"train_csv": table(0, 1, 0, 1), "val_csv": table(0, 2)},
        (),
        "unknown_label",
        r"val\.csv: 1 validation examples with a label that is none of the run's classes: 0, 1 \(id 1: '2'\)",
    ),
    "a class that data.labels lacks": (
        CLASSES,
        {"train_csv": table(0, 1, 2), "val_csv": table(0)},
        ("data.labels=[0, 1]",),
        "unknown_label",
        r"train\.csv: 1 train examples with a label that is none of the run's classes: 0, 1 \(id 2: '2'\)",
    ),
    "one class": (
        CLASSES,
        {"train_csv": table(0, 0), "val_csv": table(0)},
        (),
        "one_class",
        r"train\.csv: 1 class for all train examples, '0': there is nothing to tell apart",
    ),
    "a class where train has numbers": (
        CLASSES,
        {"train_csv": table(0.5, 1), "val_csv": table("") + "9,the king,\n"},
        ("data.reader.label_type=number", "metric=pearson_spearman"),
        "unlabelled_validation",
        r"val\.csv: 2 validation examples \(of 2\) without a label, which the head 'classifier' learns",
    ),
    "labels for a head of answers": (
        CLASSES,
        {"train_csv": table(0, 1), "val_csv": table(0)},
        ("head=linear_span", "metric=squad_v1"),
        "unlabelled_train, unlabelled_validation",
        r"2 problems:\n  - .*train\.csv: 2 train examples without answers, which the head 'linear_span' learns: all of",
    ),
    "answers for a head of labels": (
        ANSWERS,
        {"train_json": squad("people", "south"), "val_json": squad("people")},
        ("head=classifier", "metric=accuracy"),
        "unlabelled_train, unlabelled_validation",
        r"train\.json: 2 train examples without a label, which the head 'classifier' learns: all of them",
    ),
    "one context each for a head that chooses among them": (
        ANSWERS,
        {"train_json": squad("people", "south"), "val_json": squad("people")},
        ("head=multiple_choice", "metric=selection"),
        "one_context",
        r"train\.json: 2 train examples with a single context, which leave the head 'multiple_choice' no choice: name",
    ),
    "a metric for something else": (
        CLASSES,
        {"train_csv": table(0, 1), "val_csv": table(0)},
        ("metric=squad_v1",),
        "unjudged_validation",
        r"val\.csv: 1 validation examples cannot be judged: this metric scores answer texts",
    ),
}


@pytest.mark.parametrize("case", STOPS)
def test_what_stops_the_training_stops_the_check(case: str, recipe: Callable[..., Path], invoke: Invoke) -> None:
    text, files, overrides, names, said = STOPS[case]
    path, changes = recipe(text, **files), [part for each in overrides for part in ("--set", each)]
    checked = invoke("data", "check", path, *changes)
    assert checked.exit_code == 1, checked.output
    assert f"training would stop: {names}" in checked.stdout
    trained = invoke("train", path, "--dry-run", *changes)
    assert isinstance(trained.exception, DataError), trained.output
    assert re.search(said, str(trained.exception)), trained.exception


@pytest.mark.parametrize(
    ("train", "validation"),
    [(table(1, 0), table("1.0", "0.0")), (table("True", "False"), table("true", "FALSE")), (table("", 1, 0), table(1))],
)
def test_where_training_can_start_the_check_says_so(
    train: str, validation: str, recipe: Callable[..., Path], invoke: Invoke
) -> None:
    path = recipe(CLASSES, train_csv=train, val_csv=validation)
    checked = invoke("data", "check", path)
    assert "training can start" in checked.stdout, checked.output
    assert invoke("train", path, "--dry-run").exit_code == 0


@pytest.mark.parametrize("metric", ["squad_v1", "squad_v2"])
def test_unanswerable_questions_without_no_answer_are_counted_before_the_training(
    metric: str, recipe: Callable[..., Path], invoke: Invoke
) -> None:
    path = recipe(ANSWERS, train_json=squad("people", "", ""), val_json=squad("people", ""))
    chosen = ("--set", f"metric={metric}")
    checked, trained = invoke("data", "check", path, *chosen, "--json"), invoke("train", path, "--dry-run", *chosen)
    report = json.loads(checked.stdout)
    assert report["exit_code"] == trained.exit_code == 0, trained.output
    found = {finding["name"]: finding for split in report["splits"] for finding in split["findings"]}
    assert [found[f"unanswerable_{name}"]["count"] for name in ("train", "validation")] == [2, 1]
    assert "warning: 2 train examples (of 3) have no answer, and predict.no_answer is false" in trained.output
    assert "warning: 1 validation examples (of 2) have no answer, and predict.no_answer is false" in trained.output
    assert ("which the metric squad_v2 is made for" in trained.output) == (metric == "squad_v2")
    assert "EM ceiling: 50.00% of all questions (1 of 2), 100.00% of the 1 that have an answer" in (
        invoke("data", "check", path, "--set", "metric=exact_match").stdout
    )
    # SQuAD's rules take an answer of nothing but articles and marks for none
    assert "EM ceiling: 100.00% of all questions (2 of 2)" in invoke("data", "check", path, *chosen).stdout


def test_with_no_answer_there_is_nothing_to_warn_of(recipe: Callable[..., Path], invoke: Invoke) -> None:
    path = recipe(ANSWERS, train_json=squad("people", ""), val_json=squad("people", ""))
    chosen = ("--set", "predict.no_answer=true", "--set", "metric=squad_v2")
    checked = invoke("data", "check", path, *chosen)
    assert "EM ceiling: 100.00% of all questions (2 of 2), 100.00% of the 1 that have an answer" in checked.stdout
    assert "no_answer is false" not in checked.output + invoke("train", path, "--dry-run", *chosen).output


def test_the_sample_is_compared_with_the_test_file_before_the_training(
    recipe: Callable[..., Path], tmp_path: Path, invoke: Invoke
) -> None:
    path = recipe(CLASSES, train_csv=table(0, 1), val_csv=table(0), test_csv=table(-1, -1))
    sample = tmp_path / "sample.csv"
    files = ("--set", "data.test=test.csv", "--set", "data.sample_submission=sample.csv")
    files = tuple(each.replace("=", f"={tmp_path}/") if "=" in each else each for each in files)
    sample.write_text("Id,label\n0,0\n7,0\n", "utf-8")
    said = [
        f"2 answers to the test file will not fit the sample submission: {sample}: {problem}"
        for problem in (
            "the columns are 'id,label', the sample has 'Id,label'",
            "1 ids of the sample are missing: 7",
            "1 ids are not in the sample: 1",
        )
    ]
    dry = invoke("train", path, "--dry-run", *files)
    assert dry.exit_code == 0
    report: dict[str, Any] = json.loads(invoke("data", "check", path, *files, "--json").stdout)
    findings = report["splits"][2]["findings"]
    for line in said:
        assert f"warning: {line}" in dry.output
        assert line.partition(" ")[2] in [finding["meaning"] for finding in findings]
    sample.write_text("id,label\n0,0\n1,0\n", "utf-8")
    assert "sample submission" not in invoke("train", path, "--dry-run", *files).output


def test_placeholders_in_a_test_file_cost_no_row_of_the_submission(
    recipe: Callable[..., Path], tmp_path: Path, invoke: Invoke
) -> None:
    path = recipe(CLASSES, train_csv=table(0, 1, 0, 1), val_csv=table(0, 1), test_csv=table(-1, "", "TBD"))
    run, answers = tmp_path / "run", tmp_path / "answers.csv"
    (tmp_path / "sample.csv").write_text("id,label\n0,0\n1,0\n8,0\n", "utf-8")
    result = invoke(
        "train",
        path,
        *("--set", f"data.test={tmp_path}/test.csv", "--set", "data.problems.bad_label=skip"),
        *("--set", f"data.sample_submission={tmp_path}/sample.csv", "--output", run, "--quiet"),
    )
    assert result.exit_code == 0, result.output
    ids = [line.partition(",")[0] for line in (run / "predictions" / "submission.csv").read_text().splitlines()]
    assert ids == ["id", "0", "1", "2"]
    missing = "1 ids of the sample are missing: 8"
    assert result.output.count(missing) == 2, "before and after the training"
    predicted = invoke("predict", run, "--input", tmp_path / "test.csv", "--output", answers, "--json")
    assert predicted.exit_code == 0
    assert f"warning: {answers} against {tmp_path}/sample.csv: {missing}" in predicted.stderr
    assert len(answers.read_text().splitlines()) == 4
    (tmp_path / "sample.csv").unlink()
    predicted = invoke("predict", run, "--input", tmp_path / "test.csv", "--output", answers)
    assert "ids and columns were not checked: the sample submission" in predicted.stderr
    evaluated = invoke("evaluate", run, "--input", tmp_path / "test.csv", "--json")
    assert isinstance(evaluated.exception, DataError), "where figures are asked, labels are needed"


def test_a_metric_for_a_class_that_there_is_not_is_refused(recipe: Callable[..., Path], invoke: Invoke) -> None:
    """Its figure would be 0 whatever the model says."""
    path = recipe(CLASSES, train_csv=table(*"abab"), val_csv=table("a", "b"))
    for positive, code in (("b", 0), ("B", 2)):
        metric = f"metric={{name: accuracy_f1, positive: {positive}}}"
        result = invoke("train", path, "--set", metric, "--dry-run", "--json")
        assert result.exit_code == code, result.output
    assert "judged by metric.positive, 'B', no class: 'a', 'b'" in str(result.exception)
    checked = invoke("data", "check", path, "--set", metric, "--json")
    assert checked.exit_code == 1
    assert "unknown_positive" in checked.stdout
