"""One training from its data to its figures, as every command that trains does it."""

from __future__ import annotations

import platform
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import RunError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from qakit.cli.progress import TrainingDisplay
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.finish import Finished


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

    def go(self, display: TrainingDisplay, *, resume: bool) -> Finished | None:
        """Train, predict, write; None in all processes but the first. A finished run stays what it is."""
        from qakit.report.curves import draw_curves
        from qakit.report.threshold_curve import draw_validation_curve
        from qakit.runs import alone_in, check_free, create_run
        from qakit.training.events import Remark
        from qakit.training.finish import finish_run, finished_before
        from qakit.training.fit import fit
        from qakit.training.launch import check_same_training, part_ways, workers_of
        from qakit.training.prepare import prepare_training

        began = time.monotonic()
        recipe, registry, accelerator = self.recipe, self.registry, self.accelerator
        workers, device = workers_of(accelerator), accelerator.device
        with ExitStack() as held:
            with workers.one_fate():
                before = None
                if workers.first and self.run is None:
                    check_free(self.output)
                elif workers.first and self.run is not None:
                    held.enter_context(alone_in(self.run))
                    before = finished_before(self.run)
            if workers.from_first(before is not None):
                display(Remark(f"{self.output} is finished: there is nothing left to do"))
                part_ways(accelerator)
                return before
            with workers.one_fate():
                prepared = prepare_training(recipe, registry, device=device, listener=display, workers=workers)
            check_same_training(prepared, workers)
            with workers.one_fate():
                if workers.first and self.run is None:
                    self.run = create_run(recipe, self.output)
                    held.enter_context(alone_in(self.run))
            self.run = run = workers.from_first(self.run)
            assert run is not None
            with workers.one_fate():
                _check_visible(run)
            fit(prepared, run, registry, accelerator=accelerator, resume=resume, listener=display)

            def draw() -> None:
                draw_curves(run.metrics(), run.curves_file, title=run.name)
                draw_validation_curve(run, registry)

            finished = finish_run(
                run,
                registry,
                seconds=time.monotonic() - began,
                listener=display,
                workers=workers,
                device=device,
                draw=draw,
            )
            part_ways(accelerator)
        return finished


def _check_visible(run: Run) -> None:
    """Every process reads from the run's folder at the end, and on resume."""
    if not run.recipe_file.is_file():
        raise RunError(
            f"{platform.node()} does not see the run's folder {run.folder.absolute()}, which the first process has "
            "made: several machines need it on a file system that they share"
        )
