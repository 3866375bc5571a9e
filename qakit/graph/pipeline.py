"""A pipeline as a graph: its stages, and the whole, which is tuned, judged and predicted with both.

::

    runs/NAME-TIME/
      pipeline.yaml      stages and combination
      selection/, span/  the stages' own run folders; a stage that existed before stays where it is
      combine.json       what was tuned on validation: weight, no-answer threshold, temperature
      recipe.yaml        the whole: the span stage's recipe with the pipeline's data, metric, clean-up, writer
      meta.json, metrics.json, predictions/, predictions/validation/    as in every run, of the whole
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import RunError
from qakit.graph.nodes import Graph, Joined, Node, Train
from qakit.runs import PIPELINE, Run, seconds_of
from qakit.stages.folder import pipeline_text, read_pipeline
from qakit.stages.load import LoadedPipeline, Stage
from qakit.stages.model import STAGES, ExistingRun

if TYPE_CHECKING:
    from qakit.protocols import Gives
    from qakit.registry import Registry
    from qakit.training.events import Listener

WANTED: dict[str, Gives] = {"selection": "contexts", "span": "spans"}
"""What each stage's head must decode to."""


def pipeline_graph(loaded: LoadedPipeline) -> Graph:
    """The stages that are trained here, and the whole.

    Raises:
        RunError: a stage that should exist has no trained model.
    """
    for stage in loaded.stages.values():
        if stage.run is not None and not Run(stage.run).model.is_dir():
            raise RunError(f"the {stage.name} stage {stage.run} has no trained model")
    trained = [stage for stage in loaded.stages.values() if stage.run is None]
    parts = [Node(stage.name, stage.recipe, Train(WANTED[stage.name])) for stage in trained]
    root = Node("", loaded.whole, TwoStages(loaded), tuple(node.label for node in parts))
    return Graph(loaded.whole.name or "pipeline", (*parts, root))


@dataclass(frozen=True, slots=True)
class TwoStages:
    """The stage that selects contexts and the one that finds the span, as one."""

    loaded: LoadedPipeline

    def prepare(self, graph: Graph, label: str, registry: Registry, listener: Listener) -> Mapping[str, str]:  # noqa: ARG002
        """Read the test file, which no stage has."""
        from qakit.data.splits import read_split
        from qakit.inference.stand_ins import submission_problems
        from qakit.training.events import Notice

        test = read_split(self.loaded.whole, registry, "test")
        if test is not None:
            for line in (line for problems in test.problems for line in problems.describe()):
                listener(Notice(line))
            for problem in submission_problems(test.examples, self.loaded.whole, registry, gives="spans", classes=()):
                listener(Notice(f"answers to the test file will not fit the sample submission: {problem}"))
        stages = {name: _named(stage) for name, stage in self.loaded.stages.items()}
        return {PIPELINE: pipeline_text(self.loaded.pipeline, stages)}

    def check_same(self, run: Run, files: Mapping[str, str]) -> None:  # noqa: ARG002
        """Stages and combination are those of before."""
        before = read_pipeline(run)
        stages = {name: getattr(before.stages, name) for name in STAGES}
        existing = {name: Path(each.from_run) for name, each in stages.items() if isinstance(each, ExistingRun)}
        now = {name: stage.run for name, stage in self.loaded.stages.items() if stage.run is not None}
        if (before.combine, existing) != (self.loaded.pipeline.combine, now):
            raise RunError(f"{run.folder} was begun with other stages or another `combine`: choose another --output")

    def finish(self, run: Run, registry: Registry, listener: Listener) -> Joined:
        """Tune on validation, predict and judge the whole."""
        from qakit.data.cache import default_cache
        from qakit.inference.answering import Examined
        from qakit.modeling.device import pick_device
        from qakit.report.evaluation import Expectation, expectation_of
        from qakit.stages.trained import TrainedPipeline
        from qakit.stages.whole import finish_pipeline
        from qakit.training.events import Notice, Predicting, Remark

        began, expectations = time.monotonic(), list[Expectation]()

        def expected(examined: Examined, trained: TrainedPipeline) -> dict[str, Any]:
            found = expectation_of(examined, seed=trained.recipe.seed, top_k=trained.top_k)
            expectations.append(found)
            return found.as_json()

        finish_pipeline(
            run,
            registry,
            seconds=lambda: time.monotonic() - began + seconds_of([Run(run.folder / name) for name in self._trained]),
            expected=expected,
            device=pick_device(),
            cache=default_cache(),
            say=lambda text: listener(Remark(text)),
            warn=lambda text: listener(Notice(text)),
            progress=lambda done, total: listener(Predicting(done, total)),
        )
        return Joined(expectation=expectations[0] if expectations else None)

    @property
    def _trained(self) -> list[str]:
        return [name for name, stage in self.loaded.stages.items() if stage.run is None]

    def dry_run(self, registry: Registry) -> Mapping[str, Any]:  # noqa: ARG002
        """How the stages are combined."""
        existing = {name: str(stage.run) for name, stage in self.loaded.stages.items() if stage.run is not None}
        return {"existing": existing, "combine": self.loaded.pipeline.combine.model_dump(mode="json")}


def _named(stage: Stage) -> Any:
    """How pipeline.yaml names a stage."""
    return f"{stage.name}/recipe.yaml" if stage.run is None else {"from_run": str(stage.run)}
