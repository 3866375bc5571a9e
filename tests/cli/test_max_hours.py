"""`qakit train --max-hours`: whatever there is, a valid submission lies there in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Invoke

pytestmark = pytest.mark.usefixtures("forked_python")


def test_with_too_little_time_one_step_is_trained_and_the_test_file_predicted(
    small_recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = invoke("train", small_recipe, "--output", run, "--quiet", "--max-hours", "1e-6")
    assert result.exit_code == 0, result.output
    assert "0 s left, and the evaluation and prediction at the end need about" in result.output
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    assert metrics["clock"]["steps"] == metrics["best_step"] == 1
    assert metrics["submission"]["rows"] == 8
    assert metrics["submission"]["problems"] == []


def test_with_time_enough_nothing_changes(small_recipe: Path, small_run: Path, invoke: Invoke, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = invoke("train", small_recipe, "--output", run, "--quiet", "--max-hours", "100")
    assert result.exit_code == 0, result.output
    for name in ("metrics.jsonl", "recipe.yaml", "model/model.safetensors", "predictions/submission.csv"):
        assert (run / name).read_bytes() == (small_run / name).read_bytes(), name
    assert "clock" not in json.loads((small_run / "metrics.json").read_text("utf-8"))
    assert "elapsed" not in (small_run / "timings.jsonl").read_text("utf-8")


def test_a_shortened_training_says_so_wherever_it_is_shown(
    small_recipe: Path, small_run: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """Also as a part of a whole, with other answers of the same weights, and in comparisons with trainings that had
    all the time."""
    short = "has trained 1 of its recipe's 6 steps, since its time was limited"
    run, both = tmp_path / "runs" / "short", tmp_path / "runs" / "both"
    result = invoke("train", small_recipe, "--output", run, "--quiet", "--max-hours", "1e-6")
    assert result.exit_code == 0, result.output
    assert short in " ".join(result.output.split())
    assert invoke("ensemble", run, small_run, "--folder", both, "--quiet").exit_code == 0
    assert json.loads((both / "metrics.json").read_text("utf-8"))["clock"] == {"steps": 1, "of_steps": 6}
    listed = json.loads(invoke("runs", "list", tmp_path / "runs", "--json").stdout)
    assert {Path(row["run"]).name: row["cut_short"] for row in listed} == dict.fromkeys(
        ("short", "both"), short.removeprefix("has trained ")
    )
    assert short in " ".join(invoke("runs", "list", tmp_path / "runs").stdout.split())
    assert "1 of its recipe's 6 steps" in invoke("runs", "show", run).stdout
    compared = json.loads(invoke("compare", small_run, run, "--json").stdout)
    assert f"short {short}." in compared["notes"]
    assert not any(note.startswith("small ") for note in compared["notes"])


def test_a_ladder_and_a_study_say_which_of_their_trainings_were_shortened(
    small_recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    short = "has trained 1 of its recipe's 6 steps, since its time was limited."
    other = tmp_path / "other.yaml"
    other.write_text(f"extends: {small_recipe}\npredict: {{max_answer_length: 12}}\n", "utf-8")
    options = ("--quiet", "--max-hours", "1e-6")
    done = invoke("ladder", small_recipe, other, "--output", tmp_path / "ladder", *options)
    assert done.exit_code == 0, done.output
    notes = json.loads((tmp_path / "ladder" / "ladder.json").read_text("utf-8"))["notes"]
    assert [note for note in notes if "has trained" in note] == [f"small {short}", f"other {short}"]
    study = tmp_path / "study.yaml"
    study.write_text(f"name: two\nrecipe: {small_recipe}\nseeds: [1]\n", "utf-8")
    done = invoke("study", "run", study, "--output", tmp_path / "two", *options)
    assert done.exit_code == 0, done.output
    assert invoke("study", "report", tmp_path / "two").exit_code == 0
    assert short in (tmp_path / "two" / "REPORT.md").read_text("utf-8")


@pytest.mark.parametrize("hours", ["0", "-2", "nan", "inf"])
def test_what_is_no_time_is_refused_before_anything(small_recipe: Path, invoke: Invoke, hours: str) -> None:
    result = invoke("train", small_recipe, f"--max-hours={hours}")
    assert result.exit_code == 2
    assert "give hours above 0" in str(result.exception)
    result = invoke("train", small_recipe, "--set", f"train.max_hours={hours}", "--dry-run")
    assert result.exit_code == 2
    assert "train.max_hours should be" in str(result.exception)
