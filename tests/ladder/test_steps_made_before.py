"""What ``qakit ladder`` takes over of runs that are there, and what it refuses; nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ensemble.made_up import questions, write_questions, write_run

COUNT = 12
EXTRA = {"train": {"learning_rate": 1e-4}, "baselines": {"low": 10.0}}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A ladder's folder with two steps, and their recipes beside them."""
    folder, examples = tmp_path / "out", questions(COUNT)
    folder.mkdir()
    write_questions(tmp_path / "data.json", examples)
    for number, name in enumerate(("first", "second")):
        right = [n % 3 != number for n in range(COUNT)]
        run = write_run(folder / name, tmp_path / "data.json", examples, right, extra=EXTRA)
        metrics = {"validation": {"exact": 60.0 + number, "f1": 60.0 + number}, "seconds": 1.0}
        (run / "metrics.json").write_text(json.dumps(metrics), "utf-8")
        recipe = json.loads((folder / f"{name}.yaml").read_text("utf-8"))
        recipe["data"] |= {"train": str(tmp_path / "data.json")}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(recipe), "utf-8")
        resolved = (run / "recipe.yaml").read_text("utf-8")
        (run / "recipe.yaml").write_text(resolved.replace("train: null", f"train: {tmp_path}/data.json", 1), "utf-8")
    return folder


def change(file: Path, **changed: Any) -> None:
    """Write other values into a recipe."""
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | changed), "utf-8")


def ladder(invoke: Any, *recipes: Path, output: Path, **options: str) -> dict[str, Any]:
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    result = invoke("ladder", *recipes, "--output", output, "--resamples", "100", "--json", *words)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_names_and_baselines_are_those_of_the_recipe_now(out: Path, invoke: Any) -> None:
    first, second = (out.parent / f"{name}.yaml" for name in ("first", "second"))
    found = ladder(invoke, first, second, output=out)
    assert [step["error"] for step in found["steps"]] == [None, None]
    assert found["baselines"] == {"low": 10.0}
    for file in (first, second):
        change(file, description="As it is now", baselines={"middle": 50.0, "high": 99.0})
    found = ladder(invoke, first, second, output=out)
    assert [step["error"] for step in found["steps"]] == [None, None]
    assert found["baselines"] == {"middle": 50.0, "high": 99.0}
    assert found["steps"][1]["passes"] == ["middle"]
    assert "baselines" not in json.dumps(found["steps"][1]["changes"])
    change(second, seed=3)
    found = ladder(invoke, first, second, output=out)
    assert found["steps"][0]["error"] is None
    assert "was begun with seed: 0, but the recipe now says seed: 3" in found["steps"][1]["error"]


def test_set_is_refused_for_runs_from_elsewhere_alone(out: Path, invoke: Any) -> None:
    whole = out.parent / "whole.yaml"
    whole.write_text(f"ensemble: {{members: [{out}/first, {out}/second], method: nbest}}\n", "utf-8")
    (step,) = ladder(invoke, whole, output=out.parent / "other")["steps"]
    assert step["error"] is None
    (step,) = ladder(invoke, whole, output=out.parent / "another", set="train.max_steps=3")["steps"]
    assert step["error"].startswith(f"--set cannot change {out}/first, which {whole} combines as it is")
    (step,) = ladder(invoke, whole, output=out, set="train.max_steps=3")["steps"]
    assert step["error"] is None, "its own steps are trained with --set"


def test_what_changed_is_said_of_single_recipes_alone(out: Path, invoke: Any) -> None:
    first, second, whole = (out.parent / f"{name}.yaml" for name in ("first", "second", "whole"))
    whole.write_text(f"ensemble: {{members: [{out}/first, {out}/second], method: nbest}}\n", "utf-8")
    steps = ladder(invoke, first, whole, second, output=out)["steps"]
    assert [step["before"] for step in steps] == [None, "first", "whole"]
    assert all(step["gain"] for step in steps[1:])
    assert [step["changes"] for step in steps] == [None, None, None]
    assert ladder(invoke, first, second, output=out)["steps"][1]["changes"] is not None
