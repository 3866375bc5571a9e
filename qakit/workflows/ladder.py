"""A chain of recipes, trained one after the other, for what each step bought."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import QakitError, UsageError
from qakit.graph.ensemble import Combine
from qakit.graph.execute import Execution, Executor, Here
from qakit.graph.expand import graph_of, load
from qakit.graph.folders import check_graph, make_folders
from qakit.graph.nodes import Graph, Node, share_weights
from qakit.training.interrupts import InterruptedTrainingError, StopRequest

if TYPE_CHECKING:
    from qakit.registry import Registry
    from qakit.report.ladder import Rung
    from qakit.training.events import Listener


def rungs_of(recipes: Sequence[Path], output: Path) -> list[Rung]:
    """A rung for each recipe, in a folder of its name.

    Raises:
        UsageError: two have the same name, or ``output`` is a file.
    """
    from qakit.recipe.load import name_from
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
    """Trains rung by rung. What an earlier one has trained a later one takes, where only prediction differs."""

    folder: Path
    registry: Registry
    overrides: Sequence[str]
    listener: Listener
    executor: Executor | None = None
    stop: StopRequest = field(default_factory=StopRequest)
    _nodes: tuple[Node, ...] = ()
    """Of the rungs so far."""

    def climb(self, rung: Rung, failed: Callable[[Rung], None]) -> Rung:
        """The rung, trained or with the error; a finished one stays what it is.

        Raises:
            InterruptedTrainingError: it was asked to stop.
        """
        try:
            return self._train(rung)
        except InterruptedTrainingError:
            raise
        except QakitError as error:
            rung = replace(rung, error=str(error))
            failed(rung)
            return rung

    def _train(self, rung: Rung) -> Rung:
        from qakit.recipe.found import found_recipe

        loaded = load(found_recipe(Path(rung.source)), self.registry, overrides=self.overrides, check_files=True)
        own = graph_of(loaded)
        if own.recipe.data.validation is None and own.recipe.folds is None:
            raise UsageError(f"{rung.source} sets no data.validation, on which the steps are compared")
        if isinstance(own.root.work, Combine):
            self._check_overrides(own.root.work, rung)
        graph = Graph(rung.name, share_weights((*self._nodes, *own.placed(rung.name))))
        new = Graph(rung.name, graph.below(rung.name))
        files = check_graph(new, self.folder, self.registry, self.listener)
        make_folders(new, self.folder, files)
        execution = Execution(graph, self.folder, self.executor or Here(self.registry), self.listener, stop=self.stop)
        execution.run()
        self._nodes = graph.nodes
        return replace(rung, note=_note(own), baselines=own.recipe.baselines)

    def _check_overrides(self, join: Combine, rung: Rung) -> None:
        """Steps of this ladder are trained with ``--set``; nothing can be changed in runs from elsewhere."""
        other = next((path for path in join.plan.members if path.resolve().parent != self.folder.resolve()), None)
        if self.overrides and other is not None:
            raise UsageError(
                f"--set cannot change {other}, which {rung.source} combines as it is: leave out one of the two"
            )


def _note(graph: Graph) -> str:
    """What a rung is where it is no training of one recipe."""
    if len(graph.nodes) == 1 and not isinstance(graph.root.work, Combine):
        return ""
    if isinstance(graph.root.work, Combine):
        join = graph.root.work
        count = len(join.plan.members) + len(join.labels)
        return f"an ensemble ({join.plan.method}) of {count} members; the time is that of training"
    return f"{len(graph.nodes) - 1} trainings and what they are together"
