"""First-party metrics: SQuAD 1.1 and 2.0, CMRC 2018 (also for DRCD), exact match as competitions count it; GLUE's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Metric, NoRuntime, hookimpl
from qakit_metrics.settings import (
    AccuracySettings,
    ClassF1Settings,
    CmrcSettings,
    CorrelationSettings,
    ExactMatchSettings,
    GlueMetricSettings,
    JaccardSettings,
    KappaSettings,
    MatthewsSettings,
    SelectionSettings,
    SquadV1Settings,
    SquadV2Settings,
)

__all__ = [
    "ACCURACY",
    "ACCURACY_F1",
    "CMRC2018",
    "EXACT_MATCH",
    "GLUE",
    "JACCARD",
    "MATTHEWS",
    "PEARSON_SPEARMAN",
    "QUADRATIC_KAPPA",
    "SELECTION",
    "SQUAD_V1",
    "SQUAD_V2",
    "qakit_register_metrics",
]


SQUAD_V1: Component[SquadV1Settings, NoRuntime, Metric] = Component(
    name="squad_v1",
    summary="SQuAD 1.1: exact match and token F1 as the official script gives them",
    settings=SquadV1Settings,
    build="qakit_metrics.span:SquadV1",
)
SQUAD_V2: Component[SquadV2Settings, NoRuntime, Metric] = Component(
    name="squad_v2",
    summary="SQuAD 2.0: the official figures with HasAns, NoAns and best thresholds",
    settings=SquadV2Settings,
    build="qakit_metrics.span:SquadV2",
)
CMRC2018: Component[CmrcSettings, NoRuntime, Metric] = Component(
    name="cmrc2018",
    summary="CMRC 2018 and DRCD: Chinese exact match and longest-common-run F1",
    settings=CmrcSettings,
    build="qakit_metrics.span:Cmrc2018",
)
EXACT_MATCH: Component[ExactMatchSettings, NoRuntime, Metric] = Component(
    name="exact_match",
    summary="Equal texts, as Kaggle compares them, and F1 over characters",
    settings=ExactMatchSettings,
    build="qakit_metrics.span:ExactMatch",
)
JACCARD: Component[JaccardSettings, NoRuntime, Metric] = Component(
    name="jaccard",
    summary="Shared words, as Tweet Sentiment Extraction and chaii count them, and equal texts",
    settings=JaccardSettings,
    build="qakit_metrics.span:Jaccard",
)
QUADRATIC_KAPPA: Component[KappaSettings, NoRuntime, Metric] = Component(
    name="quadratic_kappa",
    summary="Grades: Cohen's kappa with quadratic weights",
    settings=KappaSettings,
    build="qakit_metrics.classification:QuadraticKappa",
)
ACCURACY: Component[AccuracySettings, NoRuntime, Metric] = Component(
    name="accuracy",
    summary="Classes: share of the right ones",
    settings=AccuracySettings,
    build="qakit_metrics.classification:Accuracy",
)
ACCURACY_F1: Component[ClassF1Settings, NoRuntime, Metric] = Component(
    name="accuracy_f1",
    summary="Classes: accuracy, F1 (of one class, or macro) and their mean",
    settings=ClassF1Settings,
    build="qakit_metrics.classification:AccuracyF1",
)
MATTHEWS: Component[MatthewsSettings, NoRuntime, Metric] = Component(
    name="matthews",
    summary="Classes: Matthews' correlation, for two classes or more",
    settings=MatthewsSettings,
    build="qakit_metrics.classification:Matthews",
)
PEARSON_SPEARMAN: Component[CorrelationSettings, NoRuntime, Metric] = Component(
    name="pearson_spearman",
    summary="Numbers: Pearson's and Spearman's correlation and their mean",
    settings=CorrelationSettings,
    build="qakit_metrics.classification:PearsonSpearman",
)
GLUE: Component[GlueMetricSettings, NoRuntime, Metric] = Component(
    name="glue",
    summary="The official figures of the ten GLUE tasks",
    settings=GlueMetricSettings,
    build="qakit_metrics.classification:build_glue",
)

SELECTION: Component[SelectionSettings, NoRuntime, Metric] = Component(
    name="selection",
    summary="Contexts: how often the one with the answer is chosen, its reciprocal rank, and recall",
    settings=SelectionSettings,
    build="qakit_metrics.selection:Selection",
)


@hookimpl
def qakit_register_metrics() -> Iterable[Component[Any, Any, Any]]:
    """The metrics of this package."""
    return (
        SQUAD_V1,
        SQUAD_V2,
        CMRC2018,
        EXACT_MATCH,
        JACCARD,
        QUADRATIC_KAPPA,
        ACCURACY,
        ACCURACY_F1,
        MATTHEWS,
        PEARSON_SPEARMAN,
        GLUE,
        SELECTION,
    )
