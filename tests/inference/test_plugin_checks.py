"""What the core checks of a plugin's work while it predicts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from qakit.errors import PluginError
from qakit.inference.evaluation import Judge, finish
from qakit.inference.table import SpanTable
from qakit.protocols import SpanCandidates
from qakit.recipe.model import PluginRef, Recipe
from qakit.registry import load_registry
from qakit.testing import made_up_batch
from qakit.values import Example, Prediction, SpanPrediction

EXAMPLES = [Example("q1", "?", ("a b",))]
PREDICTIONS = [SpanPrediction("q1", "a")]


def judge_with(step: Callable[[Prediction, Example], Prediction]) -> Judge:
    recipe = Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "x"}})
    plain = Judge.of(recipe, load_registry())
    named = recipe.model_copy(update={"postprocess": [PluginRef(name="mine")]})
    return Judge(named, plain.metric, (step,))


def test_a_postprocessor_must_keep_the_id() -> None:
    with pytest.raises(PluginError) as caught:
        finish(PREDICTIONS, EXAMPLES, judge_with(lambda _p, _e: SpanPrediction("zz", "a")))
    assert str(caught.value) == (
        "the postprocessor 'mine' returned the id 'zz' for the example 'q1'; "
        "it must return a Prediction with the same id"
    )


def test_a_postprocessor_must_return_a_prediction() -> None:
    with pytest.raises(PluginError, match="the postprocessor 'mine' returned NoneType for the example 'q1'"):
        finish(PREDICTIONS, EXAMPLES, judge_with(lambda _p, _e: None))  # type: ignore[arg-type,return-value]


def test_a_postprocessor_that_raises_keeps_its_traceback_and_is_named() -> None:
    def broken(_prediction: Prediction, _example: Example) -> Prediction:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        finish(PREDICTIONS, EXAMPLES, judge_with(broken))
    assert caught.value.__notes__ == ["in the postprocessor 'mine', for the example 'q1'"]


def test_decoded_shapes_are_checked() -> None:
    batch = made_up_batch()
    rows = len(batch)
    table = SpanTable.__new__(SpanTable)
    table._spans = 3
    positions, score = torch.zeros(rows, 3, dtype=torch.long), torch.zeros(rows, 3)
    with pytest.raises(PluginError, match=r"the head's decode returned first \(\d+, 1\), last"):
        table.add(batch, SpanCandidates(positions[:, :1], positions, score, torch.zeros(rows)))
    with pytest.raises(PluginError, match=rf"null \({rows},\), and yes_no, if any, \({rows}, 2\): this is a mistake"):
        table.add(batch, SpanCandidates(positions, positions, score, torch.zeros(1)))
