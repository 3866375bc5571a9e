"""Train a recipe of any kind: what is planned, a dry run of it, and its result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.devices import Slot
    from qakit.distributed import Workers
    from qakit.graph.nodes import Graph, Node
    from qakit.registry import Registry
    from qakit.training.events import Listener
    from qakit.workflows.result import TrainingResult


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """A recipe that is read and checked, for one training or for several; nothing is written yet."""

    graph: Graph
    registry: Registry
    output: Path | None
    """The folder; by default ``runs/NAME-TIME``."""
    resume: bool
    """Whether ``output`` is gone on with."""
    fold: int | None = None
    """The only fold that is to be trained, counted from 1; None for all."""
    slots: tuple[Slot, ...] = ()
    """Of one training: one process for each; of several: one training on each. None: this process, or those of the
    launcher that has started it."""

    @property
    def is_single(self) -> bool:
        """Whether there is one training, and nothing to join."""
        from qakit.graph.nodes import Train

        return len(self.graph.nodes) == 1 and isinstance(self.graph.root.work, Train)

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """Prepare everything and say what would be trained, as plain values."""
        from qakit.graph.execute import what
        from qakit.graph.folders import check_graph
        from qakit.graph.nodes import Join, Train, training_key
        from qakit.graph.training import described

        if self.is_single:
            return described(self.graph.root, self.registry, listener=listener)
        check_graph(self.graph, None, self.registry, listener, only=())
        nodes = self.graph.nodes
        distinct: dict[str, Node] = {}
        for node in nodes:
            if isinstance(node.work, Train):
                distinct.setdefault(training_key(node.recipe, without=("seed", "folds")), node)
        root = self.graph.root.work
        return {
            "nodes": [{"node": node.label or ".", "work": what(node)} for node in nodes],
            "trainings": {node.label: described(node, self.registry, listener=listener) for node in distinct.values()},
            **(root.dry_run(self.registry) if isinstance(root, Join) else {}),
        }

    def train(self, listener: Listener) -> TrainingResult:
        """Train what is not trained yet, evaluate, predict the test file and write the submission.

        Raises:
            QakitError: whatever is wrong with data, models or folders.
            InterruptedTrainingError: it was asked to stop, and has written a checkpoint.
        """
        from qakit.distributed import processes_of_this_launch
        from qakit.runs import Run
        from qakit.training.events import silence
        from qakit.workflows.launching import train_on
        from qakit.workflows.result import TrainingResult

        if self.is_single:
            begun = Run(self.output) if self.resume and self.output is not None else None
            folder = train_on(self.slots, self.graph.recipe, self.registry, self.output, begun, listener=listener)
            return TrainingResult(Run(folder), Run(folder).read_json(Run(folder).metrics_file))
        with processes_of_this_launch() as workers:
            return self._train_several(listener if workers.first else silence, workers)

    def _train_several(self, listener: Listener, workers: Workers) -> TrainingResult:
        from qakit.graph.execute import Execution, Here
        from qakit.graph.folders import check_graph, make_folders
        from qakit.runs import Run
        from qakit.training.events import RunBegun
        from qakit.training.interrupts import StopRequest, stop_requests
        from qakit.workflows.launching import executor_on
        from qakit.workflows.result import TrainingResult

        if self.output is not None and self.resume:
            listener(RunBegun(self.output))
        folder = self.output
        with workers.fail_together():
            if workers.first:
                only = None if self.fold is None else [f"fold-{self.fold}"]
                files = check_graph(self.graph, self.output, self.registry, listener, only=only)
                folder = make_folders(self.graph, self.output, files)
        folder = workers.from_first(folder)
        assert folder is not None
        run = Run(folder)
        if not self.resume:
            listener(RunBegun(folder))
        executor = executor_on(self.slots, self.registry, listener)
        if isinstance(executor, Here):
            executor.workers = workers
        execution = Execution(self.graph, folder, executor, listener, workers=workers)
        if self.fold is not None:
            execution.graph = self.graph.only(f"fold-{self.fold}")
        with nullcontext(StopRequest()) if isinstance(executor, Here) else stop_requests() as execution.stop:
            execution.run()
            missing = [label for label in self.graph.root.needs if not Run(folder / label).finished]
            if self.fold is not None and not workers.from_first(missing):  # it was the last one
                execution.graph = self.graph
                execution.run()
        return TrainingResult(
            run,
            run.read_json(run.metrics_file),
            missing=tuple(number for number, label in enumerate(self.graph.root.needs, start=1) if label in missing),
            expectation=execution.joined.expectation,
            ensemble=execution.joined.ensemble,
        )


def plan_training(
    recipe: Path | None,
    output: Path | None,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    fold: int | None = None,
    registry: Registry,
) -> PlannedTraining:
    """Read and check what is to be trained.

    Args:
        recipe: a recipe file, or the name of one of qakit's own; not looked at with ``resume``.
        output: the folder of the run; by default ``runs/NAME-TIME``.
        overrides: ``a.b=value`` texts.
        resume: go on with the run in ``output``, from its last checkpoint.
        fold: of a recipe with folds the only one to train, counted from 1.

    Raises:
        UsageError: these do not go together.
        RecipeError: with every problem of the recipe.
        RunError: there is nothing in ``output`` to go on with.
    """
    from qakit.graph.folds import OutOfFold

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    graph = _resumed(output, overrides, registry) if resume else _begun(recipe, overrides, registry)
    folds = graph.recipe.folds
    if fold is not None and not isinstance(graph.root.work, OutOfFold):
        raise UsageError("--fold is for a recipe with `folds: {k: 5}`, of which it trains one")
    if fold is not None and folds is not None and not 1 <= fold <= folds.k:
        raise UsageError(f"--fold {fold}: there are {folds.k} folds, counted from 1")
    return PlannedTraining(graph, registry, output, resume, fold)


def _begun(path: Path | None, overrides: Sequence[str], registry: Registry) -> Graph:
    from qakit.graph.ensemble import Combine
    from qakit.graph.expand import graph_of, load
    from qakit.recipe.found import found_recipe

    if path is None:
        raise UsageError("which recipe? `qakit recipes list` shows those in ./recipes")
    graph = graph_of(load(found_recipe(path), registry, overrides=overrides, check_files=True))
    if isinstance(graph.root.work, Combine) and not graph.root.work.labels:
        raise UsageError(f"{path} names members that are trained already: qakit ensemble {path}")
    return graph


def _resumed(output: Path | None, overrides: Sequence[str], registry: Registry) -> Graph:
    from qakit.graph.expand import reload_graph
    from qakit.runs import open_run

    if output is None:
        raise UsageError("--resume needs --output RUN: the folder of the run to go on with")
    if overrides:
        raise UsageError("--resume goes on with the run's own recipe: --set cannot change it")
    return reload_graph(open_run(output).folder, registry)
