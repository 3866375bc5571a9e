"""First-party metrics: SQuAD 1.1 and 2.0, CMRC 2018 (also for DRCD), exact match as competitions count it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Metric, NoRuntime, hookimpl
from qakit_metrics.settings import CmrcSettings, ExactMatchSettings, SquadV1Settings, SquadV2Settings

__all__ = ["CMRC2018", "EXACT_MATCH", "SQUAD_V1", "SQUAD_V2", "qakit_register_metrics"]


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


@hookimpl
def qakit_register_metrics() -> Iterable[Component[Any, Any, Any]]:
    """The metrics of this package."""
    return (SQUAD_V1, SQUAD_V2, CMRC2018, EXACT_MATCH)
