"""What a pool has learnt, before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ensemble.made_up import questions, sure

from qakit.ensembling.method import Method, learnt_values
from qakit.ensembling.validation import Bench, Judged
from qakit.errors import PluginError
from qakit.inference.evaluation import Judge
from qakit.protocols import NoRuntime
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe
from qakit.registry import load_registry
from qakit.statistics import Sampling
from qakit.values import Prediction


@pytest.mark.parametrize(
    "found",
    [
        ((0.25, 0.75), (1.0, 2.0)),
        ([0.25, 0.75], [1, 2]),
        (np.array([0.25, 0.75], np.float32), np.array([1.0, 2.0])),
        np.array([[0.25, 0.75], [1.0, 2.0]]),
    ],
)
def test_numbers_of_any_kind_become_plain_ones(found: Any) -> None:
    learnt = learnt_values(found, members=2, name="mine")
    assert learnt == ((0.25, 0.75), (1.0, 2.0))
    assert {type(value) for part in learnt for value in part} == {float}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "must return weights and temperatures, a number for each member; it returned None"),
        ((0.5, 0.5), "must return weights and temperatures, a number for each member; it returned tuple"),
        (((1.0,), (1.0, 1.0)), "returned 1 weights for 2 members: 1"),
        (((0.5, 0.5), ()), "returned 0 temperatures for 2 members: none"),
        (((1.0, 1.0), (1.0, 1.0)), "returned weights that sum to 2, not 1: 1, 1"),
        (((float("nan"), 1.0), (1.0, 1.0)), "returned weights that are not finite numbers from 0 up: nan, 1"),
        (((0.5, 0.5), (1.0, float("inf"))), "returned temperatures that are not finite numbers above 0: 1, inf"),
    ],
)
def test_what_cannot_be_used_is_one_line(found: Any, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        learnt_values(found, members=2, name="mine")
    assert str(caught.value) == f"`learn` of the ensembler 'mine' {message}"


class Learns:
    """A pool that answers as its first member, and learns arrays."""

    def __init__(self, members: Sequence[Prediction]) -> None:
        self.predictions = members

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        return list(self.predictions)

    def learn(self, rows: Sequence[int]) -> Any:
        return np.array([0.5, 0.5]), np.ones(2)


def test_a_decision_takes_arrays() -> None:
    registry = load_registry()
    recipe = Recipe(data=DataSection(reader=PluginRef(name="squad")), backbone=BackboneSection(source="nothing"))
    examples = questions(4)
    judged = Judged(examples, Judge.of(recipe, registry), Sampling(1000, 0))
    ensembler = registry.build("ensemblers", "nbest", {}, NoRuntime())
    method = Method("nbest", {}, ensembler, 2, None, leaves_out=True)
    bench = Bench(method, Learns([sure(each.id, "red", 0.9) for each in examples]), judged, n_best=3)
    decision = bench.decide(bench.rows)
    assert (decision.weights, decision.temperatures) == ((0.5, 0.5), (1.0, 1.0))
    assert len(bench.answers(decision)) == 4, "decisions are remembered by their weights: arrays could not be"
