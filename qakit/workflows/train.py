"""Train a recipe of any kind: what is planned, a dry run of it, and its result."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qakit.devices import slots
from qakit.distributed import is_first_process
from qakit.errors import RunError, UsageError
from qakit.graph.expand import reload_graph
from qakit.graph.folders import check_graph, make_folders
from qakit.graph.folds import OutOfFold
from qakit.graph.nodes import Graph, Join, Node, Train, check_recipe, training_key
from qakit.graph.training import described
from qakit.inference.nbest_file import read_nbest
from qakit.names import quoted
from qakit.recipe.found import found_recipe
from qakit.runs import Run
from qakit.training.events import Listener, Notice, RunBegun
from qakit.workflows.launching import Engine, Place, deadline_in, executing, slots_of, train_on

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.registry import Registry
    from qakit.report.evaluation import Expectation
    from qakit.values import Prediction


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A run with its figures. Of folds, a pipeline or an ensemble: the whole."""

    run: Run
    metrics: Mapping[str, Any]
    """What ``metrics.json`` holds; empty while folds are missing."""
    missing: tuple[int, ...] = ()
    """Folds that are not trained yet, counted from 1."""
    expectation: Expectation | None = None
    """Of a pipeline with validation: its stages' shares and where answers are lost."""
    ensemble: Ensemble | None = None
    """Of an ensemble: its members, their weights, and what each adds."""

    def __fspath__(self) -> str:
        """The folder: the result stands for its run wherever a path does."""
        return str(self.run.folder)

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def figures(self) -> Mapping[str, float]:
        """The metric's figures on validation, of folds out of fold; empty without validation."""
        return self.metrics.get("validation") or {}

    @property
    def submission(self) -> Path | None:
        """The answers to the test file, as the recipe's writer writes them; None without a test file."""
        return self.run.submission_file(self.metrics)

    def predictions(self, split: Literal["validation", "test"] = "validation") -> tuple[Prediction, ...]:
        """The predictions that the run keeps, in the order of the questions.

        Raises:
            RunError: it has none of this split.
        """
        file = self.run.validation_nbest if split == "validation" else self.run.predictions / "nbest.jsonl"
        if not file.is_file():
            raise RunError(f"{self.folder} has no predictions of a {split} file")
        return tuple(read_nbest(file))


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """A recipe that is read and checked, for one training or for several; nothing is written yet."""

    graph: Graph
    registry: Registry
    output: Path | None
    """The folder; by default ``runs/NAME-TIME``."""
    resume: bool
    """Whether ``output`` is resumed."""
    fold: int | None = None
    """The only fold that is to be trained, counted from 1; None for all."""
    devices: str | None = None
    """Of this machine: as ``--devices`` has it."""
    jobs: int | None = None
    """How many of several trainings at once; None: one on each device."""
    engine: Engine = "local"
    deadline: float | None = None
    """When all should be done, by ``time.monotonic``; None: there is time."""
    began: float = field(default_factory=time.monotonic)
    """When the command began, likewise."""

    @property
    def is_single(self) -> bool:
        """Whether there is one training, and nothing to join."""
        return len(self.graph.nodes) == 1 and isinstance(self.graph.root.work, Train)

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """Prepare everything and say what would be trained, as plain values."""
        from qakit.distributed import launched_processes
        from qakit.graph.execute import what

        if self.engine == "local" and launched_processes() == 1:
            slots(self.devices, self.jobs)  # whether there are such
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
        """Train what is not trained yet, evaluate, predict the test file, write the submission and a page about it all.

        Raises:
            QakitError: whatever is wrong with data, models, folders or devices.
            InterruptedTrainingError: it was asked to stop, and has written a checkpoint.
        """
        from qakit.report.view import write_run_page

        if self.is_single:
            result = self._train_one(listener)
        else:
            with executing(
                self.devices, self.jobs, self.registry, listener, engine=self.engine, deadline=self.deadline
            ) as place:
                result = self._train_several(place)
        if is_first_process():
            write_run_page(result.run, self.registry, notice=lambda text: listener(Notice(text)))
        return result

    def _train_one(self, listener: Listener) -> TrainingResult:
        if self.jobs is not None or self.engine != "local":
            option = "--jobs" if self.jobs is not None else "--engine"
            raise UsageError(f"{option} is for several trainings, and this recipe is one")
        folder = train_on(
            slots_of(self.devices),
            self.graph.recipe,
            self.registry,
            self.output,
            resume=self.resume,
            listener=listener,
            began=self.began,
            deadline=self.deadline,
        )
        run = Run(folder)
        return TrainingResult(run, run.read_json(run.metrics_file))

    def _train_several(self, place: Place) -> TrainingResult:
        workers, listener, folder = place.workers, place.listener, self.output
        if folder is not None and self.resume:
            listener(RunBegun(folder))
        with workers.fail_together():
            if workers.first:
                only = None if self.fold is None else [f"fold-{self.fold}"]
                files = check_graph(self.graph, folder, self.registry, listener, only=only)
                folder = make_folders(self.graph, folder, files)
        folder = workers.from_first(folder)
        assert folder is not None
        if not self.resume:
            listener(RunBegun(folder))
        execution = place.execution(self.graph, folder)
        if self.fold is not None:
            execution.graph = self.graph.only(f"fold-{self.fold}")
        execution.run()
        missing = [label for label in self.graph.root.needs if not Run(folder / label).finished]
        if self.fold is not None and not workers.from_first(missing):  # it was the last one
            execution.graph = self.graph
            execution.run()
        run = Run(folder)
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
    devices: str | None = None,
    jobs: int | None = None,
    engine: Engine = "local",
    max_hours: float | None = None,
    registry: Registry,
) -> PlannedTraining:
    """Read and check what is to be trained.

    Arguments are those of :func:`qakit.train`; ``overrides`` are ``a.b=value`` texts, ``devices`` as in ``--devices``.

    Raises:
        UsageError: these do not go together.
        RecipeError: with every problem of the recipe.
        RunError: there is nothing in ``output`` to resume.
    """
    deadline = deadline_in(max_hours)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    graph = _resumed(recipe, output, overrides, registry) if resume else _begun(recipe, overrides, registry)
    folds = graph.recipe.folds
    if fold is not None and not isinstance(graph.root.work, OutOfFold):
        raise UsageError("--fold is for a recipe with `folds: {k: 5}`, of which it trains one")
    if fold is not None and folds is not None and not 1 <= fold <= folds.k:
        raise UsageError(f"--fold {fold}: there are {folds.k} folds, counted from 1")
    return PlannedTraining(graph, registry, output, resume, fold, devices, jobs, engine, deadline)


def _begun(path: Path | None, overrides: Sequence[str], registry: Registry) -> Graph:
    from qakit.graph.expand import LoadedEnsemble, graph_of, load
    from qakit.study.load import is_study

    if path is None:
        raise UsageError("which recipe? `qakit recipes list` shows those in ./recipes")
    found = found_recipe(path)
    if is_study(found):
        raise UsageError(f"{path} is a study, no recipe: qakit study run {quoted(path)}")
    loaded = load(found, registry, overrides=overrides, check_files=True)
    if isinstance(loaded, LoadedEnsemble) and not loaded.members:
        raise UsageError(f"{path} names members that are trained already: qakit ensemble {quoted(path)}")
    return graph_of(loaded)


def _resumed(path: Path | None, output: Path | None, overrides: Sequence[str], registry: Registry) -> Graph:
    from qakit.runs import open_run

    if output is None:
        raise UsageError("--resume needs --output RUN: the folder of the run to resume")
    if overrides:
        raise UsageError("--resume uses the run's own recipe: --set cannot change it")
    folder = open_run(output).folder
    try:
        for node in () if path is None else _begun(path, (), registry).nodes:
            if (run := Run(folder / node.label)).recipe_file.is_file():
                check_recipe(run, node.recipe)
    except RunError as error:
        raise RunError(f"{error}; or leave {path} out: --resume uses the run's own recipe") from None
    return reload_graph(folder, registry)
