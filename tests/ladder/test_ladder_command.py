"""``qakit ladder``, as a user does it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def climbed(small_recipe: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path, Any]:
    """Three steps, of which the second fails."""
    folder = tmp_path_factory.mktemp("ladder")
    first, broken, last = (folder / f"{name}.yaml" for name in ("first", "broken", "last"))
    common = f"extends: {small_recipe}\ndata: {{test: null}}\nbaselines: {{low: 0, high: 99.5}}\n"
    first.write_text(f"{common}train: {{max_steps: 1, evaluate_before: false}}\n", "utf-8")
    broken.write_text(f"{common}windows: {{max_length: 4000}}\n", "utf-8")
    last.write_text(f"{common}train: {{max_steps: 2, evaluate_before: false, learning_rate: 2e-3}}\n", "utf-8")
    result = invoke("ladder", first, broken, last, "--output", folder / "out", "--resamples", "200", "--json")
    return [first, broken, last], folder / "out", result


def test_each_step_is_compared_with_the_one_before_and_a_failed_one_stands_with_its_error(climbed: Any) -> None:
    _, folder, result = climbed
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    first, broken, last = found["steps"]
    assert [step["name"] for step in found["steps"]] == ["first", "broken", "last"]
    assert "windows.max_length is 4000" in broken["error"]
    assert broken["score"] is None
    assert first["before"] is None
    assert last["before"] == "first"
    assert last["changes"] == {"train.learning_rate": "0.002", "train.max_steps": "2"}
    assert last["gain"]["mean"] == pytest.approx(last["score"] - first["score"])
    assert last["gain"]["low"] <= last["gain"]["mean"] <= last["gain"]["high"]
    assert last["passes"] == ["low"]
    assert list(found["baselines"]) == ["low", "high"]
    for step in (first, last):
        own = json.loads((folder / step["name"] / "metrics.json").read_text("utf-8"))
        assert step["score"] == pytest.approx(own["validation"][found["figure"]])
        assert step["seconds"] == own["seconds"]


def test_the_report_shows_the_stairs(climbed: Any) -> None:
    _, folder, _ = climbed
    page, text = ((folder / f"ladder.{ending}").read_text("utf-8") for ending in ("html", "md"))
    assert (folder / "ladder.png").is_file()
    assert "<svg" in page
    for report in (page, text):
        assert "Failed: broken" in report
        assert "train.learning" in report
    assert json.loads((folder / "ladder.json").read_text("utf-8"))["steps"][0]["name"] == "first"


def test_what_is_trained_is_not_trained_again_and_another_recipe_is_no_excuse(climbed: Any, invoke: Any) -> None:
    (first, broken, last), folder, _ = climbed
    model = folder / "first" / "model" / "model.safetensors"
    before = model.stat().st_mtime_ns
    broken.write_text(last.read_text("utf-8"), "utf-8")
    result = invoke("ladder", first, broken, last, "--output", folder, "--resamples", "200")
    assert result.exit_code == 0, result.output
    assert model.stat().st_mtime_ns == before
    assert "not distinguishable" in result.output
    result = invoke("ladder", first, last, "--output", folder, "--set", "seed=9", "--json")
    assert result.exit_code == 1
    assert all(
        "was begun with seed: 0, but the recipe now says seed: 9" in step["error"]
        for step in json.loads(result.stdout)["steps"]
    )


def test_a_step_of_older_training_data_is_told(small_recipe: Path, invoke: Any, tmp_path: Path) -> None:
    data = Path(shutil.copy(small_recipe.parent / "train.json", tmp_path))
    steps = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for number, step in enumerate(steps, start=1):
        train = f"train: {{max_steps: {number}, evaluate_before: false}}"
        step.write_text(f"extends: {small_recipe}\ndata: {{train: {data}}}\n{train}\n", "utf-8")
    assert invoke("ladder", steps[0], "--output", tmp_path / "out", "--resamples", "200").exit_code == 0
    data.write_text(data.read_text("utf-8") + "\n", "utf-8")
    result = invoke("ladder", *steps, "--output", tmp_path / "out", "--resamples", "200", "--json")
    assert result.exit_code == 0, result.output
    assert "a was trained on an older train.json" in " ".join(result.stderr.split())
    note = "train.json had other content when b was trained than for a"
    assert any(note in each for each in json.loads(result.stdout)["notes"])


def test_an_ensemble_of_the_steps_is_a_step(climbed: Any, invoke: Any) -> None:
    (first, _, last), folder, _ = climbed
    whole = first.parent / "whole.yaml"
    members = ", ".join(str(folder / name) for name in ("first", "last"))
    whole.write_text(f"ensemble: {{members: [{members}], method: nbest}}\n", "utf-8")
    result = invoke("ladder", first, last, whole, "--output", folder, "--resamples", "200", "--json")
    assert result.exit_code == 0, result.output
    step = json.loads(result.stdout)["steps"][2]
    assert step["before"] == "last"
    assert step["gain"] is not None
    assert any("an ensemble (nbest) of 2 members" in note for note in json.loads(result.stdout)["notes"])


def test_an_ensemble_that_trains_its_members_is_a_step(climbed: Any, invoke: Any, tmp_path: Path) -> None:
    (first, _, _), folder, _ = climbed
    grid = tmp_path / "grid.yaml"
    train = f"train: {{recipe: {first}, grid: {{train.learning_rate: [1e-3, 2e-3]}}}}"
    grid.write_text(f"ensemble: {{method: voting, {train}}}\n", "utf-8")
    for _ in range(2):
        result = invoke("ladder", first, grid, "--output", folder, "--resamples", "200", "--json")
        assert result.exit_code == 0, result.output
        step = json.loads(result.stdout)["steps"][1]
        members = list((folder / "grid" / "members").iterdir())
        seconds = [json.loads((each / "metrics.json").read_text("utf-8"))["seconds"] for each in members]
        assert step["seconds"] == pytest.approx(sum(seconds))
        assert step["gain"] is not None


def test_recipes_that_are_no_step(climbed: Any, invoke: Any, tmp_path: Path) -> None:
    (first, _, _), _, _ = climbed
    blind = tmp_path / "blind.yaml"
    blind.write_text(f"extends: {first}\ndata: {{validation: null}}\n", "utf-8")
    result = invoke("ladder", blind, "--output", tmp_path / "out", "--json")
    assert "sets no data.validation" in json.loads(result.stdout)["steps"][0]["error"]
    assert result.stderr.count("sets no data.validation") == 1
    result = invoke("ladder", first, first, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "two recipes are called first" in str(result.exception)
