"""MultiSpanQA's figures against the official script's way of counting, written down once more."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import Answer, Example, LabelPrediction, SetPrediction, SpanPrediction, UsageError, normalize
from qakit_metrics import MultiSpanSettings
from qakit_metrics.multi_span import MultiSpan

METRIC = MultiSpan(MultiSpanSettings())
TEXTS = st.lists(st.sampled_from(["the sea", "Sea", "a tide", "tides rise", "the", "", "rise, twice"]), max_size=4)


def asked(name: str, texts: list[str]) -> Example:
    return Example(name, "?", ("",), tuple(Answer(text, None) for text in texts), together=True)


def longest_run(one: str, other: str) -> int:
    return max(
        (end - at for at in range(len(one)) for end in range(at, len(one) + 1) if one[at:end] in other), default=0
    )


def official(golds: list[list[str]], preds: list[list[str]]) -> dict[str, float]:
    """As ``eval_script.py`` of haonan-li/MultiSpanQA goes through the questions."""
    gold_count = pred_count = equal = precise = recalled = 0.0
    for gold, pred in (
        tuple({normalize(text) for text in each} for each in pair) for pair in zip(golds, preds, strict=True)
    ):
        gold_count += max(len(gold), 1)
        pred_count += max(len(pred), 1)
        equal += 1 if not gold and not pred else len(gold & pred)
        nothing = not pred or pred == {""}
        if not gold and nothing:
            precise, recalled = precise + 1, recalled + 1
        elif gold and not nothing:
            precise += sum(max(longest_run(g, p) / len(p) if p else 0 for g in gold) for p in pred)
            recalled += sum(max(longest_run(g, p) / len(g) if g else 0 for p in pred) for g in gold)
    figures = {}
    for name, found, of in (("exact_match", equal, equal), ("overlap", precise, recalled)):
        p, r = 100 * found / pred_count, 100 * of / gold_count
        figures |= {f"{name}_precision": p, f"{name}_recall": r, f"{name}_f1": 2 * p * r / (p + r) if p + r else 0.0}
    return figures


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_the_figures_are_the_official_ones(pairs: list[tuple[list[str], list[str]]]) -> None:
    examples = [asked(str(row), gold) for row, (gold, _) in enumerate(pairs)]
    predictions = [SetPrediction(str(row), tuple(said)) for row, (_, said) in enumerate(pairs)]
    assert METRIC.compute(examples, predictions) == pytest.approx(official(*map(list, zip(*pairs, strict=True))))
    drawn = METRIC.of_draws(examples, [each.final for each in predictions], np.ones((2, len(pairs))))
    assert all(values.shape == (2,) for values in drawn.values())


def test_a_single_answer_is_a_set_of_one_and_a_missing_one_empty() -> None:
    examples = [asked("a", ["one", "two"]), asked("b", ["one"])]
    figures = METRIC.compute(examples, [SpanPrediction("a", "two")])
    assert figures["exact_match_precision"] == 50.0  # nothing is one wrong answer
    assert figures["exact_match_recall"] == pytest.approx(100 / 3)
    with pytest.raises(UsageError, match="scores answers"):
        METRIC.compute(examples, [LabelPrediction("a", "yes")])


@given(st.lists(st.text(), max_size=3))
def test_texts_of_a_set_are_those_that_were_put_in(texts: list[str]) -> None:
    final = SetPrediction("a", tuple(texts)).final
    assert SetPrediction.texts(final) == tuple(texts)
    assert SetPrediction.texts("a text") == ("a text",)
    assert json.loads(final or "[]") == texts
