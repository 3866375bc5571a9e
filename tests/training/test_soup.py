"""The greedy soup: what goes in, what stays on disk, and that it never falls below the best weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from leftovers import left_behind
from tiny_model import tiny_model, tiny_plan, tiny_recipe
from torch import Tensor

from qakit.errors import UsageError
from qakit.training.soup import candidates, cook, forget_after, greedy_soup, keep_candidate, overwrite, set_aside
from qakit.training.tricks import check_tricks

Point = tuple[float, float]
NUMBERS = st.floats(-3, 3, width=32)


def judged(weights: Mapping[str, Tensor]) -> tuple[float, str]:
    """The nearer to 1, the better."""
    value = -float((weights["w"].double() - 1).square().sum())
    return value, f"{value:.3f}"


def written(folder: Path, points: list[Point], *, keep: int = 100) -> None:
    for step, point in enumerate(points, 1):
        weights = {"w": torch.tensor(point)}
        keep_candidate(folder, weights, step=step, value=judged(weights)[0], keep=keep)


def by_hand(points: list[Point]) -> tuple[list[int], float]:
    """Steps of the soup and its value, by recomputing each mean from the points themselves."""

    def value(steps: list[int]) -> float:
        return judged({"w": torch.tensor([points[step - 1] for step in steps]).double().mean(0)})[0]

    order = sorted(range(1, len(points) + 1), key=lambda step: (-value([step]), step))
    chosen = [order[0]]
    for step in order[1:]:
        if value([*chosen, step]) >= value(chosen):
            chosen.append(step)
    return chosen, value(chosen)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_it_adds_what_does_not_lower_the_value_best_first(points: list[Point]) -> None:
    with TemporaryDirectory() as folder:
        written(Path(folder), points)
        ranked = candidates(Path(folder))
        soup = greedy_soup(ranked, judged)
    chosen = [each.step for each in soup.chosen]
    mean = torch.tensor([points[step - 1] for step in chosen]).double().mean(0)
    torch.testing.assert_close(soup.weights["w"].double(), mean, atol=1e-5, rtol=1e-5)
    assert soup.value >= max(each.value for each in ranked)
    assert soup.value == pytest.approx(judged({"w": mean})[0], abs=1e-4)
    assert soup.value == pytest.approx(by_hand(points)[1], abs=1e-4)
    assert (soup.outcome is None) == (len(chosen) == 1)


@pytest.mark.parametrize(("second", "steps"), [((2.0, 1.0), [1, 2]), ((-9.0, 1.0), [1])])
def test_only_an_average_that_helps_is_kept_and_told(second: Point, steps: list[int], tmp_path: Path) -> None:
    written(tmp_path, [(0.5, 1.0), second])
    weights, kept = {"w": torch.tensor([7.0, 7.0])}, list[Any]()

    def judge() -> Any:
        value, text = judged(weights)
        return SimpleNamespace(value=value, evaluation=SimpleNamespace(figures={"text": text}))

    said, told = cook(candidates(tmp_path), weights, judge, lambda *what: kept.append(what), metric="f1")
    assert said["steps"] == steps
    assert weights["w"].tolist() == [7.0, 7.0]
    if steps == [1]:
        assert kept == [] and said["before"] == said["after"] and "figures" not in said
        assert told == "soup: the weights of step 1 stay alone: none of 1 others helps them"
    else:
        assert [where["step"] for _, where in kept] == [1] and said["figures"] == {"text": "-0.062"}
        assert told == "soup: the average of the weights of steps 1, 2: f1 -0.25 -> -0.06"


def test_what_hurts_stays_out(tmp_path: Path) -> None:
    points = [(0.0, 1.0), (2.0, 1.0), (1.0, -3.0), (1.0, 1.5)]
    written(tmp_path, points)
    soup = greedy_soup(candidates(tmp_path), judged)
    assert [each.step for each in soup.chosen] == by_hand(points)[0] == [4]
    written(tmp_path / "without", points[:3])
    soup = greedy_soup(candidates(tmp_path / "without"), judged)
    assert ([each.step for each in soup.chosen], soup.value, soup.outcome) == ([1, 2], 0.0, "-0.000")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(2, 4), st.randoms())
def test_the_best_stay_whatever_order_they_come_in_and_however_often(
    values: list[int], keep: int, random: object
) -> None:
    steps = list(range(1, len(values) + 1))
    again = [*steps, *steps]
    random.shuffle(again)  # type: ignore[attr-defined]
    with TemporaryDirectory() as folder:
        for step in again:
            keep_candidate(Path(folder), {"w": torch.ones(2)}, step=step, value=float(values[step - 1]), keep=keep)
        found = [(each.step, each.value) for each in candidates(Path(folder))]
        assert len(list(Path(folder).iterdir())) == len(found)
    best = sorted(steps, key=lambda step: (-values[step - 1], step))[:keep]
    assert found == [(step, float(values[step - 1])) for step in best]


def test_a_resumed_training_forgets_its_future_and_what_is_half_written(tmp_path: Path) -> None:
    written(tmp_path, [(1.0, 1.0), (2.0, 2.0), (0.0, 0.0)])
    left_behind(tmp_path / "step-00000004.safetensors").write_bytes(b"half")
    forget_after(tmp_path, 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "step-00000001.safetensors",
        "step-00000002.safetensors",
    ]


def test_a_damaged_file_is_no_candidate(tmp_path: Path) -> None:
    written(tmp_path, [(1.0, 1.0), (2.0, 2.0)])
    (tmp_path / "step-00000001.safetensors").write_bytes(b"\0" * 40)
    assert [each.step for each in candidates(tmp_path)] == [2]
    assert candidates(tmp_path / "nothing") == []


def test_weights_set_aside_come_back_bit_for_bit() -> None:
    layer = torch.nn.Linear(3, 2)
    weights = dict(layer.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with pytest.raises(ValueError, match="stop"), set_aside(weights):
        overwrite(weights, {name: torch.zeros_like(weight) for name, weight in weights.items()})
        assert not layer.weight.any()
        raise ValueError("stop")
    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())


def test_without_validation_there_is_nothing_to_choose_by() -> None:
    with pytest.raises(UsageError, match=r"train\.soup chooses by validation data: set data\.validation"):
        list(check_tricks(tiny_recipe(soup={}), tiny_model(), tiny_plan(5, 10), validated=False))
