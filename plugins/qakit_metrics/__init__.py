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


def _build_squad_v1(settings: SquadV1Settings, _: NoRuntime) -> Metric:
    from qakit_metrics.span import SquadV1

    return SquadV1(settings)


def _build_squad_v2(settings: SquadV2Settings, _: NoRuntime) -> Metric:
    from qakit_metrics.span import SquadV2

    return SquadV2(settings)


def _build_cmrc(settings: CmrcSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.span import Cmrc2018

    return Cmrc2018(settings)


def _build_exact_match(settings: ExactMatchSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.span import ExactMatch

    return ExactMatch(settings)


def _build_jaccard(settings: JaccardSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.span import Jaccard

    return Jaccard(settings)


def _build_kappa(settings: KappaSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.classification import QuadraticKappa

    return QuadraticKappa(settings)


def _build_accuracy(settings: AccuracySettings, _: NoRuntime) -> Metric:
    from qakit_metrics.classification import Accuracy

    return Accuracy(settings)


def _build_accuracy_f1(settings: ClassF1Settings, _: NoRuntime) -> Metric:
    from qakit_metrics.classification import AccuracyF1

    return AccuracyF1(settings)


def _build_matthews(settings: MatthewsSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.classification import Matthews

    return Matthews(settings)


def _build_pearson_spearman(settings: CorrelationSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.classification import PearsonSpearman

    return PearsonSpearman(settings)


def _build_glue(settings: GlueMetricSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.classification import Accuracy, AccuracyF1, Matthews, MnliAccuracy, PearsonSpearman

    if settings.task in ("CoLA", "AX"):
        return Matthews()
    if settings.task in ("MRPC", "QQP"):
        return AccuracyF1(ClassF1Settings(positive="1"))
    if settings.task == "STS-B":
        return PearsonSpearman(CorrelationSettings())
    return MnliAccuracy() if settings.task == "MNLI" else Accuracy()


def _build_selection(settings: SelectionSettings, _: NoRuntime) -> Metric:
    from qakit_metrics.selection import Selection

    return Selection(settings)


SQUAD_V1: Component[SquadV1Settings, NoRuntime, Metric] = Component(
    name="squad_v1",
    summary="SQuAD 1.1: exact match and token F1 as the official script gives them",
    settings=SquadV1Settings,
    build=_build_squad_v1,
)
SQUAD_V2: Component[SquadV2Settings, NoRuntime, Metric] = Component(
    name="squad_v2",
    summary="SQuAD 2.0: the official figures with HasAns, NoAns and best thresholds",
    settings=SquadV2Settings,
    build=_build_squad_v2,
)
CMRC2018: Component[CmrcSettings, NoRuntime, Metric] = Component(
    name="cmrc2018",
    summary="CMRC 2018 and DRCD: Chinese exact match and longest-common-run F1",
    settings=CmrcSettings,
    build=_build_cmrc,
)
EXACT_MATCH: Component[ExactMatchSettings, NoRuntime, Metric] = Component(
    name="exact_match",
    summary="Equal texts, as Kaggle compares them, and F1 over characters",
    settings=ExactMatchSettings,
    build=_build_exact_match,
)
JACCARD: Component[JaccardSettings, NoRuntime, Metric] = Component(
    name="jaccard",
    summary="Shared words, as Tweet Sentiment Extraction and chaii count them, and equal texts",
    settings=JaccardSettings,
    build=_build_jaccard,
)
QUADRATIC_KAPPA: Component[KappaSettings, NoRuntime, Metric] = Component(
    name="quadratic_kappa",
    summary="Grades: Cohen's kappa with quadratic weights",
    settings=KappaSettings,
    build=_build_kappa,
)
ACCURACY: Component[AccuracySettings, NoRuntime, Metric] = Component(
    name="accuracy",
    summary="Classes: share of the right ones",
    settings=AccuracySettings,
    build=_build_accuracy,
)
ACCURACY_F1: Component[ClassF1Settings, NoRuntime, Metric] = Component(
    name="accuracy_f1",
    summary="Classes: accuracy, F1 (of one class, or macro) and their mean",
    settings=ClassF1Settings,
    build=_build_accuracy_f1,
)
MATTHEWS: Component[MatthewsSettings, NoRuntime, Metric] = Component(
    name="matthews",
    summary="Classes: Matthews' correlation, for two classes or more",
    settings=MatthewsSettings,
    build=_build_matthews,
)
PEARSON_SPEARMAN: Component[CorrelationSettings, NoRuntime, Metric] = Component(
    name="pearson_spearman",
    summary="Numbers: Pearson's and Spearman's correlation and their mean",
    settings=CorrelationSettings,
    build=_build_pearson_spearman,
)
GLUE: Component[GlueMetricSettings, NoRuntime, Metric] = Component(
    name="glue",
    summary="The official figures of the ten GLUE tasks",
    settings=GlueMetricSettings,
    build=_build_glue,
)

SELECTION: Component[SelectionSettings, NoRuntime, Metric] = Component(
    name="selection",
    summary="Contexts: how often the one with the answer is chosen, its reciprocal rank, and recall",
    settings=SelectionSettings,
    build=_build_selection,
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
