"""`qakit train --max-hours`: whatever there is, a valid submission lies there in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Invoke


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


@pytest.mark.parametrize("hours", ["0", "-2", "nan", "inf"])
def test_what_is_no_time_is_refused_before_anything(small_recipe: Path, invoke: Invoke, hours: str) -> None:
    result = invoke("train", small_recipe, f"--max-hours={hours}")
    assert result.exit_code == 2
    assert "give hours above 0" in str(result.exception)
    result = invoke("train", small_recipe, "--set", f"train.max_hours={hours}", "--dry-run")
    assert result.exit_code == 2
    assert "train.max_hours should be" in str(result.exception)
