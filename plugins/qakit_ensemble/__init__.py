"""First-party ensembling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Ensembler, NoRuntime, NoSettings, hookimpl
from qakit_ensemble.settings import CharAverageSettings, VotingSettings

__all__ = ["CHAR_AVERAGE", "MEAN", "NBEST", "VOTING", "qakit_register_ensemblers"]


VOTING: Component[VotingSettings, NoRuntime, Ensembler] = Component(
    name="voting",
    summary="The answer that most members give; needs nothing but their answers",
    settings=VotingSettings,
    build="qakit_ensemble.voting:Voting",
)
NBEST: Component[NoSettings, NoRuntime, Ensembler] = Component(
    name="nbest",
    summary="The answer with the largest mean probability over the members' candidates",
    settings=NoSettings,
    build="qakit_ensemble.nbest:Nbest",
)
CHAR_AVERAGE: Component[CharAverageSettings, NoRuntime, Ensembler] = Component(
    name="char_average",
    summary="Start and end probabilities of characters averaged, also over different tokenizers, then one span search",
    settings=CharAverageSettings,
    build="qakit_ensemble.char_average:CharAverage",
)
MEAN: Component[NoSettings, NoRuntime, Ensembler] = Component(
    name="mean",
    summary="Mean of class probabilities, of contexts' probabilities, or of numbers",
    settings=NoSettings,
    build="qakit_ensemble.mean:Mean",
)


@hookimpl
def qakit_register_ensemblers() -> Iterable[Component[Any, Any, Any]]:
    """The ensemblers of this package."""
    return (VOTING, NBEST, CHAR_AVERAGE, MEAN)
