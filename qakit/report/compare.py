"""Runs side by side: figures with intervals, groups of seeds, and differences by paired bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from qakit.errors import UsageError
from qakit.recipe.differences import differing_keys, seeds_apart
from qakit.report.compare_runs import Member
from qakit.report.training_data import mixed_training_data
from qakit.runs import Run, cut_short, ensemble_members, ensemble_method
from qakit.statistics import LEVEL, Column, Difference, Sampling, Spread, drawn_columns, mean_columns, mean_of

FEW = 50
"""Questions below which a bootstrap interval is markedly too narrow."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare, and how."""

    keys: tuple[str, ...] = ()
    """Figures of the metric; empty for all that it has for single questions, or for draws of them."""
    baseline: int = 0
    """The run (by index) whose group the others are compared with."""
    all_pairs: bool = False
    by_seed: bool = True
    """Whether runs that differ only in their seed form a group."""
    resamples: int = 10_000
    seed: int = 0

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.resamples, self.seed)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its bootstrap interval over the questions; ``mean``: over the seeds, if there are several."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in nothing but their seed; often just one."""

    label: str
    members: tuple[int, ...]
    differs: Mapping[str, str]
    """Recipe keys that are not the same in all groups; of an ensemble, its method and size."""
    estimates: Mapping[str, Estimate]
    """By figure: of the mean over the seeds, by question or by draw."""
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
    """For each run, the recipe keys that are not the same in all runs; of an ensemble, its method and size."""
    estimates: tuple[Mapping[str, Estimate], ...]
    """For each run, by figure."""
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    keys: tuple[str, ...]
    questions: int
    plan: Plan
    notes: tuple[str, ...]
    level: float = LEVEL

    def as_json(self) -> dict[str, Any]:
        """compare.json: everything but the curves, as plain values."""
        labels = [group.label for group in self.groups]
        return {
            "metric": self.members[0].recipe.metric.name,
            "figures": list(self.keys),
            "questions": self.questions,
            "level": self.level,
            "resamples": self.plan.resamples,
            "seed": self.plan.seed,
            "runs": [
                {
                    "run": str(member.run.folder),
                    "label": label,
                    "seed": member.recipe.seed,
                    "differs": dict(differs),
                    "figures": {key: asdict(estimate) for key, estimate in estimates.items()},
                    "trainable_parameters": member.trainable,
                    "seconds_per_step": member.speeds.seconds_per_step,
                    "train_windows_per_second": member.speeds.train_windows,
                    "evaluation_windows_per_second": member.speeds.evaluation_windows,
                    "finished": member.finished,
                }
                for member, label, differs, estimates in zip(
                    self.members, self.labels, self.differs, self.estimates, strict=True
                )
            ],
            "groups": [
                {
                    "label": group.label,
                    "runs": [str(self.members[index].run.folder) for index in group.members],
                    "differs": dict(group.differs),
                    "figures": {key: asdict(estimate) for key, estimate in group.estimates.items()},
                    "seeds": {
                        key: {"min": spread.low, "max": spread.high, "sd": spread.sd}
                        for key, spread in group.spreads.items()
                    },
                }
                for group in self.groups
            ],
            "differences": [
                {
                    "first": labels[pair.first],
                    "second": labels[pair.second],
                    "figure": pair.key,
                    **asdict(pair.difference),
                    "distinguishable": pair.difference.distinguishable,
                }
                for pair in self.pairs
            ],
            "notes": list(self.notes),
        }


def compare(members: Sequence[Member], plan: Plan) -> Comparison:
    """Compare runs that answered the same questions.

    Seeds are taken as fixed: a group's interval says how sure its mean is over other questions, not over other seeds.

    Raises:
        UsageError: the metric does not have a wanted figure.
    """
    columns = [columns_of(member, plan.sampling) for member in members]
    keys = _keys(members[0], columns[0], plan.keys)
    labels = labels_of([member.run.folder for member in members])
    of_groups = _grouped(members) if plan.by_seed else [[index] for index in range(len(members))]
    differs = _recipe_differences(members)
    estimates = tuple({key: _estimate(of_run[key], plan) for key in keys} for of_run in columns)
    groups = tuple(_groups(columns, labels, of_groups, differs, estimates, keys, plan))
    questions = _questions(members[0])
    return Comparison(
        members=tuple(members),
        labels=labels,
        differs=tuple(differs),
        estimates=estimates,
        groups=groups,
        pairs=tuple(_pairs(columns, groups, keys, plan)),
        keys=keys,
        questions=questions,
        plan=plan,
        notes=tuple(_notes(members, labels, groups, questions)),
    )


def _recipe_differences(members: Sequence[Member]) -> list[dict[str, str]]:
    """For each run what its recipe has otherwise; of an ensemble, whose recipe is a member's, its method and size.

    Raises:
        RunError: an ensemble's file is damaged.
    """
    found = iter(differing_keys([member.recipe for member in members if not member.run.is_ensemble]))
    return [_ensemble(member.run) if member.run.is_ensemble else next(found) for member in members]


def _ensemble(run: Run) -> dict[str, str]:
    return {"ensemble": f"{ensemble_method(run)} of {len(ensemble_members(run))}"}


def _grouped(members: Sequence[Member]) -> list[list[int]]:
    """Runs that differ only in their seed, together; what is made of several recipes stands alone."""
    plain = [index for index, member in enumerate(members) if not member.run.is_composed]
    groups = [[plain[index] for index in group] for group in seeds_apart([members[index].recipe for index in plain])]
    return sorted([*groups, *([index] for index, member in enumerate(members) if member.run.is_composed)])


def columns_of(member: Member, sampling: Sampling) -> dict[str, Column]:
    """A run's figures, ready for the bootstrap."""
    if member.draws is None:
        return mean_columns(member.figures)
    return drawn_columns(member.draws, member.questions, sampling)


def _questions(member: Member) -> int:
    return member.questions if member.draws is not None else len(next(iter(member.figures.values())))


def _keys(member: Member, columns: Mapping[str, Column], wanted: Sequence[str]) -> tuple[str, ...]:
    known = tuple(columns)
    for key in wanted:
        if key not in known:
            metric = member.recipe.metric.name
            each = "" if member.draws is not None else " for each question"
            raise UsageError(f"there is no figure {key!r}: {metric} has {', '.join(known)}{each}")
    return tuple(dict.fromkeys(wanted)) or known


def labels_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """What runs are called: by their folder's name, or the whole path where two have the same name."""
    names = [folder.resolve().name for folder in folders]
    return tuple(name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True))


def _estimate(column: Column, plan: Plan) -> Estimate:
    return Estimate(column.figure, *column.interval(plan.sampling))


def _groups(
    columns: Sequence[Mapping[str, Column]],
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
            estimates={key: _estimate(mean_of([columns[index][key] for index in indices]), plan) for key in keys}
            if several
            else estimates[first],
            spreads={key: Spread.of([each[key] for each in means]) for key in keys} if several else {},
        )


def _pairs(
    columns: Sequence[Mapping[str, Column]], groups: Sequence[Group], keys: Sequence[str], plan: Plan
) -> Iterator[Pair]:
    base = next(number for number, group in enumerate(groups) if plan.baseline in group.members)
    order = [base, *(number for number in range(len(groups)) if number != base)]
    means = {
        (number, key): mean_of([columns[index][key] for index in group.members])
        for number, group in enumerate(groups)
        for key in keys
    }
    for second, first in combinations(order, 2):
        if plan.all_pairs or second == base:
            for key in keys:
                yield Pair(first, second, key, means[first, key].minus(means[second, key], plan.sampling))


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
        if short := cut_short(member.run):
            yield f"{label} has trained {short}."
    yield from mixed_training_data({label: member.run for label, member in zip(labels, members, strict=True)})
