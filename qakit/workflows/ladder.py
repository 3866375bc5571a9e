"""A chain of recipes that are trained and compared: what did each step buy?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import QakitError, UsageError
from qakit.graph.ensemble import Combine
from qakit.graph.execute import Execution
from qakit.graph.expand import graph_of, load
from qakit.graph.folders import check_graph, make_folders
from qakit.graph.nodes import Graph, Node, share_weights
from qakit.recipe.found import found_recipe
from qakit.recipe.load import name_from
from qakit.report.training_data import older_training_data
from qakit.runs import Run
from qakit.training.events import Notice, Remark

if TYPE_CHECKING:
    from qakit.registry import Registry
    from qakit.report.ladder import Rung
    from qakit.workflows.launching import Place


def rungs_of(recipes: Sequence[Path], output: Path) -> list[Rung]:
    """A rung for each recipe, in a folder of its name.

    Raises:
        UsageError: two have the same name, or ``output`` is a file.
    """
    from qakit.report.ladder import Rung

    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; name a folder")
    names = [name_from(path) for path in recipes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two recipes are called {twice}; the steps need different names")
    return [Rung(name, str(path), output / name) for name, path in zip(names, recipes, strict=True)]


@dataclass(slots=True)
class Climb:
    """Trains the rungs, one after the other or as many at once as there is room. What one has trained another takes,
    where only prediction differs. Make one, call :meth:`run` once."""

    rungs: Sequence[Rung]
    folder: Path
    """Of the ladder; the rungs' folders lie in it."""
    registry: Registry
    overrides: Sequence[str]
    execution: Execution
    pending: list[Rung] = field(init=False)
    """Those that are not begun: a rung may combine the runs of earlier ones, and wait for them."""
    errors: dict[str, str] = field(default_factory=dict)
    """By the rung's name."""
    graphs: dict[str, Graph] = field(default_factory=dict)
    """Likewise."""
    _changed: bool = True
    """Whether a rung that could not be begun may be tried again."""

    @staticmethod
    def of(rungs: Sequence[Rung], folder: Path, registry: Registry, overrides: Sequence[str], place: Place) -> Climb:
        """A climb that has not begun."""
        execution = place.execution(Graph("ladder", ()), folder, keep_going=True)
        climb = Climb(rungs, folder, registry, overrides, execution)
        execution.more, execution.ended = climb.more, climb.ended
        execution.to_come = lambda: len(climb.pending)
        return climb

    def __post_init__(self) -> None:
        self.pending = list(self.rungs)

    def run(self) -> list[Rung]:
        """The rungs, each trained or with its error; what is finished already stays what it is.

        Raises:
            InterruptedTrainingError: it was asked to stop.
        """
        done = {rung.name: Run(rung.folder) for rung in self.rungs if Run(rung.folder).finished}
        with self.execution.workers.fail_together():
            if self.execution.workers.first and (older := older_training_data(done)):
                self.execution.listener(Notice(older))
        self.execution.run()
        if not self.execution.workers.first:  # who knows of the rungs
            return list(self.rungs)
        for label, error in self.execution.failures.items():
            self.errors.setdefault(label.partition("/")[0], str(error))
        return [
            replace(rung, error=self.errors[rung.name])
            if rung.name in self.errors
            else replace(rung, note=_note(graph := self.graphs[rung.name]), baselines=graph.recipe.baselines)
            for rung in self.rungs
        ]

    def more(self) -> Sequence[Node]:
        """The nodes of the next rung that can be begun."""
        if not self._changed:
            return ()
        problems: dict[str, str] = {}
        for rung in list(self.pending):
            try:
                nodes = self._begin(rung)
            except QakitError as error:
                problems[rung.name] = str(error)
            else:
                self.pending.remove(rung)
                return nodes
        self._changed = False
        if not self.execution.is_busy:
            self.errors |= problems
            self.pending.clear()
        return ()

    def ended(self, *_: object) -> None:
        """Something has ended: perhaps a rung was waiting for it."""
        self._changed = True

    def _begin(self, rung: Rung) -> Sequence[Node]:
        """Read, check and lay out a rung."""
        loaded = load(found_recipe(Path(rung.source)), self.registry, overrides=self.overrides, check_files=True)
        own = graph_of(loaded)
        if own.recipe.data.validation is None and own.recipe.folds is None:
            raise UsageError(f"{rung.source} sets no data.validation, on which the steps are compared")
        if isinstance(own.root.work, Combine):
            self._check_overrides(own.root.work, rung)
        before = self.execution.graph.nodes
        nodes = share_weights((*before, *own.placed(rung.name)))[len(before) :]
        graph = Graph(rung.name, nodes)
        self.execution.listener(Remark(f"{rung.name}: {rung.source}"))
        make_folders(graph, self.folder, check_graph(graph, self.folder, self.registry, self.execution.listener))
        self.graphs[rung.name] = own
        return nodes

    def _check_overrides(self, join: Combine, rung: Rung) -> None:
        """Steps of this ladder are trained with ``--set``; nothing can be changed in runs from elsewhere."""
        other = next((path for path in join.plan.members if path.resolve().parent != self.folder.resolve()), None)
        if self.overrides and other is not None:
            raise UsageError(
                f"--set cannot change {other}, which {rung.source} combines as it is: leave out one of the two"
            )


def _note(graph: Graph) -> str:
    """What a rung is where it is no training of one recipe."""
    if isinstance(graph.root.work, Combine):
        join = graph.root.work
        count = len(join.plan.members) + len(join.labels)
        return f"an ensemble ({join.plan.method}) of {count} members; the time is that of training"
    return "" if len(graph.nodes) == 1 else f"{len(graph.nodes) - 1} trainings and what they are together"
