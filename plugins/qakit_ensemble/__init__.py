"""First-party ensembling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from qakit.api import Component, Ensembler, NoRuntime, NoSettings, Settings, as_shares, hookimpl


class VotingSettings(Settings):
    weights: tuple[float, ...] | None = Field(
        None, description="Votes of each member, in the members' order; by default one each."
    )
    ties: Literal["score", "first"] = Field(
        "score",
        description="Between answers with equal votes: `score` takes the one with the higher sum of (weighted) "
        "probabilities where the members know them; `first`, and everything else that is even, the earlier member's.",
    )

    @field_validator("weights")
    @classmethod
    def _usable(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None:
            as_shares(value)
        return value


class CharAverageSettings(Settings):
    mean: Literal["probability", "log"] = Field(
        "probability",
        description="Mean of the members' probabilities, or of their logarithms, which asks for all members' consent.",
    )
    floor: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-6,
        description="With `mean: log`, the least probability of a character at which some other member's token begins "
        "or ends; without it, members whose tokens do not meet there would forbid it.",
    )
    max_answer_length: PositiveInt | None = Field(
        None,
        description="Longest answer in characters; by default, question by question, that of the longest candidate in "
        "a member's nbest.jsonl.",
    )


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
