"""A study's trials: every combination of recipe, variant, grid values and seed, each with its checked recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from qakit.errors import RecipeError
from qakit.recipe.dump import yaml_flow
from qakit.recipe.issues import Issue, did_you_mean
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import Findings, ListNode, Place, ScalarNode, dotted, find, plain
from qakit.recipe.overrides import Setting, key_path, override_source
from qakit.study.load import LoadedStudy
from qakit.study.space import corners, distinct, join, value_label

MOST_TRIALS = 10_000
"""Of a grid. Each has a recipe that is read and checked before anything is trained."""


class Loaded(Protocol):
    """A checked recipe of any kind."""

    @property
    def recipe(self) -> Recipe:
        """That of the whole, where it has parts."""
        ...


T = TypeVar("T", bound=Loaded)
T_co = TypeVar("T_co", bound=Loaded, covariant=True)


class Load(Protocol[T_co]):
    """Reads a recipe file of any kind."""

    def __call__(self, path: Path, /, *, overrides: Sequence[str], settings: Sequence[Setting]) -> T_co:
        """Settings come before overrides; raises RecipeError with every problem."""
        ...


@dataclass(frozen=True, slots=True)
class PlannedTrial(Generic[T]):
    key: str
    """Names what is trained, whatever it is called: the same values have the same key."""
    label: str
    """Names the run's folder: task, row and seed."""
    task: str
    """Which of the study's recipes; empty where there is just one."""
    row: str
    """Which variant and grid values: a row of the report."""
    values: Mapping[str, str]
    """The recipe values of the row as YAML, by dotted key."""
    seed: int
    loaded: T


@dataclass(frozen=True, slots=True)
class Row:
    """A variant with one choice of grid values."""

    label: str
    settings: tuple[Setting, ...]


def plan(
    loaded: LoadedStudy, load: Load[T], *, overrides: Sequence[str] = (), settings: Sequence[Setting] = ()
) -> tuple[PlannedTrial[T], ...]:
    """All trials of a study, in the file's order: recipe by recipe, row by row, the seeds of a row together.

    A search has none yet; what its values may become is checked all the same.

    Args:
        overrides: ``a.b=value`` texts for all recipes.
        settings: likewise, of a file that has the study in it.

    Raises:
        RecipeError: with every problem of every trial's recipe.
    """
    findings = Findings()
    rows = tuple(_rows(loaded, findings))
    _check_names(loaded, rows, findings)
    search = loaded.study.search
    _check_overrides([row.settings for row in rows] if search is None else corners(loaded), overrides, findings)
    trials: list[PlannedTrial[T]] = []
    for task in loaded.recipes:
        for row in rows if search is None else corners(loaded):
            own = row.settings if isinstance(row, Row) else tuple(row)
            label = row.label if isinstance(row, Row) else ""
            try:
                trials += trials_of(loaded, load, task, label, own, overrides=overrides, outer=settings)
            except RecipeError as error:
                for issue in error.issues:
                    findings.add(issue)
    if search is None:
        _check_twice(loaded, trials, findings)
    if findings.issues:
        raise RecipeError(_ordered(findings.issues, str(loaded.path)))
    labels = distinct([trial.label for trial in trials])  # `a-b` of the recipe `c` is not `b-c` of `a`
    named = (replace(trial, label=label) for trial, label in zip(trials, labels, strict=True))
    return tuple(named) if search is None else ()


def trials_of(
    loaded: LoadedStudy,
    load: Load[T],
    task: str,
    row: str,
    settings: Sequence[Setting],
    *,
    overrides: Sequence[str] = (),
    outer: Sequence[Setting] = (),
) -> Iterator[PlannedTrial[T]]:
    """The trials of one recipe with one row's values: one for each seed.

    Raises:
        RecipeError: the values do not fit the recipe.
    """
    common = [*outer, *loaded.settings("set")]
    values = {dotted(each.at): plain(each.value) for each in (*common, *settings)}
    seeds = loaded.study.seeds
    for seed in seeds or (None,):
        own = [] if seed is None else [_seed_setting(loaded, seed)]
        found = load(loaded.recipes[task], overrides=overrides, settings=[*common, *settings, *own])
        if refusal := _refusal(found.recipe):
            at = ("recipes", task) if task else ("recipe",)
            node = find(loaded.tree, at)
            place = loaded.tree.place if node is None else node.place
            raise RecipeError([place.issue(at, f"{dotted(at)}: {refusal}")])
        yield PlannedTrial(
            key=_key(task, values, seed),
            label=join([task, row, f"s{seed}" if len(seeds) > 1 else ""]) or "trial",
            task=task,
            row=row,
            values={dotted(each.at): yaml_flow(plain(each.value)) for each in settings},
            seed=found.recipe.seed if seed is None else seed,
            loaded=found,
        )


def _seed_setting(loaded: LoadedStudy, seed: int) -> Setting:
    place = _place(loaded, "seeds")
    return Setting(("seed",), place, ScalarNode(seed, str(seed), place))


def _refusal(recipe: Recipe) -> str | None:
    """Why a recipe cannot be a trial."""
    if not recipe.data.validation and recipe.folds is None:
        return "the recipe sets no data.validation, but trials are compared on it"
    return None


def _check_overrides(rows: Iterable[Iterable[Setting]], overrides: Sequence[str], findings: Findings) -> None:
    """An override comes last: of a value that the rows vary it would make them all the same, under other names."""
    varied = {setting.at for row in rows for setting in row}
    for text in overrides:
        at = key_path(text)
        found = sorted(each for each in varied if each[: len(at)] == at or at[: len(each)] == each)
        if found:
            place = Place(override_source(text))
            findings.add(place.issue(at, f"{dotted(found[0])} is what the models differ in: change it in the file"))


def _key(task: str, values: Mapping[str, Any], seed: int | None) -> str:
    text = json.dumps([task, sorted(values.items()), seed], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _rows(loaded: LoadedStudy, findings: Findings) -> Iterator[Row]:
    """Every variant with every combination of grid values; without either, the recipe as it is."""
    variants = list(loaded.study.variants) or [""]
    axes = [_axis(loaded, setting, findings) for setting in loaded.settings("grid")]
    trials = prod(map(len, (loaded.recipes, variants, loaded.study.seeds or (0,), *axes)))
    if trials > MOST_TRIALS:
        findings.add(_place(loaded, "grid").issue(("grid",), f"grid: {trials:,} trials; {MOST_TRIALS:,} at most"))
        return
    found: list[tuple[str, tuple[Setting, ...]]] = []
    for variant in variants:
        own = loaded.settings("variants", variant) if variant else []
        for combination in product(*axes):
            labels = [value_label(dotted(each.at), plain(each.value)) for each in combination]
            found.append((join([variant, *labels]), (*own, *combination)))
    labels = distinct([label for label, _ in found])
    yield from (Row(label, settings) for label, (_, settings) in zip(labels, found, strict=True))


def _axis(loaded: LoadedStudy, setting: Setting, findings: Findings) -> list[Setting]:
    """One key of the grid: a setting for each of its values."""
    at, items = ("grid", dotted(setting.at)), setting.value
    assert isinstance(items, ListNode)
    values = [plain(item) for item in items.items]
    for index, item in enumerate(items.items):
        if values[index] in values[:index]:
            findings.add(item.place.issue(at, f"{dotted(at)}: {yaml_flow(values[index])} is given twice"))
    for variant in loaded.study.variants:
        if any(own.at == setting.at for own in loaded.settings("variants", variant)):
            message = f"{dotted(at)} is also set by the variant {variant!r}"
            findings.add(setting.key.issue(at, message, "vary it in one of the two"))
    return [Setting(setting.at, setting.key, item) for item in items.items]


def _check_names(loaded: LoadedStudy, rows: Sequence[Row], findings: Findings) -> None:
    """The baseline is a row, and the seed is set by ``seeds``."""
    study = loaded.study
    names = [row.label for row in rows]
    if study.baseline is not None and study.baseline not in names:
        hint = did_you_mean(study.baseline, names, otherwise="the rows are")
        findings.add(_place(loaded, "baseline").issue(("baseline",), f"baseline: no row is {study.baseline!r}", hint))
    places = [("set",), ("grid",), ("search", "space"), *(("variants", name) for name in study.variants)]
    for at in places:
        for setting in loaded.settings(*at):
            if setting.at == ("seed",):
                findings.add(setting.key.issue((*at, "seed"), f"{dotted(at)}.seed: seeds are given by `seeds`"))


def _check_twice(loaded: LoadedStudy, trials: Sequence[PlannedTrial[Any]], findings: Findings) -> None:
    """No two trials train the same."""
    first: dict[str, PlannedTrial[Any]] = {}
    for trial in trials:
        other = first.setdefault(trial.key, trial)
        if other.row != trial.row and not findings.issues:
            message = f"{other.row!r} and {trial.row!r} have the same values"
            findings.add(_place(loaded, "variants").issue(("variants",), message))


def _place(loaded: LoadedStudy, key: str) -> Place:
    entry = loaded.tree.entries.get(key)
    return loaded.tree.place if entry is None else entry.value.place


def _ordered(issues: Sequence[Issue], own: str) -> list[Issue]:
    """The study's own first, each file's by line."""
    return sorted(issues, key=lambda issue: (issue.file != own, issue.file, issue.line or 0, issue.column or 0))
