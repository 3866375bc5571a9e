"""Fully sharded training over two processes: the same as without, and the same files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from comparisons import assert_close_runs, assert_equal
from crew import Crew

pytestmark = pytest.mark.slow

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
"""What `accelerate launch` sets for its processes."""


@pytest.mark.sweep(2)
@pytest.mark.parametrize("adapter", ["full", "{name: lora, rank: 2}"])
def test_sharded_training_is_the_same_training(crew: Crew, recipe: Path, tmp_path: Path, adapter: str) -> None:
    options = ("--set", f"adapter={adapter}", "--set", "train.accumulation=2")
    for name, environment in (("whole", {}), ("sharded", FSDP)):
        run = tmp_path / name
        kept = {"KEEP_CHECKPOINTS": "yes", **environment}
        ended = crew.run(2, "train", recipe, "--output", run, *options, environment=kept)
        assert ended.codes == [0, 0], ended.said
        meta = json.loads((run / "meta.json").read_text("utf-8"))
        assert (meta["processes"], meta["sharded"]) == (2, name == "sharded")
    assert_close_runs(tmp_path / "whole", tmp_path / "sharded")

    broken = tmp_path / "broken"  # as a training leaves it that was killed after an earlier checkpoint
    shutil.copytree(tmp_path / "sharded", broken)
    (broken / "metrics.json").unlink()
    for folder in sorted((broken / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(folder)
    ended = crew.run(2, "train", "--resume", "--output", broken, environment=FSDP)
    assert ended.codes == [0, 0], ended.said
    assert_equal(broken, tmp_path / "sharded")


def test_the_first_version_of_fsdp_is_refused(crew: Crew, recipe: Path, tmp_path: Path) -> None:
    first_version = {**FSDP, "FSDP_VERSION": "1", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}
    ended = crew.run(2, "train", recipe, "--output", tmp_path / "run", environment=first_version)
    assert ended.codes == [2, 2], ended.said
    assert ended.told == ["error: qakit trains with the second version of FSDP: set fsdp_version: 2 in fsdp_config"]
