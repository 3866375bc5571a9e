"""Training tricks and pretraining in two processes: what they compute is what one process computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comparisons import train_both_ways
from crew import Crew
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

TRICKS = {
    "freezing, swa": ("train.freezing={gradual: 0.2}", "train.ema=null", "train.swa={start: 0.5, every: 1}"),
    "fresh layer, layer-wise rates": ("backbone.reinit_layers=1", "train.layer_decay=0.5"),
    "fgm, soup": ("train.adversarial={method: fgm}", "train.ema=null", "train.soup={}"),
    "awp": ("train.adversarial={method: awp}",),
    "r_drop": ("train.r_drop={}",),
}


@pytest.mark.sweep(3)
@pytest.mark.parametrize("trick", TRICKS)
def test_two_processes_train_with_a_trick_as_one_with_two_parts(
    crew: Crew, recipe: Path, tmp_path: Path, trick: str
) -> None:
    train_both_ways(crew, recipe, tmp_path, *(part for change in TRICKS[trick] for part in ("--set", change)))


def test_two_processes_take_the_same_pseudo_labels(crew: Crew, recipe: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert crew.run(1, "train", recipe, "--output", first, "--set", "data.test=null").codes == [0]
    train_both_ways(crew, recipe, tmp_path, "--set", f"pseudo={{from_run: {first}, min_confidence: 0.0}}")
    meta = json.loads((tmp_path / "2" / "meta.json").read_text("utf-8"))
    assert meta["data"]["pseudo"]["examples"] > 0


@pytest.mark.parametrize("objective", ["mlm", "recurring_spans"])
def test_two_processes_pretrain_as_one_with_two_parts(crew: Crew, recipe: Path, tmp_path: Path, objective: str) -> None:
    options = [f"objective={objective}", "max_length=64", "batch_size=8", "learning_rate=1e-3", "precision=fp32"]
    for processes, parts in ((1, 2), (2, 1)):
        sets = [part for change in (*options, f"accumulation={parts}") for part in ("--set", change)]
        ended = crew.run(processes, "pretrain", recipe, "--output", tmp_path / str(processes), *sets)
        assert ended.codes == [0] * processes, ended.said
        assert not any("Traceback" in text for text in ended.err)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("1", "2"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert (weight - two[name]).abs().max() < 1e-4, name
