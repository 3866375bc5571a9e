"""Run a study: all of its trials as one graph, or those that a search draws one after the other."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from qakit.errors import QakitError, RecipeError, UsageError
from qakit.graph.execute import Ended, Execution
from qakit.graph.expand import Loaded, graph_of, load
from qakit.graph.folders import check_graph, is_begun, make_folders
from qakit.graph.nodes import Graph, Node, check_recipe, share_weights
from qakit.registry import Registry
from qakit.report.training_data import older_training_data
from qakit.runs import Run
from qakit.study.folder import ROOT, StudyFolder
from qakit.study.load import LoadedStudy
from qakit.study.plan import PlannedTrial, plan, trials_of
from qakit.study.search import Drawn, Search, open_search, storage_failures_told
from qakit.study.trials import Trial, TrialRecord, noted_trials, records_of, selected_by, value_of
from qakit.training.events import Event, Listener, NodeEnded, NodeProgress, Notice
from qakit.training.interrupts import InterruptedTrainingError
from qakit.workflows.launching import Place

RUNS = "runs"
"""The folder of the trials' runs in a study's."""


def plan_study(
    loaded: LoadedStudy, registry: Registry, *, overrides: Sequence[str] = (), check_files: bool = False
) -> tuple[PlannedTrial[Loaded], ...]:
    """All trials of a grid, each with its checked recipe; of a search none.

    Raises:
        RecipeError: with every problem of every trial's recipe.
    """
    return plan(loaded, partial(load, registry=registry, check_files=check_files), overrides=overrides)


@dataclass(slots=True)
class StudyExecution:
    """A study that is run in a folder. Make one, call :meth:`run` once."""

    loaded: LoadedStudy
    planned: Sequence[PlannedTrial[Loaded]]
    folder: StudyFolder
    registry: Registry
    place: Place
    retry_failed: bool = False
    check_trainings: bool = True
    """Whether each training is prepared before the first one begins."""
    poll: float = 0.2

    def run(self) -> list[TrialRecord]:
        """Train until no trial is left, here or elsewhere; then the records of all.

        Raises:
            RunError: a run folder was begun with another recipe, or the storage breaks.
            UsageError: a search was begun in another space.
            InterruptedTrainingError: it was asked to stop.
        """
        with self.place.workers.fail_together():
            if self.place.workers.first:
                self._warn_of_older_data()
        if self.loaded.study.search is not None:
            with storage_failures_told():
                return self._search()
        trials = [Trial.of(each) for each in self.planned]
        nodes = [node for each in self.planned for node in graph_of(each.loaded).placed(f"{RUNS}/{each.label}")]
        graph, workers = Graph(self.loaded.name, share_weights(nodes)), self.place.workers
        with workers.fail_together():
            if workers.first:
                only = None if self.check_trainings else ()
                files = check_graph(graph, self.folder.path, self.registry, self.place.listener, only=only)
                with self.folder.alone():  # several commands may begin at once
                    self.folder.note({trial.run: trial.as_json() for trial in trials})
                    make_folders(graph, self.folder.path, files)
        self._execution(graph).run()
        return records_of(self.folder, trials, self.registry)

    def _warn_of_older_data(self) -> None:
        begun = {trial.run: Run(self.folder.runs / trial.run) for trial in noted_trials(self.folder)}
        if older := older_training_data({name: run for name, run in begun.items() if run.finished}):
            self.place.listener(Notice(older))

    def _execution(self, graph: Graph) -> Execution:
        how = {"keep_going": True, "retry_failed": self.retry_failed, "poll": self.poll}
        return self.place.execution(graph, self.folder.path, **how)

    def _search(self) -> list[TrialRecord]:
        if self.place.workers.size > 1:
            raise UsageError("a search trains its trials in processes of its own: run it without a launcher")
        searching = _Searching(self, open_search(self.loaded, self.folder))
        searching.check_begun()
        execution = self._execution(Graph(self.loaded.name, ()))
        execution.more, execution.ended, execution.to_come = searching.more, searching.ended, searching.to_come
        execution.listener = searching.watch(self.place.listener, execution.cancel)
        execution.run()
        return records_of(self.folder, noted_trials(self.folder), self.registry)


@dataclass(slots=True)
class _Searching:
    """What a search adds to a study that is run."""

    study: StudyExecution
    search: Search
    open: dict[str, Drawn] = field(default_factory=dict)
    """By the label of the node that ends the trial."""
    reported: dict[str, int] = field(default_factory=dict)
    """Evaluations that the pruner knows, likewise."""
    pruned: set[str] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)
    """Numbers of the trials that this process has begun, or found at their end."""

    def check_begun(self) -> None:
        """The trials that were trained before were trained from the recipe as it is now.

        Raises:
            RunError: they were not: figures of different recipes say nothing together.
        """
        for drawn in self.search.drawn():
            run = Run(self.study.folder.runs / drawn.run)
            if run.recipe_file.is_file() and is_begun(run):
                with suppress(RecipeError):  # that nothing comes of it says its record
                    check_recipe(run, self._planned(drawn).loaded.recipe)

    def to_come(self) -> int:
        """How many trials are not drawn yet."""
        search = self.study.loaded.study.search
        return 0 if search is None else max(0, search.trials - len(self.search.drawn()))

    def more(self) -> Sequence[Node]:
        """The nodes of a trial that was interrupted, or of a new one; none where the time is over."""
        folder, deadline = self.study.folder, self.study.place.deadline
        if deadline is not None and time.monotonic() > deadline:
            return ()
        states = ("RUNNING", "FAIL") if self.study.retry_failed else ("RUNNING",)
        while True:
            with folder.alone():
                begun = [drawn for drawn in self.search.drawn(*states) if drawn.number not in self.taken]
                drawn = begun[0] if begun else self.search.draw()
                if drawn is None:
                    return ()
                self.taken.add(drawn.number)
                nodes = self._nodes(drawn)
            if nodes:
                self.open[nodes[-1].label] = drawn
                return nodes

    def _nodes(self, drawn: Drawn) -> Sequence[Node]:
        """The nodes of a trial; none where no recipe comes of what was drawn, or where it is finished already."""
        study, folder = self.study, self.study.folder
        try:
            planned = self._planned(drawn)
            trial = replace(Trial.of(planned), run=drawn.run)
            graph = Graph(study.loaded.name, graph_of(planned.loaded).placed(f"{RUNS}/{drawn.run}"))
            files = check_graph(graph, folder.path, study.registry, study.place.listener, only=())
        except RecipeError as error:
            folder.note({drawn.run: Trial(drawn.run, "", drawn.label, {}, 0, error=str(error)).as_json()})
            self.search.tell(drawn.number, None)
            return ()
        folder.note({drawn.run: trial.as_json()})
        make_folders(graph, folder.path, files)
        if Run(folder.path / graph.root.label).finished:
            self._tell(drawn)
            return ()
        return graph.nodes

    def _planned(self, drawn: Drawn) -> PlannedTrial[Loaded]:
        read = partial(load, registry=self.study.registry, check_files=self.study.check_trainings)
        (planned,) = trials_of(self.study.loaded, read, "", drawn.label, drawn.settings)
        return planned

    def ended(self, node: Node, how: Ended) -> None:
        """Tell the search what came of a trial."""
        label = "/".join(node.label.split("/")[:2])  # of the trial that the node is a part of
        drawn = self.open.get(label)
        if drawn is None or (how.error is None and node.label != label):
            return
        with self.study.folder.alone():
            if how.error is None:
                self._tell(drawn)
            elif label in self.pruned:
                about = next(each for each in noted_trials(self.study.folder) if each.run == drawn.run)
                self.study.folder.note({drawn.run: replace(about, pruned=True).as_json()})
                self.search.prune(drawn.number)
            elif not isinstance(how.error, InterruptedTrainingError):
                self.search.tell(drawn.number, None)

    def _tell(self, drawn: Drawn) -> None:
        run = Run(self.study.folder.runs / drawn.run)
        try:
            value = value_of(run, selected_by(run.recipe(), self.study.registry))
        except QakitError:
            value = None  # the table says why
        self.search.tell(drawn.number, value)

    def watch(self, listener: Listener, cancel: Callable[[str, int], None]) -> Listener:
        """The listener, and the pruner beside it."""

        def hear(event: Event) -> None:
            if isinstance(event, NodeEnded) and event.error is not None and event.label in self.pruned:
                event = replace(event, error="given up by the pruner")
            listener(event)
            drawn = self.open.get(event.label) if isinstance(event, NodeProgress) else None
            if drawn is None or not isinstance(event, NodeProgress):
                return
            run = Run(self.study.folder.path / event.label)
            figure = selected_by(run.recipe(), self.study.registry)
            for step in range(self.reported.get(event.label, 0), len(event.evaluations)):
                value = event.evaluations[step].get(figure)
                self.reported[event.label] = step + 1
                if value is None or event.label in self.pruned:
                    continue
                with self.study.folder.alone():
                    hopeless = self.search.is_hopeless(drawn.number, step + 1, value)
                if hopeless:
                    self.pruned.add(event.label)
                    cancel(event.label, signal.SIGTERM)

        return hear


def study_folder(loaded: LoadedStudy, output: Path | None) -> StudyFolder:
    """Where a study goes; by default ``studies/NAME``."""
    return StudyFolder(output or ROOT / loaded.name)
