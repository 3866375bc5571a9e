"""Trainings with averages: what ends up in the run's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Invoke
from safetensors.torch import load_file
from torch import Tensor

from qakit.files import write_json
from qakit.registry import Registry, load_registry
from qakit.runs import Run, create_run
from qakit.training import keeper
from qakit.training.averaging import WeightAverage
from qakit.training.events import silence
from qakit.training.repredict import repredict

pytestmark = pytest.mark.slow

SEVERAL = ("--set", "train.epochs=2", "--set", "train.evaluate_every=2", "--set", "train.learning_rate=5e-3")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def entries(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if line["type"] == kind]


def transformers_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's trained weights under the names of its run's model folder."""
    names = {"head.features.linear.weight": "qa_outputs.weight", "head.features.linear.bias": "qa_outputs.bias"}
    return {names.get(name, name.replace("backbone.", "bert.")): value for name, value in weights.items()}


def assert_kept(run: Path, expected: Mapping[str, Tensor]) -> None:
    kept = load_file(run / "model" / "model.safetensors")
    wanted = transformers_weights(expected)
    assert set(kept) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(kept[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_a_soup_is_the_mean_of_the_weights_it_names_and_no_worse_than_any(
    small_recipe: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, dict[str, Tensor]] = {}
    keep = keeper.keep_candidate

    def watched(folder: Path, weights: Mapping[str, Tensor], *, step: int, **rest: Any) -> None:
        seen[step] = {name: weight.detach().clone() for name, weight in weights.items()}
        keep(folder, weights, step=step, **rest)

    monkeypatch.setattr(keeper, "keep_candidate", watched)
    run = tmp_path / "run"
    result = invoke("train", small_recipe, "--output", run, *SEVERAL, "--set", "train.soup.candidates=4")
    assert result.exit_code == 0, result.output
    (line,) = entries(run, "soup")
    evaluations = {each["step"]: each["f1"] for each in entries(run, "evaluation") if each["step"]}
    best = sorted(evaluations, key=lambda step: (-evaluations[step], step))[:4]
    assert line["candidates"] == {str(step): evaluations[step] for step in best}
    assert line["steps"][0] == best[0]
    assert line["after"] >= line["before"] == evaluations[best[0]]
    decision = json.loads((run / "model" / "decision.json").read_text("utf-8"))
    assert decision["figures"]["f1"] == line["after"]
    if len(line["steps"]) > 1:
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
        assert metrics["soup"]["steps"] == line["steps"]
    steps = line["steps"]
    assert_kept(run, {name: sum(seen[step][name] for step in steps) / len(steps) for name in seen[steps[0]]})
    assert not (run / "soup").exists()
    again = invoke("train", "--resume", "--output", run, "--quiet")
    assert again.exit_code == 0, again.output
    assert entries(run, "soup") == [line]


def test_the_mean_of_the_last_weights_is_evaluated_and_kept(
    small_recipe: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    update = WeightAverage.update

    def watched(self: WeightAverage, step: int, **rest: Any) -> None:
        seen.append({name: weight.detach().clone() for name, weight in self._weights.items()})
        update(self, step, **rest)

    monkeypatch.setattr(WeightAverage, "update", watched)
    run = tmp_path / "run"
    changes = ("--set", "train.swa={start: 0.5, every: 1}", "--set", "train.log_every=1")
    result = invoke("train", small_recipe, "--output", run, *changes)
    assert result.exit_code == 0, result.output
    assert len(seen) == 6
    assert_kept(run, {name: sum(each[name] for each in seen[3:]) / 3 for name in seen[0]})


def test_a_run_that_predicts_with_anothers_weights_tells_of_no_soup(
    small_run: Path, tmp_path: Path, registry: Registry
) -> None:
    source = Run(tmp_path / "source")
    shutil.copytree(small_run, source.folder)
    decision = source.read_json(source.decision_file)
    write_json(source.decision_file, {**decision, "soup": {"steps": [1, 2], "before": 1.0, "after": 2.0}})
    recipe = source.recipe()
    again = recipe.model_copy(update={"predict": recipe.predict.model_copy(update={"n_best": 3})})
    own = create_run(again, tmp_path / "again")
    repredict(source, again, own, registry, listener=silence, device=torch.device("cpu"))
    assert "soup" not in own.read_json(own.decision_file)
    assert own.read_json(own.metrics_file).get("soup") is None
    assert "soup" in source.read_json(source.decision_file)


def test_what_cannot_work_is_refused_before_anything_is_written(
    small_recipe: Path, tmp_path: Path, invoke: Invoke
) -> None:
    run = tmp_path / "run"
    for change, message in (
        ("train.swa={every: 50}", "train.swa: no weights would be averaged"),
        ("train.adversarial={method: fgm, start_epoch: 1}", "train.adversarial would never begin"),
        ("train.adversarial={epsilon: 1}", "missing key 'method' in train.adversarial"),
    ):
        result = invoke("train", small_recipe, "--output", run, "--set", change)
        assert (result.exit_code, message in str(result.exception)) == (2, True), result.exception
        assert not run.exists()
