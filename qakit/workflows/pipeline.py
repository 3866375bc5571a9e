"""A pipeline: its stages trained one after the other, then the whole."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import RunError, UsageError
from qakit.workflows.training import described, free_memory, train_into

if TYPE_CHECKING:
    from qakit.inference.answering import Examined
    from qakit.protocols import Gives
    from qakit.registry import Registry
    from qakit.report.pipeline import Expectation
    from qakit.runs import Run
    from qakit.stages.load import LoadedPipeline, Stage
    from qakit.stages.trained import TrainedPipeline
    from qakit.training.events import Listener
    from qakit.training.prepare import Prepared
    from qakit.workflows.result import TrainingResult

WANTED: dict[str, Gives] = {"selection": "contexts", "span": "spans"}
"""What each stage's head must decode to."""


@dataclass(frozen=True, slots=True)
class PipelineTraining:
    """A recipe with stages: they are trained one after the other, then the whole is tuned, predicted and judged."""

    loaded: LoadedPipeline
    registry: Registry
    output: Path | None
    """The folder of a new pipeline."""
    run: Run | None
    """The pipeline to go on with."""

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """What each stage would be."""
        found: dict[str, Any] = {}
        for name, stage in self.loaded.stages.items():
            if stage.run is not None:
                found[name] = {"from_run": str(stage.run)}
            else:
                check = partial(_check_gives, stage)
                found[name] = described(stage.recipe, self.registry, listener=listener, check=check)
        _check_test(self.loaded, self.registry, listener)
        return {"stages": found, "combine": self.loaded.pipeline.combine.model_dump(mode="json")}

    def train(self, listener: Listener) -> TrainingResult:
        """Train what is not trained yet; then tune, predict and evaluate the whole."""
        from qakit.runs import alone_in, check_free
        from qakit.stages.folder import create_pipeline
        from qakit.training.events import Remark, RunBegun

        began, run = time.monotonic(), self.run
        if run is None:
            check_free(self.output)
        else:
            listener(RunBegun(run.folder))
        todo = [stage for stage in self.loaded.stages.values() if not _is_trained(stage, run)]
        _check_first(todo, self.registry, listener)
        _check_test(self.loaded, self.registry, listener)
        if run is None:
            run = create_pipeline(self.loaded, self.output)
            listener(RunBegun(run.folder))
        with alone_in(run):
            for number, stage in enumerate(todo, start=1):
                listener(Remark(f"stage {stage.name} ({number} of {len(todo)} to train)"))
                train_into(stage.recipe, run.folder / stage.name, self.registry, listener=listener)
            return _finish(run, self.registry, began=began, listener=listener)


def check_alone() -> None:
    """Refuse a launcher.

    Raises:
        UsageError: several processes were started.
    """
    from qakit.distributed import launched_processes

    if launched_processes() > 1:
        raise UsageError(
            "a pipeline is trained by one process: train its stages' recipes with the launcher, then the pipeline with "
            "`stages: {selection: {from_run: RUN}, span: {from_run: RUN}}`"
        )


def _is_trained(stage: Stage, pipeline: Run | None) -> bool:
    """Whether a stage needs no training: a run from elsewhere, or one that was finished before."""
    from qakit.runs import Run

    if stage.run is not None:
        if not Run(stage.run).model.is_dir():
            raise RunError(f"the {stage.name} stage {stage.run} has no trained model")
        return True
    return pipeline is not None and Run(pipeline.folder / stage.name).metrics_file.is_file()


def _check_first(stages: list[Stage], registry: Registry, listener: Listener) -> None:
    """What is wrong with a later stage should be known before the first one is trained, not after."""
    from qakit.modeling.device import pick_device
    from qakit.training.events import Remark, silence
    from qakit.training.prepare import prepare_training

    for stage in reversed(stages):
        listener(Remark(f"checking stage {stage.name}"))
        prepared = prepare_training(stage.recipe, registry, device=pick_device(), listener=silence)
        _check_gives(stage, prepared)
        del prepared
        free_memory()


def _check_test(loaded: LoadedPipeline, registry: Registry, listener: Listener) -> None:
    """What is wrong with the test file, or with its ids, should be known before the stages are trained, too."""
    from qakit.data.splits import read_split
    from qakit.inference.stand_ins import submission_problems
    from qakit.training.events import Notice

    test = read_split(loaded.whole, registry, "test")
    if test is None:
        return
    for problems in test.problems:
        for line in problems.describe():
            listener(Notice(line))
    for problem in submission_problems(test.examples, loaded.whole, registry, gives="spans", classes=()):
        listener(Notice(f"answers to the test file will not fit the sample submission: {problem}"))


def _check_gives(stage: Stage, prepared: Prepared) -> None:
    """Whether the stage's head decodes to what the pipeline needs of it."""
    from qakit.inference.scoring import given_by

    gives = given_by(prepared.assembled.model.head)
    if gives != WANTED[stage.name]:
        raise UsageError(
            f"stages.{stage.name}: the head {stage.recipe.head.name!r} gives {gives}; this stage needs one that "
            f"gives {WANTED[stage.name]}"
        )


def _finish(run: Run, registry: Registry, *, began: float, listener: Listener) -> TrainingResult:
    from qakit.data.cache import default_cache
    from qakit.modeling.device import pick_device
    from qakit.report.pipeline import expectation_of
    from qakit.stages.finish import finish_pipeline
    from qakit.training.events import Notice, Predicting, Remark
    from qakit.workflows.result import TrainingResult

    expectations: list[Expectation] = []

    def expected(examined: Examined, trained: TrainedPipeline) -> dict[str, Any]:
        found = expectation_of(examined, seed=trained.recipe.seed, top_k=trained.top_k)
        expectations.append(found)
        return found.as_json()

    finished = finish_pipeline(
        run,
        registry,
        seconds=time.monotonic() - began,
        expected=expected,
        device=pick_device(),
        cache=default_cache(),
        say=lambda text: listener(Remark(text)),
        warn=lambda text: listener(Notice(text)),
        progress=lambda done, total: listener(Predicting(done, total)),
    )
    return TrainingResult(run, finished.metrics, expectation=expectations[0] if expectations else None)
