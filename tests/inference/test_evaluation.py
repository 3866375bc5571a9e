"""What is tuned on raw candidates, and what is counted after clean-up."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qakit.inference import evaluation
from qakit.inference.collectors import SpanScores
from qakit.inference.evaluation import Judge, choices_of, evaluate, finish
from qakit.inference.threshold import apply_threshold
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import Answer, Candidate, Example, NoAnswer, SpanPrediction

CONTEXT = "He wrote ( Faust ) in Weimar"


def judge_of(**changes: Any) -> Judge:
    recipe = Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": "none"},
            "metric": "squad_v2",
            "predict": {"no_answer": True},
            **changes,
        }
    )
    return Judge.of(recipe, load_registry())


def example(name: str, gold: str | None) -> Example:
    answers = () if gold is None else (Answer(gold, CONTEXT.find(gold)),)
    return Example(name, "?", (CONTEXT,), answers)


def raw(name: str, null: float, **scores: float) -> SpanPrediction:
    """Candidates are words of the context, best first; probabilities are those of another temperature."""
    places = sorted(scores.items(), key=lambda item: -item[1])
    found = tuple(
        Candidate(text, start := CONTEXT.find(text), start + len(text), 0, score, 0.5) for text, score in places
    )
    return SpanPrediction(name, "", found, NoAnswer(null, 0.5))


EXAMPLES = [example("a", "Weimar"), example("b", None), example("c", "wrote"), example("d", None)]
RAW = [
    raw("a", 1.0, Weimar=5.0, wrote=4.0),
    raw("b", 3.0, Weimar=1.0),
    raw("c", 0.0, wrote=2.0, Weimar=1.0),
    raw("d", 0.0, Faust=9.0),
]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Every call for predictions, as (threshold, temperature); RAW stands for them."""
    calls: list[tuple[float, float]] = []

    def answers_from(_: Any, scores: SpanScores, __: Recipe, **options: float) -> Any:
        calls.append((options["null_threshold"], options["temperature"]))
        predictions: Any = scores.spans
        return apply_threshold(predictions, options["null_threshold"])

    monkeypatch.setattr(evaluation, "answers_from", answers_from)
    return calls


def evaluated(judge: Judge, *, null_threshold: float | None = None, temperature: float | None = None) -> Any:
    prepared: Any = SimpleNamespace(examples=EXAMPLES)
    table: Any = RAW
    return evaluate(
        prepared, SpanScores(table, table, None), judge, null_threshold=null_threshold, temperature=temperature
    )


def test_validation_tunes_both_and_says_what_it_used(scored: list[tuple[float, float]]) -> None:
    found = evaluated(judge_of())
    assert found.figures["exact"] == 75.0
    assert [each.answer for each in found.raw] == ["Weimar", "", "wrote", "Faust"]
    assert [each.answer for each in found.predictions] == [each.answer for each in found.raw]
    assert found.calibration.temperature == found.temperature != 1.0
    assert scored == [(0.0, 1.0), (found.null_threshold, found.temperature)]


def test_given_values_are_left_alone(scored: list[tuple[float, float]]) -> None:
    found = evaluated(judge_of(), null_threshold=-100.0, temperature=3.0)
    assert scored == [(-100.0, 3.0)]
    assert (found.null_threshold, found.temperature, found.calibration.temperature) == (-100.0, 3.0, 3.0)
    assert [each.answer for each in found.raw] == ["", "", "", ""]
    assert found.figures["exact"] == 50.0


def test_a_threshold_of_the_recipe_still_gets_a_temperature(scored: list[tuple[float, float]]) -> None:
    found = evaluated(judge_of(), null_threshold=2.5)
    assert found.null_threshold == 2.5
    assert found.temperature != 1.0


def test_a_metric_without_figures_by_question_tunes_the_threshold_alone(scored: list[tuple[float, float]]) -> None:
    class Plain:
        primary = "answered"

        def compute(self, _: Sequence[Example], predictions: Sequence[SpanPrediction]) -> dict[str, float]:
            return {"answered": float(sum(bool(each.answer) for each in predictions))}

    judge = judge_of()
    plain = Judge(judge.recipe, Plain(), judge.postprocessors)  # type: ignore[arg-type]
    found = evaluated(plain)
    assert (found.temperature, found.calibration) == (1.0, None)
    assert found.null_threshold > 2.5 and found.figures == {"answered": 4.0}
    kept = evaluated(plain, null_threshold=0.0)
    assert (kept.null_threshold, kept.figures) == (0.0, {"answered": 3.0})
    assert choices_of(found.raw, EXAMPLES, plain) is None


@pytest.mark.parametrize("postprocess", [[], [{"name": "special_chars", "remove": "F"}]])
def test_the_choices_are_those_after_clean_up(postprocess: list[Any]) -> None:
    judge = judge_of(postprocess=postprocess)
    examples = [*EXAMPLES[:3], example("d", "aust")]
    choices = choices_of(RAW, examples, judge)
    assert choices is not None
    assert choices.answerable.tolist() == [True, False, True, True]
    assert choices.answered["exact"].tolist() == [100.0, 0.0, 100.0, 100.0 * bool(postprocess)]
    assert choices.null["exact"].tolist() == [0.0, 100.0, 0.0, 0.0]
    for threshold in np.linspace(-12, 5, 18):
        final = finish(apply_threshold(RAW, float(threshold)), examples, judge)
        figures = judge.metric.compute(examples, final)
        for name in ("exact", "f1"):
            assert choices.curve(name).at(float(threshold)) == pytest.approx(figures[name])
