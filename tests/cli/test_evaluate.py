"""`qakit evaluate` on a run whose questions may have no answer: threshold, calibration, intervals, curve."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import RunError, UsageError

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def mixed_data(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small files with every third question unanswerable."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("train", "dev"):
        document = json.loads((small_data / f"{name}.json").read_text("utf-8"))
        questions = [q for article in document["data"] for part in article["paragraphs"] for q in part["qas"]]
        for question in questions[::3]:
            question["answers"], question["is_impossible"] = [], True
        (folder / f"{name}.json").write_text(json.dumps(document), "utf-8")
    return folder


@pytest.fixture(scope="module")
def null_run(mixed_data: Path, small_recipe: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "null"
    values = {
        "data.train": mixed_data / "train.json",
        "data.validation": mixed_data / "dev.json",
        "predict.no_answer": "true",
        "metric": "squad_v2",
    }
    overrides = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    result = invoke("train", small_recipe, "--output", folder, "--quiet", *overrides)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def evaluated(null_run: Path, mixed_data: Path, invoke: Any) -> Any:
    """Run `qakit evaluate --json` on the validation file."""

    def run(*arguments: object) -> Any:
        result = invoke("evaluate", null_run, "--input", mixed_data / "dev.json", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


def test_training_keeps_a_threshold_a_temperature_and_a_picture(null_run: Path) -> None:
    decision = json.loads((null_run / "model" / "decision.json").read_text())
    metrics = json.loads((null_run / "metrics.json").read_text())
    assert metrics["null_threshold"] == decision["null_threshold"]
    assert metrics["calibration"] == decision["calibration"]
    assert set(metrics["calibration"]) == {"temperature", "ece_before", "ece_after"}
    assert metrics["calibration"]["temperature"] == decision["temperature"] > 0
    assert (null_run / "predictions" / "validation" / "threshold.png").read_bytes().startswith(PNG)


def test_the_validation_file_gives_what_training_said(null_run: Path, evaluated: Any) -> None:
    metrics = json.loads((null_run / "metrics.json").read_text())
    report = evaluated()
    assert report["figures"] == pytest.approx(metrics["validation"])
    assert report["calibration"] == pytest.approx(metrics["calibration"])
    assert report["threshold"]["source"] == "validation"
    assert report["threshold"]["value"] == metrics["null_threshold"]
    for name in ("exact", "f1"):
        low, high = report["intervals"][name]
        assert low <= report["figures"][name] <= high
    # The threshold was tuned on this very file, for the primary figure.
    assert report["oracle"]["f1"]["value"] == pytest.approx(report["figures"]["f1"])
    assert report["oracle"]["exact"]["value"] >= report["figures"]["exact"] - 1e-9


@pytest.mark.parametrize(("threshold", "answered"), [("1e9", 12), ("-1e9", 0)])
def test_a_threshold_beyond_all_scores_answers_all_or_nothing(evaluated: Any, threshold: str, answered: int) -> None:
    report = evaluated("--threshold", threshold)
    assert report["threshold"] == {"value": float(threshold), "source": "option", "answered": answered}
    assert report["oracle"] == evaluated()["oracle"]
    if not answered:
        assert report["figures"]["exact"] == pytest.approx(100 * 4 / 12)
        assert report["figures"]["HasAns_exact"] == 0.0


def test_every_question_as_a_table_and_as_a_page(evaluated: Any, tmp_path: Path) -> None:
    table, page = tmp_path / "questions.csv", tmp_path / "questions.html"
    report = evaluated("--errors", "--questions", table)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == report["questions"]
    assert sum(float(row["exact"]) for row in rows) / len(rows) == pytest.approx(report["figures"]["exact"])
    causes = Counter(row["cause"] for row in rows if row["is_right"] == "0")
    assert causes == {cause: count for cause, count in report["expected"]["errors"].items() if count}
    evaluated("--errors", "--questions", page, "--threshold", "1.5")
    data = json.loads(
        page.read_text("utf-8").partition('<script type="application/json" id="data">')[2].partition("</")[0]
    )
    assert data["runs"][0]["threshold"] == 1.5
    for question in data["questions"]:
        texts = [data["texts"][place] for place in question["c"]]
        assert {context for context, _, _ in question["w"]} == set(range(len(texts)))
        for number, text in enumerate(texts):
            seen = {at for context, start, end in question["w"] if context == number for at in range(start, end)}
            assert {at for at, letter in enumerate(text) if letter.isalnum()} <= seen


def test_a_threshold_among_the_values_is_one_that_is_given(evaluated: Any) -> None:
    given, chosen = evaluated("--set", "predict.null_threshold=0.5"), evaluated("--threshold", "0.5")
    assert given["figures"] == chosen["figures"]
    assert given["threshold"] == chosen["threshold"] | {"source": "recipe"}


def test_the_oracle_keeps_its_promise(evaluated: Any) -> None:
    oracle = evaluated()["oracle"]
    for name in ("exact", "f1"):
        again = evaluated(f"--threshold={oracle[name]['threshold']}")
        assert again["figures"][name] == pytest.approx(oracle[name]["value"])


@pytest.mark.usefixtures("drawn_pictures")
def test_the_curve_and_the_table(null_run: Path, mixed_data: Path, invoke: Any, tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    result = invoke(
        "evaluate", null_run, "--input", mixed_data / "dev.json", "--curve", picture, "--threshold", "0.125"
    )
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(PNG)
    for words in ("95% interval", "oracle", "0.125 (given by --threshold)", "calibration error", str(picture)):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--threshold", "nan"), "must be a finite number"),
        (("--curve", "curve.pdf"), "must end in .png"),
    ],
)
def test_options_that_make_no_sense(
    null_run: Path, mixed_data: Path, invoke: Any, arguments: tuple[str, ...], words: str
) -> None:
    result = invoke("evaluate", null_run, "--input", mixed_data / "dev.json", *arguments)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)
    assert result.exit_code == 2


@pytest.mark.parametrize("arguments", [("--threshold", "1"), ("--curve", "curve.png")])
def test_a_run_that_answers_every_question_has_no_threshold(
    small_run: Path, small_data: Path, invoke: Any, arguments: tuple[str, str]
) -> None:
    result = invoke("evaluate", small_run, "--input", small_data / "dev.json", *arguments)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(f"{arguments[0]} is for runs whose questions may have no answer")
    report = json.loads(invoke("evaluate", small_run, "--input", small_data / "dev.json", "--json").stdout)
    assert (report["threshold"], report["oracle"]) == (None, None)
    assert set(report["intervals"]) == {"exact_match", "f1"}
    assert not (small_run / "predictions" / "validation" / "threshold.png").exists()


def test_probabilities_come_from_the_stored_temperature(
    null_run: Path, mixed_data: Path, invoke: Any, tmp_path: Path
) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(null_run, run)
    decision = json.loads((run / "model" / "decision.json").read_text())

    def predicted(temperature: float | None) -> list[dict[str, Any]]:
        changed = {key: value for key, value in decision.items() if key != "temperature"}
        if temperature is not None:
            changed["temperature"] = temperature
        (run / "model" / "decision.json").write_text(json.dumps(changed))
        file, output = tmp_path / "nbest.jsonl", tmp_path / "answers.json"
        result = invoke("predict", run, "--input", mixed_data / "dev.json", "--output", output, "--nbest", file)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    without, one, hot = predicted(None), predicted(1.0), predicted(50.0)
    assert without == one
    for cold, warm in zip(one, hot, strict=True):
        assert cold["answer"] == warm["answer"]
        assert [each["score"] for each in cold["candidates"]] == [each["score"] for each in warm["candidates"]]
        shares = [each["probability"] for each in warm["candidates"]] + [warm["null"]["probability"]]
        assert max(shares) - min(shares) < 0.1  # all nearly equal
    (run / "model" / "decision.json").write_text(json.dumps(decision | {"temperature": 0}))
    refused = invoke("ask", run, "Who?", "-c", "A text.")
    assert isinstance(refused.exception, RunError)
    assert "the temperature is 0; it must be a positive number" in str(refused.exception)


def test_formulas_in_the_table_of_questions_are_told(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    question = {"id": "=1+1", "question": "=HYPERLINK(1)", "answers": [{"text": "+2", "answer_start": 0}]}
    article = {"title": "t", "paragraphs": [{"context": "+2 towers", "qas": [question]}]}
    (tmp_path / "dev.json").write_text(json.dumps({"data": [article]}), "utf-8")
    given = ("evaluate", small_run, "--input", tmp_path / "dev.json", "--questions")
    result = invoke(*given, tmp_path / "questions.csv")
    assert result.exit_code == 0, result.output
    assert "ids or answers begin like a spreadsheet formula" in " ".join(result.output.split())
    assert "spreadsheet formula" not in invoke(*given, tmp_path / "questions.html").output


def test_questions_that_the_model_was_trained_on_are_told(small_run: Path, small_data: Path, invoke: Any) -> None:
    trained_on = invoke("evaluate", small_run, "--input", small_data / "train.json")
    assert trained_on.exit_code == 0, trained_on.output
    assert "the model was trained on 48 of these 48 questions" in " ".join(trained_on.output.split())
    assert "was trained on" not in invoke("evaluate", small_run, "--input", small_data / "dev.json").output
