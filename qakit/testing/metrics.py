"""The contract of metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qakit.components import Component, Settings
from qakit.protocols import DrawnMetric, NoRuntime, PerExampleMetric
from qakit.testing.answers import label_predictions, made_up_answers, made_up_labels, made_up_questions
from qakit.testing.components import build_checked, running
from qakit.values import ContextPrediction, Example, Prediction, SpanPrediction, Targets


def check_metric(
    component: Component[Any, Any, Any],
    settings: Settings,
    *,
    labels: Sequence[str | float | Targets] = (),
    contexts: Sequence[int] = (),
) -> None:
    """Figures are finite numbers, the primary one among them, and right answers score above wrong ones.

    The mean of its figures for each example is the figure for all of them; a metric for draws of examples gives of each
    draw what it gives of the examples in it.

    Args:
        labels: gold classes (two or more different ones), numbers, or several numbers each, for a metric of those.
        contexts: gold numbers of the context that holds the answer, for a metric of those.

    Raises:
        AssertionError: with the reason.
    """
    metric = build_checked("metrics", component, settings, NoRuntime())
    examples = [example for example in made_up_questions() if example.answers]
    right: list[Prediction] = [each for each in made_up_answers() if each.id in {example.id for example in examples}]
    wrong: list[Prediction] = [SpanPrediction(each.id, "something else") for each in right]
    if labels:
        examples = made_up_labels(labels)
        right, wrong = (
            label_predictions(labels),
            label_predictions([_another(label, labels) for label in labels], classes=labels),
        )
    if contexts:
        texts = tuple(f"context {number}" for number in range(max(contexts) + 2))
        examples = [Example(str(row), "?", texts, relevant=number) for row, number in enumerate(contexts)]
        right = [ContextPrediction(str(row), number) for row, number in enumerate(contexts)]
        wrong = [ContextPrediction(str(row), number + 1) for row, number in enumerate(contexts)]
    with running("compute"):
        good, bad = metric.compute(examples, right), metric.compute(examples, wrong)
    for figures in (good, bad):
        assert metric.primary in figures, f"the primary figure {metric.primary!r} is not among {sorted(figures)}"
        for name, value in figures.items():
            assert math.isfinite(value), f"{name} is {value}"
    kinds = "" if labels or contexts else " (a metric of classes, numbers or contexts: pass `labels` or `contexts`)"
    assert good[metric.primary] > bad[metric.primary], f"right answers must score above wrong ones{kinds}"
    mixed = [right[0], *wrong[1:]]
    if isinstance(metric, PerExampleMetric):
        _check_per_example(metric, examples, mixed)
    if isinstance(metric, DrawnMetric):
        _check_draws(metric, examples, mixed)


def _check_per_example(metric: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    with running("per_example"):
        figures = metric.per_example(examples, [each.final for each in predictions])
        whole = metric.compute(examples, predictions)
    for name, values in figures.items():
        assert name in whole, f"per_example gives {name!r}, which compute does not have"
        mean = math.fsum(values) / len(values)
        same = math.isclose(mean, whole[name], rel_tol=1e-6, abs_tol=1e-6)
        assert same, f"per_example gives {name} as {mean} on the mean where compute gives {whole[name]}"


def _check_draws(metric: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    whole = np.ones(len(examples))
    twice = whole + np.eye(1, len(examples))[0]  # the first one comes once more
    with running("of_draws"):
        drawn = metric.of_draws(examples, [each.final for each in predictions], np.stack([whole, twice]))
        first = replace(examples[0], id="once more")
        again = replace(predictions[0], id=first.id)
        figures = metric.compute(examples, predictions), metric.compute([*examples, first], [*predictions, again])
    for number, wanted in enumerate(figures):
        for name, values in drawn.items():
            assert name in wanted, f"of_draws gives {name!r}, which compute does not have"
            same = math.isclose(values[number], wanted[name], rel_tol=1e-6, abs_tol=1e-6)
            assert same, f"of_draws gives {name} as {values[number]} where compute gives {wanted[name]}"


def _another(label: str | float | Targets, labels: Sequence[str | float | Targets]) -> str | float | Targets:
    if isinstance(label, Targets):
        return Targets((-number for number in label), label.names)
    return -label if isinstance(label, float) else next(other for other in labels if other != label)
