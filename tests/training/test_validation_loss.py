"""The loss on validation windows, against the heads' own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import WINDOWS, rows_of, tiny_epoch, tiny_model

from qakit.distributed import ALONE
from qakit.errors import DataError
from qakit.testing.heads import made_up_batch
from qakit.training.clock import Clock
from qakit.training.validation_loss import MOST_WINDOWS, LossSet, loss_set, validation_loss

Invoke = Any
CPU = torch.device("cpu")
HEADS = [("linear_span", {}), ("joint_span", {}), ("crf", {}), ("classifier", {"labels": ("a", "b", "c")})]
GROUPED = [("multiple_choice", {}), ("paragraph_scorer", {})]


def measured(model: Any, *batches: Any, grouped: bool = False) -> float | None:
    prepared = LossSet(tiny_epoch(grouped=grouped), tuple(np.array(rows) for rows in batches))
    return validation_loss(prepared, model, device=CPU, precision="fp32", workers=ALONE)


@pytest.mark.parametrize(("name", "settings"), [*HEADS, *GROUPED])
def test_it_is_the_heads_loss_without_dropout(name: str, settings: Any) -> None:
    model, batch = tiny_model(name, backbone_dropout=0.5, **settings), made_up_batch()
    found = measured(model, range(WINDOWS), grouped=(name, settings) in GROUPED)
    assert model.training
    assert found == pytest.approx(model.eval()(batch).loss.item(), rel=1e-6)


def test_batches_count_by_their_windows() -> None:
    model, batch = tiny_model(), made_up_batch()
    found = measured(model, [0], [1, 2, 3])
    losses = [model.eval()(rows_of(batch, np.array(rows))).loss.item() for rows in ([0], [1, 2, 3])]
    assert found == pytest.approx((losses[0] + 3 * losses[1]) / 4, rel=1e-6)


def test_batches_of_groups_count_by_their_examples() -> None:
    model, batch = tiny_model("multiple_choice"), made_up_batch()
    examples = batch.example.tolist()
    pieces = [[row for row, of in enumerate(examples) if of == example] for example in dict.fromkeys(examples)]
    assert len(pieces) > 1
    alone = [model.eval()(rows_of(batch, np.array(rows))).loss.item() for rows in pieces]
    assert measured(model, *pieces, grouped=True) == pytest.approx(sum(alone) / len(alone), rel=1e-6)


def test_a_loss_that_is_no_number_is_none() -> None:
    model = tiny_model()
    torch.nn.init.constant_(model.backbone.dense.weight, float("nan"))  # type: ignore[union-attr]
    assert measured(model, range(WINDOWS)) is None


def test_of_very_many_windows_a_part_is_enough() -> None:
    batches = [np.arange(start, start + 16) for start in range(0, 4096, 16)]
    feed = SimpleNamespace(epoch=lambda _: replace(tiny_epoch(), batches=batches))
    prepared = loss_set(feed)  # type: ignore[arg-type]
    assert prepared is not None and sum(map(len, prepared.batches)) == MOST_WINDOWS

    def nothing(_: int) -> None:
        raise DataError("no window")

    assert loss_set(SimpleNamespace(epoch=nothing)) is None  # type: ignore[arg-type]


def test_it_is_logged_at_every_evaluation_unless_it_is_not_wanted(
    small_recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    for wanted in (True, False):
        output = tmp_path / str(wanted)
        options = ("--set", f"train.validation_loss={str(wanted).lower()}", "--output", output, "--quiet")
        assert invoke("train", small_recipe, *options).exit_code == 0
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]
        found = [line for line in lines if line["type"] == "evaluation"]
        assert found and all(("validation_loss" in line) is wanted for line in found)


def test_what_a_soup_tries_has_none(
    small_recipe: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[float | None] = []
    monkeypatch.setattr(
        "qakit.training.keeper.validation_loss", lambda *given, **named: measured.append(1.0) or measured[-1]
    )
    options = ("--set", "train.soup={}", "--set", "train.max_steps=3", "--output", tmp_path / "run", "--quiet")
    assert invoke("train", small_recipe, *options).exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    kinds = [line["type"] for line in lines]
    assert "soup" in kinds and len(measured) == kinds.count("evaluation") == 3


def test_a_limited_time_counts_it(
    small_recipe: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    begin = Clock.begin
    monkeypatch.setattr(Clock, "begin", lambda clock: (counted.append(clock.validation_windows), begin(clock))[1])
    for wanted in ("true", "false"):
        options = ("--set", f"train.validation_loss={wanted}", "--output", tmp_path / wanted, "--quiet")
        assert invoke("train", small_recipe, "--max-hours", "1", *options).exit_code == 0
    assert counted[0] > counted[1] > 0


@pytest.fixture
def small_recipe(tiny_backbone: Path, samples: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: {samples}/squad-train.json, validation: {samples}/squad-dev.json, train_limit: 16,
  validation_limit: 8}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 96, max_question_length: 32}}
train: {{max_steps: 2, evaluate_every: 1, batch_size: 8, learning_rate: 1e-3, precision: fp32, log_every: 1}}
""",
        "utf-8",
    )
    return path
