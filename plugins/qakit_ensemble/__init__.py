"""First-party ensembling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Ensembler, NoRuntime, NoSettings, hookimpl
from qakit_ensemble.settings import CharAverageSettings, VotingSettings

__all__ = ["CHAR_AVERAGE", "MEAN", "NBEST", "VOTING", "qakit_register_ensemblers"]


def _build_voting(settings: VotingSettings, _: NoRuntime) -> Ensembler:
    from qakit_ensemble.voting import Voting

    return Voting(settings)


def _build_nbest(settings: NoSettings, _: NoRuntime) -> Ensembler:
    from qakit_ensemble.nbest import Nbest

    return Nbest(settings)


def _build_char_average(settings: CharAverageSettings, _: NoRuntime) -> Ensembler:
    from qakit_ensemble.char_average import CharAverage

    return CharAverage(settings)


def _build_mean(settings: NoSettings, _: NoRuntime) -> Ensembler:
    from qakit_ensemble.mean import Mean

    return Mean(settings)


VOTING: Component[VotingSettings, NoRuntime, Ensembler] = Component(
    name="voting",
    summary="The answer that most members give; needs nothing but their answers",
    settings=VotingSettings,
    build=_build_voting,
)
NBEST: Component[NoSettings, NoRuntime, Ensembler] = Component(
    name="nbest",
    summary="The answer with the largest mean probability over the members' candidates",
    settings=NoSettings,
    build=_build_nbest,
)
CHAR_AVERAGE: Component[CharAverageSettings, NoRuntime, Ensembler] = Component(
    name="char_average",
    summary="Start and end probabilities of characters averaged, also over different tokenizers, then one span search",
    settings=CharAverageSettings,
    build=_build_char_average,
)
MEAN: Component[NoSettings, NoRuntime, Ensembler] = Component(
    name="mean",
    summary="Mean of class probabilities, of contexts' probabilities, or of numbers",
    settings=NoSettings,
    build=_build_mean,
)


@hookimpl
def qakit_register_ensemblers() -> Iterable[Component[Any, Any, Any]]:
    """The ensemblers of this package."""
    return (VOTING, NBEST, CHAR_AVERAGE, MEAN)
