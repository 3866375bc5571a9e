"""The metrics as recipes name them."""

from __future__ import annotations

from typing import Any

import pytest

import qakit_metrics
from qakit.components import Component
from qakit.errors import UsageError
from qakit.protocols import Metric, NoRuntime, OfficialFormat, PerExampleMetric
from qakit.values import Answer, ContextPrediction, Example, LabelPrediction, NoAnswer, SpanPrediction

COMPONENTS = qakit_metrics.qakit_register_metrics()
OTHER_THAN_ANSWERS = {
    "accuracy",
    "accuracy_f1",
    "columnwise_auc",
    "columnwise_rmse",
    "columnwise_spearman",
    "matthews",
    "pearson_spearman",
    "quadratic_kappa",
    "glue",
    "selection",
    "auc",
    "log_loss",
}
AS_A_WHOLE = {"micro_f1", "multi_span"}
"""Those of answers that are no means over questions."""
GOLD = [Example("a", "?", ("c",), (Answer("1,912", None),)), Example("b", "?", ("c",), ())]
PREDICTIONS = [SpanPrediction("b", "", null=NoAnswer(1.0, 0.9)), SpanPrediction("a", "1912", null=NoAnswer(0.0, 0.2))]


def build(name: str, **settings: Any) -> Any:
    component: Component[Any, Any, Any] = next(item for item in COMPONENTS if item.name == name)
    return component.build(component.settings(**settings), NoRuntime())


@pytest.mark.parametrize("name", sorted({component.name for component in COMPONENTS} - OTHER_THAN_ANSWERS - AS_A_WHOLE))
def test_every_metric_gives_its_primary_figure_also_for_each_example(name: str) -> None:
    metric = build(name)
    assert isinstance(metric, Metric)
    assert isinstance(metric, PerExampleMetric)
    figures = metric.compute(GOLD, PREDICTIONS)
    columns = metric.per_example(GOLD, ["1912", ""])
    assert figures[metric.primary] == pytest.approx(sum(columns[metric.primary]) / 2)


def test_primary_can_be_chosen() -> None:
    assert build("squad_v1").primary == "f1"
    assert build("cmrc2018", primary="AVERAGE").primary == "AVERAGE"


def test_squad_v2_uses_probabilities_when_all_predictions_have_them() -> None:
    assert "best_f1" in build("squad_v2").compute(GOLD, PREDICTIONS)
    assert "best_f1" not in build("squad_v2").compute(GOLD, [PREDICTIONS[0], SpanPrediction("a", "1912")])
    assert build("squad_v2", no_answer_threshold=0.1).compute(GOLD, PREDICTIONS)["exact"] == 50.0


def test_squad_v2_counts_equal_texts_on_request() -> None:
    assert "raw_exact" not in build("squad_v2").compute(GOLD, PREDICTIONS)
    for settings in ({"raw": True}, {"primary": "raw_exact"}):
        metric = build("squad_v2", **settings)
        figures = metric.compute(GOLD, PREDICTIONS)
        assert (figures["exact"], figures["raw_exact"]) == (100.0, 50.0)  # "1,912" and "1912"
        assert metric.per_example(GOLD, ["1,912", "x"])["raw_exact"] == [100.0, 0.0]
        assert metric.compute(GOLD, PREDICTIONS[:1])["raw_exact"] == 50.0  # a missing prediction scores 0
    silenced = build("squad_v2", raw=True, no_answer_threshold=0.1)
    assert (
        silenced.compute(GOLD, [PREDICTIONS[0], SpanPrediction("a", "1,912", null=NoAnswer(0.0, 0.2))])["raw_exact"]
        == 50.0
    )


def test_exact_match_removes_what_the_key_lost() -> None:
    assert build("exact_match").compute(GOLD, PREDICTIONS)["exact_match"] == 50.0
    assert build("exact_match", remove_characters=",").compute(GOLD, PREDICTIONS)["exact_match"] == 100.0


def test_cmrc_has_the_official_format() -> None:
    assert isinstance(build("cmrc2018"), OfficialFormat)


def test_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="id 'a' is a class or a number"):
        build("squad_v1").compute(GOLD, [LabelPrediction("a", "positive")])
    with pytest.raises(UsageError, match="id 'a' is a context; name a metric for contexts"):
        build("squad_v1").compute(GOLD, [ContextPrediction("a", 0)])
