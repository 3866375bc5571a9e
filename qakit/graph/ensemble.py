"""An ensemble recipe as a graph: members that are trained for it, and their combination.

::

    runs/NAME-TIME/
      members.json       the members in their order, method, weights
      members/           the folders of those that are trained here
      ensemble.json      once it is made: members with their files' SHA-256, weights, temperatures, threshold
      ...                and all that an ensemble's folder has
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qakit.data.splits import read_split
from qakit.ensembling.load import EnsemblePlan, recipe_of_whole
from qakit.ensembling.method import Method
from qakit.errors import ModelError, RunError, UsageError
from qakit.files import json_text
from qakit.graph.nodes import Graph, Joined, Node
from qakit.names import plain_name
from qakit.protocols import EnsembleMember
from qakit.recipe.dump import yaml_flow
from qakit.recipe.model import Recipe
from qakit.recipe.staged import SPLIT_FIELDS
from qakit.registry import Registry
from qakit.runs import MEMBERS, MEMBERS_FILE, Run, seconds_of
from qakit.training.events import Listener, Notice, Remark
from qakit.values import Example


def ensemble_graph(plan: EnsemblePlan, members: Mapping[str, Graph]) -> Graph:
    """Everything that is trained for an ensemble, and their combination.

    Args:
        plan: how they are combined; its own members exist already.
        members: those that are trained, by label; each may be a graph of its own.

    Raises:
        UsageError: none is trained, and none of the others is a run.
    """
    placed = {label: graph.placed(f"{MEMBERS}/{label}") for label, graph in members.items()}
    whole = recipe_of_ensemble(plan, next((graph.recipe for graph in members.values()), None))
    root = Node("", whole, Combine(plan, tuple(members)), tuple(nodes[-1].label for nodes in placed.values()))
    return Graph(plan.name, (*(node for nodes in placed.values() for node in nodes), root))


@dataclass(frozen=True, slots=True)
class Combine:
    """Runs of any kind combined by an ensembler."""

    plan: EnsemblePlan
    """``members``: those that exist already."""
    labels: tuple[str, ...]
    """Of those that are trained; they come after those."""

    def prepare(self, graph: Graph, label: str, registry: Registry, listener: Listener) -> Mapping[str, str]:  # noqa: ARG002
        """The method can combine such members, and they answer the same questions."""
        plan, members = self.plan, [graph.node(each).recipe for each in graph.node(label).needs]
        count = len(plan.members) + len(members)
        if count < 2:
            raise UsageError("an ensemble needs at least two members")
        method = Method.of(plan.method, plan.settings, plan.weights, count, registry)
        for each in members:
            method.check_characters(each, remedy="put `predict.character_scores: true` into ensemble.train.set")
        if members:  # else all of them exist, and are combined at once
            _check_kind(method, members[0], registry)
            from qakit.ensembling.combine import check_existing

            check_existing(plan.members, method, want_test=graph.node(label).recipe.data.test is not None)
        _check_same_questions(members, self.labels)
        if plan.weights == "learn":
            _check_right_answers(members[0], registry)
        return {MEMBERS_FILE: json_text(self._described())}

    def check_same(self, run: Run, files: Mapping[str, str]) -> None:  # noqa: ARG002
        """Members, method, weights and seed are those of before."""
        kept, given = run.read_json(run.folder / MEMBERS_FILE), self._described()
        for key, value in given.items():
            if kept.get(key) != value:
                raise RunError(
                    f"{run.folder} was begun with {key}: {yaml_flow(kept.get(key))}, but the recipe now says {key}: "
                    f"{yaml_flow(value)}; choose another --output, or remove it"
                )

    def finish(self, run: Run, registry: Registry, listener: Listener) -> Joined:
        """Combine, judge and predict."""
        from qakit.ensembling.combine import combine
        from qakit.ensembling.folder import fill_folder

        trained = [Run(run.folder / MEMBERS / label) for label in self.labels]
        made = combine(
            replace(self.plan, members=(*self.plan.members, *(each.folder for each in trained))),
            registry,
            want_test=run.recipe().data.test is not None,
            say=lambda text: listener(Remark(text)),
        )
        submission = fill_folder(made, run, registry, final=run.folder, seconds=seconds_of(trained))
        for line in () if submission is None else submission.told():
            listener(Notice(line))
        return Joined(ensemble=made)

    def dry_run(self, registry: Registry) -> Mapping[str, Any]:  # noqa: ARG002
        """The members that exist, and how all are combined."""
        return {"existing": [str(path) for path in self.plan.members], "method": self._described()["method"]}

    def _described(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "members": [str(path.absolute()) for path in plan.members],
            "train": list(self.labels),
            "method": {"name": plan.method, **plan.settings},
            "weights": list(plan.weights) if isinstance(plan.weights, tuple) else plan.weights or "equal",
            "seed": plan.seed,
        }


def recipe_of_ensemble(plan: EnsemblePlan, first: Recipe | None) -> Recipe:
    """The recipe of the whole: that of the first member.

    Args:
        plan: the ensemble.
        first: the recipe of the first member that is trained for it, where there is one.

    Raises:
        UsageError: none is, and none of the others is a run.
    """
    if first is None:
        run = next((run for run in map(Run, plan.members) if run.recipe_file.is_file()), None)
        if run is None:
            raise UsageError(
                "an ensemble's folder needs a member that is a run: its recipe says how answers are written"
            )
        first = run.recipe()
    return recipe_of_whole(first, name=plan.name, description=plan.description)


def read_combine(run: Run) -> Combine:
    """The join of an ensemble's folder.

    Raises:
        RunError: it is damaged.
    """
    file = run.folder / MEMBERS_FILE
    found, recipe = run.read_json(file), run.recipe()
    try:
        method, weights = dict(found["method"]), found["weights"]
        plan = EnsemblePlan(
            name=recipe.name or run.name,
            members=tuple(map(Path, found["members"])),
            method=method.pop("name"),
            settings=method,
            weights=tuple(map(float, weights)) if isinstance(weights, list) else _weights(weights),
            seed=int(found["seed"]),
            description=recipe.description,
        )
        return Combine(plan, tuple(map(plain_name, found["train"])))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{file} is damaged: {error}") from None


def _weights(text: str) -> Any:
    if text not in ("learn", "equal"):
        raise ValueError(f"weights: {text!r}")
    return "learn" if text == "learn" else None


def _check_right_answers(recipe: Recipe, registry: Registry) -> None:
    """Weights are learnt on validation questions, so these must have answers.

    Raises:
        UsageError: there are none.
    """
    split = read_split(recipe, registry, "validation")
    if split is None or not any(example.labelled for example in split.examples):
        raise UsageError("weights cannot be learnt: data.validation of the members' recipe holds no right answers")


def _check_kind(method: Method, recipe: Recipe, registry: Registry) -> None:
    """The method combines answers, or choices among contexts, where the members' head gives these.

    Raises:
        UsageError: it is for other predictions.
    """
    from qakit.inference.aggregation import given_by
    from qakit.inference.data_rules import stand_in, untrained_head

    try:
        gives = given_by(untrained_head(recipe, registry, ()))
    except ModelError:  # each member's own check says it
        return
    method.check_answers(recipe.head.name, gives, key="ensemble.method")
    if gives == "labels" or method.reads_characters:
        return
    example = Example("1", "question", ("context", "another"))
    members = [EnsembleMember(name, [stand_in(example, gives, ())]) for name in "ab"]
    try:
        method.pool(members, [example])
    except UsageError as error:
        raise UsageError(f"ensemble.method: {error}") from None


def _check_same_questions(members: Sequence[Recipe], labels: Sequence[str]) -> None:
    """Members are weighed and judged on the same questions: all on out-of-fold answers of the same parts, or none."""
    parts = [None if each.folds is None else each.folds.model_dump(include=set(SPLIT_FIELDS)) for each in members]
    for label, part in zip(labels, parts, strict=True):
        if part != parts[0]:
            raise UsageError(
                f"the members {labels[0]} and {label} answer different validation questions: give all of them the same "
                "`folds`, or none"
            )
