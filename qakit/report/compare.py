"""Runs side by side: figures with intervals, groups of seeds, and differences by paired bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from qakit.errors import UsageError
from qakit.report.bootstrap import LEVEL, Difference, interval, paired
from qakit.report.compare_recipes import differing_keys, seeds_apart

if TYPE_CHECKING:
    from qakit.report.compare_runs import Member

FEW = 50
"""Questions below which a bootstrap interval is markedly too narrow."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare, and how."""

    keys: tuple[str, ...] = ()
    """Figures of the metric; empty for all that it has for single questions."""
    baseline: int = 0
    """The run (by index) whose group the others are compared with."""
    all_pairs: bool = False
    by_seed: bool = True
    """Whether runs that differ only in their seed form a group."""
    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the questions with its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the seeds of a group."""

    low: float
    high: float
    sd: float
    """Standard deviation of the sample (n - 1)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in nothing but their seed; often just one."""

    label: str
    members: tuple[int, ...]
    differs: Mapping[str, str]
    """Recipe keys that are not the same in all groups."""
    estimates: Mapping[str, Estimate]
    """By figure: of each question's mean over the seeds."""
    spreads: Mapping[str, Spread]
    """By figure: over the seeds; empty for a single run."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two groups' difference in one figure: ``first - second``."""

    first: int
    second: int
    key: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that tables, files and pictures show."""

    members: tuple[Member, ...]
    labels: tuple[str, ...]
    """One for each run: its folder's name, or the whole path where two have the same name."""
    differs: tuple[Mapping[str, str], ...]
    """For each run, the recipe keys that are not the same in all runs."""
    estimates: tuple[Mapping[str, Estimate], ...]
    """For each run, by figure."""
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    keys: tuple[str, ...]
    questions: int
    plan: Plan
    notes: tuple[str, ...]
    level: float = LEVEL


def compare(members: Sequence[Member], plan: Plan) -> Comparison:
    """Compare runs that answered the same questions.

    Seeds are taken as fixed: a group's interval says how sure its mean is over other questions, not over other seeds.

    Raises:
        UsageError: the metric does not have a wanted figure.
    """
    keys = _keys(members[0], plan.keys)
    labels = _labels(members)
    recipes = [member.recipe for member in members]
    of_groups = seeds_apart(recipes) if plan.by_seed else [[index] for index in range(len(members))]
    differs = differing_keys(recipes)
    estimates = tuple({key: _estimate(member.figures[key], plan) for key in keys} for member in members)
    groups = tuple(_groups(members, labels, of_groups, differs, estimates, keys, plan))
    return Comparison(
        members=tuple(members),
        labels=labels,
        differs=tuple(differs),
        estimates=estimates,
        groups=groups,
        pairs=tuple(_pairs(members, groups, keys, plan)),
        keys=keys,
        questions=len(members[0].figures[keys[0]]),
        plan=plan,
        notes=tuple(_notes(members, labels, groups, len(members[0].figures[keys[0]]))),
    )


def _keys(member: Member, wanted: Sequence[str]) -> tuple[str, ...]:
    known = tuple(member.figures)
    for key in wanted:
        if key not in known:
            metric = member.recipe.metric.name
            raise UsageError(f"there is no figure {key!r}: {metric} has {', '.join(known)} for each question")
    return tuple(dict.fromkeys(wanted)) or known


def _labels(members: Sequence[Member]) -> tuple[str, ...]:
    names = [member.run.folder.resolve().name for member in members]
    return tuple(
        name if names.count(name) == 1 else str(member.run.folder) for name, member in zip(names, members, strict=True)
    )


def _estimate(values: Sequence[float], plan: Plan) -> Estimate:
    return Estimate(fmean(values), *interval(values, seed=plan.seed, resamples=plan.resamples))


def _groups(
    members: Sequence[Member],
    labels: Sequence[str],
    of_groups: Iterable[Sequence[int]],
    differs: Sequence[Mapping[str, str]],
    estimates: Sequence[Mapping[str, Estimate]],
    keys: Sequence[str],
    plan: Plan,
) -> Iterator[Group]:
    for indices in of_groups:
        first, several = indices[0], len(indices) > 1
        means = [{key: estimates[index][key].mean for key in keys} for index in indices]
        yield Group(
            label=f"{labels[first]} ({len(indices)} seeds)" if several else labels[first],
            members=tuple(indices),
            differs={key: value for key, value in differs[first].items() if not several or key != "seed"},
            estimates={key: _estimate(_over_seeds(members, indices, key), plan) for key in keys}
            if several
            else estimates[first],
            spreads={key: _spread([each[key] for each in means]) for key in keys} if several else {},
        )


def _over_seeds(members: Sequence[Member], indices: Sequence[int], key: str) -> list[float]:
    """Each question's mean over the runs."""
    return [fmean(values) for values in zip(*(members[index].figures[key] for index in indices), strict=True)]


def _spread(means: Sequence[float]) -> Spread:
    return Spread(min(means), max(means), stdev(means))


def _pairs(members: Sequence[Member], groups: Sequence[Group], keys: Sequence[str], plan: Plan) -> Iterator[Pair]:
    base = next(number for number, group in enumerate(groups) if plan.baseline in group.members)
    order = [base, *(number for number in range(len(groups)) if number != base)]
    columns = {
        (number, key): _over_seeds(members, group.members, key) for number, group in enumerate(groups) for key in keys
    }
    for second, first in combinations(order, 2):
        if plan.all_pairs or second == base:
            for key in keys:
                found = paired(columns[first, key], columns[second, key], seed=plan.seed, resamples=plan.resamples)
                yield Pair(first, second, key, found)


def _notes(members: Sequence[Member], labels: Sequence[str], groups: Sequence[Group], questions: int) -> Iterator[str]:
    if any(group.spreads for group in groups):
        yield (
            "Runs that differ only in their seed are one group; each question's mean over the seeds is compared. "
            "Seeds are taken as fixed: intervals say what other questions might change, not what other seeds might."
        )
    if questions < FEW:
        yield f"Intervals of {questions} questions are too narrow: they know only what these questions show."
    for member, label in zip(members, labels, strict=True):
        if not member.finished:
            yield f"{label} is not finished; its best weights so far are compared."
