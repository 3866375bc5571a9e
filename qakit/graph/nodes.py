"""A graph of work: trainings, second predictions with the same weights, and joins that make one result of several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import join, normpath
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from qakit.errors import RunError
from qakit.recipe.differences import NOT_COMPUTED, differing_keys, same_run
from qakit.recipe.dump import recipe_data
from qakit.recipe.model import Recipe

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.protocols import Gives
    from qakit.registry import Registry
    from qakit.report.evaluation import Expectation
    from qakit.runs import Run
    from qakit.training.events import Listener


@dataclass(frozen=True, slots=True)
class Train:
    """A training of its own."""

    gives: Gives | None = None
    """What the node that joins this one needs of the head; None: anything."""
    seconds: float | None = None
    """How long it may take; None: as its recipe says."""


@dataclass(frozen=True, slots=True)
class Repredict:
    """The weights of an equal training, evaluated and predicted anew under another recipe."""

    source: str
    """The label of that training."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a join shows, beside what stands in its ``metrics.json``."""

    expectation: Expectation | None = None
    ensemble: Ensemble | None = None


@runtime_checkable
class Join(Protocol):
    """Several results made one: out-of-fold, an ensemble, a pipeline."""

    def prepare(self, graph: Graph, label: str, registry: Registry, listener: Listener) -> Mapping[str, str]:
        """Check what can be known before anything trains, and give the files that the folder needs beside its recipe.

        Args:
            graph: the whole.
            label: of the join's node.

        Raises:
            QakitError: the parts cannot be trained, or not be joined.
        """
        ...

    def check_same(self, run: Run, files: Mapping[str, str]) -> None:
        """Refuse to continue in a folder that was begun otherwise.

        Raises:
            RunError: it was.
        """
        ...

    def finish(self, run: Run, registry: Registry, listener: Listener) -> Joined:
        """Join the finished parts; ``metrics.json`` comes last.

        Raises:
            QakitError: they cannot be joined.
        """
        ...

    def dry_run(self, registry: Registry) -> Mapping[str, Any]:
        """What a dry run says of it, as plain values."""
        ...


Work = Train | Repredict | Join


@dataclass(frozen=True, slots=True)
class Node:
    """A run folder that will be, and the work that fills it."""

    label: str
    """Its folder below the graph's, with ``/``; empty for the graph's own."""
    recipe: Recipe
    work: Work
    needs: tuple[str, ...] = ()
    """Labels of the nodes that must be finished before."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes, each after those that it needs."""

    name: str
    """Names the folder, if the user names none."""
    nodes: tuple[Node, ...]

    @property
    def root(self) -> Node:
        """The node that joins all the others; the only one of a graph with one."""
        return self.nodes[-1]

    @property
    def recipe(self) -> Recipe:
        return self.root.recipe

    @property
    def labels(self) -> list[str]:
        return [node.label for node in self.nodes]

    def node(self, label: str) -> Node:
        return next(node for node in self.nodes if node.label == label)

    def needs(self, node: Node) -> tuple[str, ...]:
        """The labels of the nodes of this graph that must be finished before a node."""
        labels = (*node.needs, node.work.source) if isinstance(node.work, Repredict) else node.needs
        return tuple(label for label in labels if any(each.label == label for each in self.nodes))

    def placed(self, folder: str) -> tuple[Node, ...]:
        """The nodes in a folder of a larger graph."""
        return tuple(
            replace(
                node,
                label=_below(folder, node.label),
                work=Repredict(_below(folder, node.work.source)) if isinstance(node.work, Repredict) else node.work,
                needs=tuple(_below(folder, label) for label in node.needs),
            )
            for node in self.nodes
        )

    def only(self, label: str) -> Graph:
        """One node and all that it needs."""
        wanted, found = {label}, list[Node]()
        for node in reversed(self.nodes):
            if node.label in wanted:
                found.append(node)
                wanted.update(self.needs(node))
        return replace(self, nodes=tuple(reversed(found)))


def _below(folder: str, label: str) -> str:
    found = normpath(join(folder, label)) if folder or label else ""
    return "" if found == "." else found


def share_weights(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Of trainings that differ only in what prediction looks at, the first trains and the others take its weights."""
    first: dict[str, str] = {}
    found = []
    for node in nodes:
        if isinstance(node.work, Train):
            source = first.setdefault(training_key(node.recipe), node.label)
            if source != node.label:
                node = replace(node, work=Repredict(source))
        found.append(node)
    return tuple(found)


def training_key(recipe: Recipe, *, without: Sequence[str] = ()) -> str:
    """What is the same for recipes whose trainings give the same weights.

    Which of the weights of a training are kept is decided by its evaluations; so they depend on ``predict`` and
    ``metric`` after all. Whoever takes the weights of another training takes its choice, too.

    Args:
        without: further top-level keys that are not looked at.
    """
    data = {
        key: value for key, value in recipe_data(recipe).items() if key not in (*PREDICTION, *NOT_COMPUTED, *without)
    }
    answered = ("sample_submission",) if recipe.pseudo is not None else ("sample_submission", "test")
    data["data"] = {key: value for key, value in data["data"].items() if key not in answered}
    data["preprocess"] = data["preprocess"].get("train")
    if data.get("folds") is not None:
        data["folds"] = {key: value for key, value in data["folds"].items() if key != "combine"}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


PREDICTION = ("predict", "postprocess", "metric", "writer", "competition")
"""Blocks that leave the weights alone."""


def check_recipe(run: Run, recipe: Recipe, *, instead: str = "choose another --output, or remove it") -> None:
    """A run continues with its own recipe.

    Args:
        instead: what to do where it is another one.

    Raises:
        RunError: it was begun with another one.
    """
    before = run.recipe()
    if not same_run(before, recipe):
        was, now = differing_keys([before, recipe])
        key = next((key for key in (*was, *now) if was.get(key) != now.get(key)), "recipe")
        moved = key.endswith("revision") and key in was  # the repository, not the user's recipe
        way = f"set {key} to {was[key]} to continue, " if moved else ""
        raise RunError(
            f"{run.folder} was begun with {_setting(key, was)}, but the recipe now says {_setting(key, now)}; "
            f"{way}{instead}"
        )


def _setting(key: str, values: Mapping[str, str]) -> str:
    """A key with its value; of a block that is null on one side alone, the block or the first key in it."""
    near = (each for each in values if each.startswith(f"{key}.") or key.startswith(f"{each}."))
    place = key if key in values else next(near, key)
    return f"{place}: {values.get(place, 'nothing')}"
