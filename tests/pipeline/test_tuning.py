"""The weight and the no-answer threshold, from labelled questions."""

from __future__ import annotations

import pytest

from qakit.errors import RunError
from qakit.inference.evaluation import Judge
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.stages.model import CombineSection
from qakit.stages.tuning import WEIGHTS, Decision, Reading, judged, tune
from qakit.values import Answer, Candidate, Example


def judge(*, metric: str = "exact_match", **predict: object) -> Judge:
    recipe = Recipe.model_validate(
        {"data": {"reader": "adl"}, "backbone": {"source": "x"}, "metric": metric, "predict": predict}
    )
    return Judge.of(recipe, load_registry())


def question(number: int, gold: str | None) -> Example:
    answers = () if gold is None else (Answer(gold, 0),)
    return Example(str(number), "?", ("a", "b"), answers=answers)


def reading(context: int, probability: float, text: str, score: float, null: float | None = None) -> Reading:
    return Reading(context, probability, (Candidate(text, 0, len(text), context, score, 0.0),), null)


LIKELY_IS_RIGHT = (reading(0, 0.7, "right", -1.0), reading(1, 0.3, "wrong", -0.9))
SPAN_IS_RIGHT = (reading(0, 0.6, "wrong", -5.0), reading(1, 0.4, "right", -0.1))


def test_of_equally_good_weights_the_chain_rule_is_taken() -> None:
    examples = [question(0, "right"), question(1, "right")]
    found = tune([LIKELY_IS_RIGHT, SPAN_IS_RIGHT], examples, judge(), CombineSection())
    assert found.decision.weight == 1.0
    figures = dict(found.tried)
    assert set(figures) == set(WEIGHTS)
    assert (figures[1.0], figures[0.0], figures["argmax"]) == (100.0, 50.0, 50.0)


def test_the_best_weight_wins() -> None:
    sure = (reading(0, 0.55, "right", -3.0), reading(1, 0.45, "wrong", -0.1))  # only a heavy weight gets this one
    found = tune([sure, LIKELY_IS_RIGHT], [question(0, "right"), question(1, "right")], judge(), CombineSection())
    assert found.decision.weight == "argmax"


def test_a_fixed_weight_is_not_tried() -> None:
    found = tune([SPAN_IS_RIGHT], [question(0, "right")], judge(), CombineSection(weight="argmax"))
    assert (found.decision.weight, found.tried) == ("argmax", ())


def test_the_threshold_is_tuned_in_combined_scores() -> None:
    readings = [(reading(0, 1.0, "right", -0.5, null=-0.9),), (reading(0, 1.0, "wrong", -0.8, null=-0.6),)]
    examples = [question(0, "right"), question(1, None)]
    ruler = judge(metric="squad_v2", no_answer=True)
    found = tune(readings, examples, ruler, CombineSection())
    assert -0.4 < found.decision.null_threshold < 0.2
    evaluation = judged(readings, examples, ruler, found.decision)
    assert [each.final for each in evaluation.predictions] == ["right", ""]
    assert evaluation.figures["exact"] == 100.0


@pytest.mark.parametrize("weight", ["argmax", 0.5])
def test_a_decision_is_read_back(weight: float | str) -> None:
    decision = {"weight": weight, "null_threshold": -1.5, "temperature": 2.0, "tried": []}
    assert Decision.read(decision, "here") == Decision(weight, -1.5, 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", [{"weight": "most"}, {"weight": -1}, {"temperature": 0}, {"null_threshold": "x"}])
def test_a_damaged_decision_is_said(broken: dict[str, object]) -> None:
    with pytest.raises(RunError, match="here is damaged"):
        Decision.read({"weight": 1, "null_threshold": 0, "temperature": 1} | broken, "here")
