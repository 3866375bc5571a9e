"""One training on several devices: a process for each, started from here where no launcher has started any."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qakit.devices import Slot, slots_for_one
from qakit.distributed import ALONE, Workers, processes_of_this_launch
from qakit.errors import UsageError
from qakit.training.events import Listener, Remark, silence
from qakit.training.interrupts import StopRequest, stop_requests

if TYPE_CHECKING:
    from qakit.graph.execute import Execution, Executor
    from qakit.graph.nodes import Graph
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry


def slots_of(devices: str | None) -> tuple[Slot, ...]:
    """Where one training is to run: ``--devices``, ``QAKIT_DEVICES``, or every GPU; none where a launcher has said it.

    Raises:
        UsageError: no such devices; or both are told.
    """
    from qakit.distributed import launched_processes

    if launched_processes() == 1:
        return slots_for_one(devices)
    if devices is not None:
        raise UsageError("--devices and a launcher of processes both choose the devices; use one of them")
    return ()


def deadline_in(hours: float | None) -> float | None:
    """When a command should be done that begins now, by ``time.monotonic``.

    Raises:
        UsageError: that is no time.
    """
    if hours is None:
        return None
    if not (isinstance(hours, int | float) and math.isfinite(hours) and hours > 0):
        raise UsageError(f"--max-hours {hours}: give hours above 0, with a point for their parts (0.5)")
    return time.monotonic() + 3600 * hours


Engine = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where several trainings run."""

    executor: Executor
    workers: Workers
    """The processes of a launcher, which train together."""
    listener: Listener
    """Silent in all of them but the first."""
    stop: StopRequest
    """Set by a signal, where the trainings run in other processes; here they are asked themselves."""
    deadline: float | None = None
    """When all should be done, by ``time.monotonic``; None: there is time."""

    def execution(self, graph: Graph, folder: Path, **options: Any) -> Execution:
        """A graph that is carried out here."""
        from qakit.graph.execute import Execution

        place = (graph, folder, self.executor, self.listener)
        return Execution(*place, stop=self.stop, workers=self.workers, deadline=self.deadline, **options)


@contextmanager
def executing(
    devices: str | None,
    jobs: int | None,
    registry: Registry,
    listener: Listener,
    *,
    engine: Engine = "local",
    apart: bool = False,
    deadline: float | None = None,
) -> Iterator[Place]:
    """The devices that are chosen for several trainings, one on each; under a launcher its processes train together.

    Args:
        engine: ``ray``: on the machines of a Ray cluster.
        apart: each training gets a process of its own, also where there is one at a time.
        deadline: from :func:`deadline_in`.

    Raises:
        UsageError: no such devices; or a launcher has chosen them already.
    """
    from qakit.devices import slots, told
    from qakit.distributed import launched_processes, processes_of_this_launch
    from qakit.graph.execute import Here
    from qakit.graph.processes import Processes

    if launched_processes() > 1 and (devices is not None or jobs is not None or engine != "local"):
        raise UsageError("--devices, --jobs and --engine are the launcher's to say: use one of them")
    if launched_processes() > 1:
        with processes_of_this_launch() as workers:
            heard = listener if workers.first else silence
            yield Place(Here(registry, workers), workers, heard, StopRequest(), deadline)
        return
    if engine == "ray":
        from qakit.graph.cluster import on_cluster

        if devices is not None:
            raise UsageError("--devices is for this machine: Ray chooses among those of its cluster")
        cluster = on_cluster(jobs)
        with stop_requests() as stop:
            yield Place(cluster, ALONE, listener, stop, deadline)
        return
    chosen = slots(devices, jobs)
    if line := told(chosen, each="training"):
        listener(Remark(line))
    if len(chosen) == 1 and chosen[0].own and not apart:
        yield Place(Here(registry), ALONE, listener, StopRequest(), deadline)
        return
    with stop_requests() as stop:
        yield Place(Processes(chosen, registry=registry), ALONE, listener, stop, deadline)


def train_on(
    slots: Sequence[Slot],
    recipe: Recipe,
    registry: Registry,
    output: Path | None,
    *,
    resume: bool,
    listener: Listener,
    began: float,
    deadline: float | None = None,
) -> Path:
    """Train with one process on each slot, and say what was chosen; without slots in this process, and in those that a
    launcher has started beside it. One slot that is this process's own needs no other process.

    Args:
        output: the folder of the run.
        resume: whether the run there is resumed.
        began: when the command began, by ``time.monotonic``, which the processes of a machine share.
        deadline: when it should be done, likewise.

    Returns:
        The run's folder.

    Raises:
        QakitError: as in one process.
    """
    from qakit.devices import told
    from qakit.recipe.dump import recipe_data
    from qakit.training.subprocesses import call_on

    if line := told(slots) if slots else None:
        listener(Remark(line))
    if not slots or (len(slots) == 1 and slots[0].own):
        return _train(listener, recipe, registry, output, resume, began, deadline)
    place = None if output is None else str(output)
    order = {"output": place, "resume": resume, "began": began, "deadline": deadline}
    return Path(call_on(slots, train_in_worker, {"recipe": recipe_data(recipe), **order}, listener=listener))


def train_in_worker(listener: Listener, *, recipe: Mapping[str, Any], output: str | None, **order: Any) -> str:
    """What :func:`train_on` calls in the processes that it starts."""
    from qakit.recipe.model import Recipe
    from qakit.recipe.own_plugins import with_code_of
    from qakit.registry import load_registry

    place, checked = None if output is None else Path(output), Recipe.model_validate(recipe)
    registry = with_code_of(checked, load_registry(), holder=Path("the recipe"))
    return str(_train(listener, checked, registry, place, **order))


def _train(
    listener: Listener,
    recipe: Recipe,
    registry: Registry,
    output: Path | None,
    resume: bool,
    began: float,
    deadline: float | None,
) -> Path:
    from qakit.graph.training import Training
    from qakit.modeling.device import free_memory
    from qakit.runs import Run
    from qakit.training.launch import accelerator_for

    with processes_of_this_launch() as workers:
        run = Run(output) if resume and output is not None else None
        training = Training(recipe, registry, accelerator_for(recipe), output, run, began, deadline)
        training.go(listener if workers.first else silence, resume=resume)
        assert training.run is not None
        folder = training.run.folder
        del training
        free_memory()
    return folder
