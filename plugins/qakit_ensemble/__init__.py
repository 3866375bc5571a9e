"""First-party ensembling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Ensembler, NoRuntime, hookimpl
from qakit_ensemble.settings import VotingSettings

__all__ = ["VOTING", "qakit_register_ensemblers"]


def _build_voting(settings: VotingSettings, _: NoRuntime) -> Ensembler:
    from qakit_ensemble.voting import Voting

    return Voting(settings)


VOTING: Component[VotingSettings, NoRuntime, Ensembler] = Component(
    name="voting",
    summary="The answer that most members give; needs nothing but their answers",
    settings=VotingSettings,
    build=_build_voting,
)


@hookimpl
def qakit_register_ensemblers() -> Iterable[Component[Any, Any, Any]]:
    """The ensemblers of this package."""
    return (VOTING,)
