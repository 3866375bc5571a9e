"""One training, from its data to its figures: by itself, or as a fold, a stage, a member, a step of a ladder."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import RunError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.events import Listener
    from qakit.training.finish import Finished
    from qakit.training.prepare import Prepared
    from qakit.workflows.result import TrainingResult


@dataclass(slots=True)
class Training:
    """One run's training, from its data to its figures."""

    recipe: Recipe
    registry: Registry
    accelerator: Accelerator
    output: Path | None
    """The folder of a new run."""
    run: Run | None
    """The run to go on with; of a new one, None until its folder is made."""

    def go(self, listener: Listener, *, resume: bool) -> Finished | None:
        """Train, predict, write; None in all processes but the first. A finished run stays what it is."""
        from qakit.report.curves import draw_curves
        from qakit.report.threshold_curve import draw_validation_curve
        from qakit.runs import alone_in, check_free, create_run
        from qakit.training.events import Remark, RunBegun
        from qakit.training.finish import finish_run, finished_before
        from qakit.training.fit import fit
        from qakit.training.launch import check_same_training, part_ways, workers_of
        from qakit.training.prepare import prepare_training

        began = time.monotonic()
        recipe, registry, accelerator = self.recipe, self.registry, self.accelerator
        workers, device = workers_of(accelerator), accelerator.device
        if self.run is not None:
            listener(RunBegun(self.run.folder))
        with ExitStack() as held:
            with workers.one_fate():
                before = None
                if workers.first and self.run is None:
                    check_free(self.output)
                elif workers.first and self.run is not None:
                    held.enter_context(alone_in(self.run))
                    before = finished_before(self.run)
            if workers.from_first(before is not None):
                listener(Remark(f"{self.output} is finished: there is nothing left to do"))
                part_ways(accelerator)
                return before
            with workers.one_fate():
                prepared = prepare_training(recipe, registry, device=device, listener=listener, workers=workers)
            check_same_training(prepared, workers)
            with workers.one_fate():
                if workers.first and self.run is None:
                    self.run = create_run(recipe, self.output)
                    held.enter_context(alone_in(self.run))
            self.run = run = workers.from_first(self.run)
            assert run is not None
            listener(RunBegun(run.folder))
            with workers.one_fate():
                _check_visible(run)
            fit(prepared, run, registry, accelerator=accelerator, resume=resume, listener=listener)

            def draw() -> None:
                draw_curves(run.metrics(), run.curves_file, title=run.name)
                draw_validation_curve(run, registry)

            finished = finish_run(
                run,
                registry,
                seconds=time.monotonic() - began,
                listener=listener,
                workers=workers,
                device=device,
                draw=draw,
            )
            part_ways(accelerator)
        return finished


def train_into(recipe: Recipe, folder: Path, registry: Registry, *, listener: Listener) -> None:
    """Train one of several into a run folder; an interrupted run is gone on with."""
    from qakit.runs import Run
    from qakit.training.launch import accelerator_for

    run = Run(folder) if Run(folder).recipe_file.is_file() else None
    training = Training(recipe, registry, accelerator_for(recipe), folder, run)
    training.go(listener, resume=run is not None)
    del training
    free_memory()


def free_memory() -> None:
    """Give back what a training held."""
    from qakit.modeling.device import free_memory as free

    free()


@dataclass(frozen=True, slots=True)
class SingleTraining:
    """A recipe that is trained once."""

    recipe: Recipe
    registry: Registry
    output: Path | None
    """The folder of a new run."""
    run: Run | None
    """The run to go on with."""

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """What would be trained."""
        return described(self.recipe, self.registry, listener=listener)

    def train(self, listener: Listener) -> TrainingResult:
        """Train, predict, write; the first of several processes speaks."""
        from qakit.training.events import silence
        from qakit.training.launch import accelerator_for, workers_of
        from qakit.workflows.result import TrainingResult

        accelerator = accelerator_for(self.recipe)
        if not workers_of(accelerator).first:
            listener = silence
        training = Training(self.recipe, self.registry, accelerator, self.output, self.run)
        finished = training.go(listener, resume=self.run is not None)
        run = training.run
        assert run is not None
        return TrainingResult(run, run.read_json(run.metrics_file) if finished is None else finished.metrics)


def described(
    recipe: Recipe, registry: Registry, *, listener: Listener, check: Callable[[Prepared], None] = lambda _: None
) -> dict[str, Any]:
    """Prepare a training, let ``check`` look at it, and say what it would be."""
    from qakit.modeling.device import pick_device
    from qakit.modeling.model import parameter_counts, parameters_by_module
    from qakit.training.optim import parameter_groups
    from qakit.training.prepare import prepare_training

    prepared = prepare_training(recipe, registry, device=pick_device(), listener=listener)
    check(prepared)
    counts = parameter_counts(prepared.assembled.model)
    groups = [
        {
            "group": group["name"],
            "parameters": sum(p.numel() for p in group["params"]),
            "learning_rate": group["peak_rate"],
            "weight_decay": group["weight_decay"],
        }
        for group in parameter_groups(prepared.assembled.model, recipe.train)
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
