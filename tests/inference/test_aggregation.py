"""Tokens in several overlapping windows: the three ways to count them, from texts to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_scores import AGGREGATIONS, LONG, Aggregation, PlainHead, assembled_of, questions, recipe_of

from qakit.errors import UsageError
from qakit.inference.collectors import Scores
from qakit.inference.evaluation import Judge, evaluate
from qakit.inference.scoring import ScoringSet, predictions_of, prepare, score
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Answer, Example, SpanPrediction


def scored(
    examples: Sequence[Example], recipe: Recipe, registry: Registry, tokenizer: Any, **made_up: Any
) -> tuple[ScoringSet, Scores]:
    assembled = assembled_of(tokenizer, recipe, **made_up)
    prepared = prepare(examples, assembled, recipe, registry)
    return prepared, score(prepared, assembled, device=torch.device("cpu"), precision="fp32")


def predicted(
    examples: Sequence[Example], recipe: Recipe, registry: Registry, tokenizer: Any, **made_up: Any
) -> list[SpanPrediction]:
    prepared, scores = scored(examples, recipe, registry, tokenizer, **made_up)
    return predictions_of(prepared, scores, recipe, null_threshold=0.0, temperature=1.0)


def same(these: Sequence[SpanPrediction], those: Sequence[SpanPrediction]) -> bool:
    """Equal up to the rounding of scores."""

    def rounded(prediction: SpanPrediction) -> list[tuple[object, ...]]:
        return [(each.text, each.start, each.context, round(each.score, 3)) for each in prediction.candidates]

    return all(one.answer == two.answer and rounded(one) == rounded(two) for one, two in zip(these, those, strict=True))


shared = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared
@given(questions(0, 6), st.booleans())
def test_where_contexts_fit_a_window_all_ways_agree(
    registry: Registry, tokenizer: Any, examples: list[Example], no_answer: bool
) -> None:
    ways = [
        predicted(examples, recipe_of(aggregation=each, no_answer=no_answer, max_length=64), registry, tokenizer)
        for each in AGGREGATIONS
    ]
    assert same(ways[0], ways[1])
    assert same(ways[0], ways[2])


@shared
@given(questions(1, 60))
def test_no_span_is_better_under_max_context_than_under_max(
    registry: Registry, tokenizer: Any, examples: list[Example]
) -> None:
    best = [
        [each.candidates[0].score for each in predicted(examples, recipe_of(aggregation=way), registry, tokenizer)]
        for way in ("max_context", "max")
    ]
    assert all(more >= less for less, more in zip(*best, strict=True))


@pytest.mark.parametrize("aggregation", ["max", "mean"])
def test_windows_compete_by_their_log_odds_against_no_answer(
    registry: Registry, tokenizer: Any, aggregation: Aggregation
) -> None:
    """A window whose scores are all larger, that of "no answer" too, is not surer of anything."""
    recipe = recipe_of(aggregation=aggregation, no_answer=True)
    level, uneven = (predicted(LONG, recipe, registry, tokenizer, level=each) for each in (0.0, 50.0))
    assert same(level, uneven)
    assert [each.null.score for each in uneven if each.null] == [0.0, 0.0]


@shared
@given(questions(1, 60))
def test_the_mean_over_windows_that_agree_is_what_one_long_window_gives(
    registry: Registry, tokenizer: Any, examples: list[Example]
) -> None:
    several = predicted(examples, recipe_of(aggregation="mean"), registry, tokenizer, by_window=False)
    one = recipe_of(aggregation="mean", max_length=400)
    assert same(several, predicted(examples, one, registry, tokenizer, by_window=False))
    one = recipe_of(aggregation="max", max_length=400)
    assert same(several, predicted(examples, one, registry, tokenizer, by_window=False))


def test_the_mean_is_taken_before_spans_are_sought(registry: Registry, tokenizer: Any) -> None:
    recipe = recipe_of(aggregation="mean")
    prepared, scores = scored(LONG, recipe, registry, tokenizer)
    windows, store = prepared.windows, prepared.encoded.store
    assert len(windows) > 20
    found = predictions_of(prepared, scores, recipe, null_threshold=0.0, temperature=1.0)
    for row, example in enumerate(LONG):
        best = -torch.inf
        for pair in range(*prepared.encoded.pointers[row : row + 2].tolist()):
            context = int(prepared.encoded.context[pair])
            begin, length = int(store.pointers[context]), int(store.lengths[context])
            mean = torch.zeros(2, length, dtype=torch.float64)
            for token in range(length):
                held = ((windows.pair == pair) & (windows.first <= token) & (token < windows.stop)).nonzero()[0]
                to_ends = np.minimum(token - windows.first[held], windows.stop[held] - 1 - token)
                weight, at = torch.from_numpy(to_ends + 1.0), torch.from_numpy(held).double() * 2.7
                for side, factor in enumerate((1.3, 1.7)):
                    values = 5 * torch.sin((begin + token) * factor + at) - 2
                    mean[side, token] = (weight * values).sum() / weight.sum()
            spans = [float(mean[0, i] + mean[1, j]) for i in range(length) for j in range(i, min(i + 4, length))]
            best = max(best, *spans)
        assert found[row].candidates[0].score == pytest.approx(best, abs=1e-5)
        for candidate in found[row].candidates:
            assert example.contexts[candidate.context][candidate.start : candidate.end] == candidate.text


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_order_of_the_batches_changes_nothing(registry: Registry, tokenizer: Any, aggregation: Aggregation) -> None:
    recipe = recipe_of(aggregation=aggregation, character_scores=True)
    assembled = assembled_of(tokenizer, recipe)
    prepared = prepare(LONG, assembled, recipe, registry)
    backwards = replace(prepared, batches=tuple(rows[::-1].copy() for rows in prepared.batches[::-1]))
    results = [score(each, assembled, device=torch.device("cpu"), precision="fp32") for each in (prepared, backwards)]
    first, second = (predictions_of(prepared, each, recipe, null_threshold=0, temperature=1.0) for each in results)
    assert first == second
    one, two = (each.positions for each in results)
    assert one is not None
    assert two is not None
    assert one.start.tolist() == two.start.tolist()
    assert one.end.tolist() == two.end.tolist()


@pytest.mark.parametrize(
    ("predict", "setting"),
    [({"aggregation": "mean"}, "predict.aggregation: mean"), ({"character_scores": True}, "predict.character_scores")],
)
def test_a_head_without_token_scores_is_refused_before_any_scoring(
    registry: Registry, tokenizer: Any, predict: dict[str, Any], setting: str
) -> None:
    recipe = recipe_of(**predict)
    assembled = assembled_of(tokenizer, recipe, by_window=False, head=PlainHead)
    with pytest.raises(UsageError, match="which the head 'linear_span' does not give") as error:
        prepare(LONG, assembled, recipe, registry)
    assert setting in str(error.value)
    plain = recipe_of(aggregation="max")
    assert score(
        prepare(LONG, assembled, plain, registry), assembled, device=torch.device("cpu"), precision="fp32"
    ).positions is None  # fmt: skip


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_threshold_is_tuned_on_the_scores_of_each_way(
    registry: Registry, tokenizer: Any, aggregation: Aggregation
) -> None:
    recipe = recipe_of(aggregation=aggregation, no_answer=True)
    plain = predicted(LONG, recipe, registry, tokenizer)
    assert [each.null.score for each in plain if each.null] == [0.0, 0.0]
    judge = Judge.of(recipe, registry)
    for wanted in (0, 1):  # the first question has an answer and the second has none, and the other way round
        best = plain[wanted].candidates[0]
        answer = Answer(best.text, best.start, best.context)
        labelled = [replace(example, answers=(answer,) if row == wanted else ()) for row, example in enumerate(LONG)]
        prepared, scores = scored(labelled, recipe, registry, tokenizer)
        evaluation = evaluate(prepared, scores, judge, null_threshold=None, temperature=None)
        above = plain[wanted].candidates[0].score > plain[1 - wanted].candidates[0].score
        assert evaluation.figures["exact"] == (100.0 if above else 50.0)
