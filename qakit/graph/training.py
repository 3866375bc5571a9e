"""One training, from its data to its figures: by itself, or as a node of a graph."""

from __future__ import annotations

import os
import platform
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.data.cache import default_cache
from qakit.errors import RunError
from qakit.graph.nodes import Join, Joined, Node, Train, check_recipe, training_key
from qakit.randomness import GENERATOR
from qakit.training.events import Listener, Notice, Remark, RunBegun

if TYPE_CHECKING:
    from accelerate import Accelerator

    from qakit.distributed import Workers
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.finish import Finished
    from qakit.training.prepare import Prepared


@dataclass(slots=True)
class Training:
    """One run's training, from its data to its figures."""

    recipe: Recipe
    registry: Registry
    accelerator: Accelerator
    output: Path | None
    """The folder of a new run."""
    run: Run | None
    """The run to resume; of a new one, None until its folder is made."""
    began: float = field(default_factory=time.monotonic)
    """When the work on it began, by ``time.monotonic``."""
    deadline: float | None = None
    """When it should be done, likewise; None: as the recipe says."""

    def go(self, listener: Listener, *, resume: bool) -> Finished | None:
        """Train, predict, write; None in all processes but the first. A finished run stays what it is."""
        from qakit.report.curves import draw_curves, draw_validation_curve
        from qakit.runs import alone_in, check_free, create_run
        from qakit.training.clock import Clock, account
        from qakit.training.finish import finish_run, finished_before
        from qakit.training.fit import fit
        from qakit.training.launch import check_same_training, workers_of
        from qakit.training.observers import observers_of, watched
        from qakit.training.preflight import preflight
        from qakit.training.prepare import prepare_training
        from qakit.training.sharding import is_sharded

        recipe, registry, accelerator = self.recipe, self.registry, self.accelerator
        workers, device = workers_of(accelerator), accelerator.device
        if self.run is not None:
            listener(RunBegun(self.run.folder))
        with GENERATOR, ExitStack() as held:
            with workers.fail_together():
                before = None
                if workers.first and self.run is None:
                    check_free(self.output)
                elif workers.first and self.run is not None:
                    if not (self.run.finished and not os.access(self.run.folder, os.W_OK)):  # else nothing is written
                        held.enter_context(alone_in(self.run))
                    check_recipe(self.run, recipe)  # another command may have written its own meanwhile
                    before = finished_before(self.run)
            if workers.from_first(before is not None):
                listener(Remark(f"{self.output} is finished: there is nothing left to do"))
                return before
            with workers.fail_together():
                prepared = prepare_training(recipe, registry, device=device, listener=listener, workers=workers)
            check_same_training(prepared, workers)
            goes_on = self.run is not None and any(self.run.checkpoints.glob("step-*"))
            parts = None
            if not workers.from_first(goes_on):
                with workers.fail_together():
                    first = preflight(
                        prepared,
                        registry,
                        device=device,
                        listener=listener,
                        workers=workers,
                        sharded=is_sharded(accelerator),
                    )
                if recipe.train.accumulation == "auto":
                    parts = max(workers.gather(first.parts))
            with workers.fail_together():
                if workers.first and self.run is None:
                    self.run = create_run(recipe, self.output)
                    held.enter_context(alone_in(self.run))
            self.run = run = workers.from_first(self.run)
            assert run is not None
            listener(RunBegun(run.folder))
            with workers.fail_together():
                _check_visible(run)
                observers = observers_of(recipe, run.folder, registry) if workers.first else []
            listener = held.enter_context(watched(observers, listener))
            clock = Clock.of(recipe, run, workers, began=self.began, deadline=self.deadline)
            with workers.fail_together():
                if clock is not None and workers.first:
                    listener(Remark(clock.described()))
                    for line in clock.measure(prepared, registry, device=device, cache=default_cache()):
                        listener(Notice(line))
            progress = fit(
                prepared,
                run,
                registry,
                accelerator=accelerator,
                resume=resume,
                listener=listener,
                clock=clock,
                parts=parts,
            )

            def draw() -> None:
                draw_curves(run.metrics(), run.curves_file, title=run.name)
                draw_validation_curve(run, registry)

            return finish_run(
                run,
                registry,
                seconds=time.monotonic() - self.began,
                listener=listener,
                workers=workers,
                device=device,
                draw=draw,
                more=account(clock, progress, prepared.plan),
            )


def described(node: Node, registry: Registry, *, listener: Listener) -> dict[str, Any]:
    """Prepare a training, and try one batch of it, and say what it would be."""
    from qakit.modeling.device import pick_device
    from qakit.modeling.model import parameter_counts, parameters_by_module
    from qakit.training.optim import parameter_groups
    from qakit.training.preflight import preflight
    from qakit.training.prepare import prepare_training

    recipe, device = node.recipe, pick_device()
    prepared = prepare_training(recipe, registry, device=device, listener=listener)
    check_joins(node, prepared)
    first = preflight(prepared, registry, device=device, listener=listener)
    counts = parameter_counts(prepared.assembled.model)
    groups = [
        {
            "group": group["name"],
            "parameters": sum(p.numel() for p in group["params"]),
            "learning_rate": group["peak_rate"],
            "weight_decay": group["weight_decay"],
        }
        for group in parameter_groups(prepared.assembled.model, recipe.train, prepared.assembled.adapter)
    ]
    lengths = prepared.plan.first.windows.lengths
    return {
        "train_examples": len(prepared.train_split.examples),
        "train_windows": len(lengths),
        "window_tokens": {"mean": round(float(lengths.mean()), 1), "max": int(lengths.max())},
        "validation_examples": len(prepared.validation.examples) if prepared.validation else 0,
        "steps": prepared.plan.steps,
        "warmup_steps": prepared.plan.warmup,
        "precision": prepared.precision,
        "first_batch": asdict(first),
        "parameters": counts,
        "modules": parameters_by_module(prepared.assembled.model),
        "groups": groups,
    }


def _check_visible(run: Run) -> None:
    """Every process reads from the run's folder at the end, and on resume."""
    if not run.recipe_file.is_file():
        raise RunError(
            f"{platform.node()} does not see the run's folder {run.folder.absolute()}, which the first process has "
            "made: several machines need it on a file system that they share"
        )


def check_joins(node: Node, prepared: Prepared) -> None:
    """The head of a part decodes to what its join needs.

    Raises:
        UsageError: it does not.
    """
    from qakit.inference.aggregation import check_gives

    if isinstance(node.work, Train) and node.work.gives is not None:
        check_gives(prepared.assembled.model.head, node.work.gives, name=node.recipe.head.name, part=node.label)


def _check_source(source: Run, recipe: Recipe, run: Run) -> None:
    """The weights that a run takes are those that its own training would give.

    Raises:
        RunError: they are not there yet, or are of another training.
    """
    if not source.finished:
        raise RunError(f"{run.folder} takes the weights of {source.folder}, which is not finished: train that first")
    if training_key(source.recipe()) != training_key(recipe):
        raise RunError(
            f"{run.folder} takes the weights of {source.folder}, whose training is another one: remove {run.folder}, "
            "and train what it is a part of again"
        )


def perform(node: Node, folder: Path, registry: Registry, listener: Listener, *, workers: Workers) -> Joined:
    """Do a node's work in its folder, those that it needs being finished; a finished one stays what it is.

    Whether it trains or takes the weights of another one says its folder, which may have been begun in another graph.

    Args:
        folder: the graph's, where the node's own folder is made already.
        workers: the processes that train together; all else does the first of them.

    Raises:
        BusyError: another process is at work there.
        QakitError: whatever goes wrong.
    """
    from qakit.graph.expand import source_of
    from qakit.modeling.device import free_memory
    from qakit.runs import Run, alone_in
    from qakit.training.launch import accelerator_for

    run, joined = Run(folder / node.label), Joined()
    source = None if isinstance(node.work, Join) else source_of(run)
    if source is None and not isinstance(node.work, Join):
        seconds = node.work.seconds if isinstance(node.work, Train) else None
        began = time.monotonic()
        deadline = None if seconds is None else began + seconds
        training = Training(node.recipe, registry, accelerator_for(node.recipe), run.folder, run, began, deadline)
        training.go(listener, resume=True)
        del training
    elif not workers.first:
        return joined
    elif source is not None:
        from qakit.modeling.device import pick_device
        from qakit.training.repredict import repredict

        if not run.finished:
            _check_source(source, node.recipe, run)
        repredict(source, node.recipe, run, registry, listener=listener, device=pick_device())
    elif isinstance(node.work, Join):
        with alone_in(run):
            check_recipe(run, node.recipe)
            if not run.finished:
                joined = node.work.finish(run, registry, listener)
    free_memory()
    return joined
