"""How two runs are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crew import Crew
from safetensors.torch import load_file
from torch.testing import assert_close

SAME = ("metrics.jsonl", "model/model.safetensors", "predictions/submission.csv", "predictions/nbest.jsonl")


def assert_equal(run: Path, other: Path) -> None:
    """The same bits."""
    for name in SAME:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


def assert_close_runs(one: Path, other: Path, *, weights: str = "model.safetensors") -> None:
    """The same up to the order of sums."""
    logs = [(run / "metrics.jsonl").read_text("utf-8").splitlines() for run in (one, other)]
    for line, other_line in zip(*logs, strict=True):
        assert _flat(json.loads(line)) == pytest.approx(_flat(json.loads(other_line)), abs=1e-5)
    tensors = [load_file(run / "model" / weights) for run in (one, other)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, tensor in tensors[0].items():
        assert_close(tensor, tensors[1][name], atol=1e-5, rtol=1e-4)
    answers = [(run / "predictions" / "submission.csv").read_bytes() for run in (one, other)]
    assert answers[0] == answers[1]


def train_both_ways(crew: Crew, recipe: Path, folder: Path, *options: str) -> None:
    """Train with one process in two parts and with two processes, and compare."""
    for processes, parts in ((1, 2), (2, 1)):
        run = folder / str(processes)
        ended = crew.run(processes, "train", recipe, "--output", run, *options, "--set", f"train.accumulation={parts}")
        assert ended.codes == [0] * processes, ended.said
    assert_close_runs(folder / "1", folder / "2")


def _flat(line: Any, name: str = "") -> dict[str, Any]:
    """A log line without nesting, as ``approx`` wants it."""
    if isinstance(line, dict | list):
        entries = line.items() if isinstance(line, dict) else enumerate(line)
        return {key: value for part, inner in entries for key, value in _flat(inner, f"{name}.{part}").items()}
    return {name: line}
