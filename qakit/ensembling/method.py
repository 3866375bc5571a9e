"""A method with its weights, given or learnt, whether or not it can do more than combine predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qakit.ensembling.load import Weights, as_shares
from qakit.errors import PluginError, UsageError
from qakit.protocols import EnsembleMember, Ensembler, Gives, NoRuntime, Pool, PoolsMembers
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example, Prediction

WEIGHTS = "weights"
"""What ensemblers call their setting of one number for each member."""


@dataclass(frozen=True, slots=True)
class Method:
    """An ensembler for M members."""

    name: str
    settings: Mapping[str, Any]
    ensembler: Ensembler
    members: int
    """M."""
    weights: tuple[float, ...] | None
    """(M,) as given, shares of 1; None if they are to be learnt."""
    leaves_out: bool
    """Whether members can be left out by a weight of 0."""

    @staticmethod
    def of(name: str, settings: Mapping[str, Any], weights: Weights, members: int, registry: Registry) -> Method:
        """Build an ensembler.

        Raises:
            UsageError: the weights do not go with the members or the method.
        """
        given = settings.get(WEIGHTS) if weights is None else weights
        known = WEIGHTS in registry.get("ensemblers", name).component.settings.model_fields
        numbers = tuple(map(float, given)) if isinstance(given, tuple | list) else None
        if numbers is not None and len(numbers) != members:
            raise UsageError(f"there are {len(numbers)} weights for {members} members; give one for each")
        shares = None if given == "learn" else _shares(numbers or (1.0,) * members)
        own = dict(settings)
        if known and numbers is not None:
            own[WEIGHTS] = list(numbers)
        ensembler: Ensembler = registry.build("ensemblers", name, own, NoRuntime())
        pools = isinstance(ensembler, PoolsMembers)
        if given == "learn" and not (pools and getattr(ensembler, "learns", True)):
            so = " with these settings" if pools else ""
            raise UsageError(f"the ensembler {name!r} learns no weights{so}; give --weights, or choose another method")
        if not pools and numbers is not None and not known:
            raise UsageError(f"the ensembler {name!r} has no weights")
        return Method(name, settings, ensembler, members, shares, pools or numbers is None)

    @property
    def reads_characters(self) -> bool:
        """Whether it needs the members' character scores, and the questions."""
        return isinstance(self.ensembler, PoolsMembers) and self.ensembler.reads_characters

    def check_characters(self, recipe: Recipe, *, remedy: str) -> None:
        """Make sure that runs of a recipe will keep what the method needs; ``remedy``: what to do if not.

        Raises:
            UsageError: they will not.
        """
        if self.reads_characters and not recipe.predict.character_scores:
            raise UsageError(f"{self.name} needs the members' character scores: {remedy}")

    def check_answers(self, head: str, gives: Gives, *, key: str) -> None:
        """Make sure that a method which reads character scores gets answers; ``key``: where the recipe names it.

        Raises:
            UsageError: the members' head gives something else.
        """
        if self.reads_characters and gives != "spans":
            raise UsageError(f"{key}: {self.name} is for answers, and the head {head!r} gives {gives}")

    @property
    def decodes(self) -> bool:
        """Whether its answers still need a no-answer threshold and clean-up."""
        return isinstance(self.ensembler, PoolsMembers) and self.ensembler.decodes

    @property
    def by_question(self) -> bool:
        """Whether it combines each question by itself."""
        return isinstance(self.ensembler, PoolsMembers)

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """The members, ready to be combined with any weights.

        Raises:
            QakitError: the members' predictions cannot be combined by this method.
        """
        if isinstance(self.ensembler, PoolsMembers):
            return self.ensembler.pool(members, examples)
        return _Plain(self.ensembler, members, all_of_them=not self.leaves_out)


@dataclass(frozen=True, slots=True)
class _Plain:
    """For ensemblers that only combine."""

    ensembler: Ensembler
    members: Sequence[EnsembleMember]
    all_of_them: bool
    """It has a weight for each, also where that is 0."""

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:  # noqa: ARG002
        """The members with a weight above 0, or all; how much each counts is the ensembler's own setting."""
        pairs = zip(self.members, weights, strict=True)
        taken = [member for member, weight in pairs if weight > 0 or self.all_of_them]
        return self.ensembler.combine([member.predictions for member in taken])

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Not possible."""
        raise UsageError(f"this ensembler learns no weights (asked for {len(rows)} questions)")


def _shares(weights: Sequence[float]) -> tuple[float, ...]:
    try:
        return as_shares(weights)
    except ValueError as error:
        raise UsageError(str(error)) from None


def without(weights: Sequence[float], member: int) -> tuple[float, ...]:
    """The weights with one member left out; equal ones where the others have none."""
    rest = [0.0 if number == member else weight for number, weight in enumerate(weights)]
    if not sum(rest):
        rest = [float(number != member) for number in range(len(weights))]
    return as_shares(rest)


ROUNDING = 1e-3
"""How far the sum of learnt weights may be from 1."""


def learnt_values(found: Any, *, members: int, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What ``learn`` of a pool of M members returned: weights and temperatures, (M,) each, as plain numbers.

    Lists and numpy arrays will do.

    Args:
        members: M.
        name: the ensembler, for the message.

    Raises:
        PluginError: they are not M finite numbers each, a weight is negative or a temperature not above 0, or the
            weights do not sum to 1.
    """
    what = f"`learn` of the ensembler {name!r}"
    try:
        weights, temperatures = (tuple(map(float, part)) for part in found)
    except (TypeError, ValueError):
        given = "None" if found is None else type(found).__name__
        raise PluginError(
            f"{what} must return weights and temperatures, a number for each member; it returned {given}"
        ) from None
    for values, each, allowed, wanted in (
        (weights, "weights", _not_negative, "finite numbers from 0 up"),
        (temperatures, "temperatures", _positive, "finite numbers above 0"),
    ):
        if len(values) != members:
            raise PluginError(f"{what} returned {len(values)} {each} for {members} members: {_shown(values)}")
        if not allowed(values):
            raise PluginError(f"{what} returned {each} that are not {wanted}: {_shown(values)}")
    if abs(math.fsum(weights) - 1) > ROUNDING:
        raise PluginError(f"{what} returned weights that sum to {math.fsum(weights):g}, not 1: {_shown(weights)}")
    return weights, temperatures


def _not_negative(values: Sequence[float]) -> bool:
    return all(0 <= value < math.inf for value in values)


def _positive(values: Sequence[float]) -> bool:
    return all(0 < value < math.inf for value in values)


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
