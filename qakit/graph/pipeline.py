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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.data.cache import default_cache
from qakit.data.splits import Split, read_split
from qakit.errors import RunError
from qakit.files import write_json
from qakit.graph.nodes import Graph, Joined, Node, Train
from qakit.inference.inputs import Inputs
from qakit.recipe.load import recipe_hash
from qakit.report.evaluation import expectation_of
from qakit.report.training_data import other_content
from qakit.runs import PIPELINE, Run, clock_of, environment, open_run, seconds_of
from qakit.runs.plugins import settings_versions
from qakit.stages.load import COMBINE, LoadedPipeline, Stage, pipeline_text, read_pipeline, stage_folders
from qakit.stages.model import STAGES, WANTED, ExistingRun
from qakit.training.events import Listener, Notice, Predicting, Remark

if TYPE_CHECKING:
    from qakit.inference.output import Submission
    from qakit.inference.scoring import CountProgress
    from qakit.registry import Registry
    from qakit.stages.trained import TrainedPipeline
    from qakit.values import Prediction


def pipeline_graph(loaded: LoadedPipeline) -> Graph:
    """The stages that are trained here, and the whole."""
    trained = [stage for stage in loaded.stages.values() if stage.run is None]
    parts = [Node(stage.name, stage.recipe, Train(WANTED[stage.name])) for stage in trained]
    root = Node("", loaded.whole, TwoStages(loaded), tuple(node.label for node in parts))
    return Graph(loaded.whole.name or "pipeline", (*parts, root))


@dataclass(frozen=True, slots=True)
class TwoStages:
    """The stage that selects contexts and the one that finds the span, as one."""

    loaded: LoadedPipeline

    def prepare(self, graph: Graph, label: str, registry: Registry, listener: Listener) -> Mapping[str, str]:  # noqa: ARG002
        """Load the existing stages, read the test file, which no stage has, and try the metric of the whole."""
        from qakit.inference.data_rules import check_judging, submission_problems
        from qakit.stages.trained import load_stage

        for name, stage in self.loaded.stages.items():
            if stage.run is not None:
                load_stage(name, stage.run, registry=registry)
        test = read_split(self.loaded.whole, registry, "test")
        if test is not None:
            for line in (line for problems in test.problems for line in problems.describe()):
                listener(Notice(line))
            for problem in submission_problems(test.examples, self.loaded.whole, registry, gives="spans", classes=()):
                listener(Notice(f"answers to the test file will not fit the sample submission: {problem}"))
        validation = read_split(self.loaded.whole, registry, "validation")
        if validation is not None:
            check_judging(self.loaded.whole, registry, validation.examples, "spans")
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
        """Tune on validation, predict validation and test file as a whole, write everything into the folder.

        Without validation a weight that is to be tuned is 1.
        """
        from qakit.modeling.device import pick_device
        from qakit.stages.trained import TrainedPipeline
        from qakit.stages.tuning import Decision, Tuned, tune

        began, cache, combine = time.monotonic(), default_cache(), read_pipeline(run).combine
        for line in other_content({name: Run(folder) for name, folder in stage_folders(run).items()}):
            listener(Notice(f"{line}: train the stages anew to have both of the same files"))

        def progress(done: int, total: int) -> None:
            listener(Predicting(done, total))

        plain = Decision(1.0 if combine.weight == "tune" else combine.weight)
        trained = TrainedPipeline.load(run.folder, registry=registry, device=pick_device(), decision=plain)
        validation = read_split(trained.recipe, registry, "validation")
        tuned, examined, expectation = Tuned(trained.decision, ()), None, None
        if validation is not None:
            listener(Remark("predicting the validation file with both stages"))
            read = trained.read(validation.examples, relevant=True, cache=cache, progress=progress)
            tuned = tune(read.readings, validation.examples, trained.judge, combine)
            trained = replace(trained, decision=tuned.decision)
            examined = trained.examine_read(read, validation.examples)
            expectation = expectation_of(examined, seed=trained.recipe.seed, top_k=trained.top_k)
            _save(run.validation_predictions, examined.evaluation.predictions, trained, validation)
        combination = tuned.as_json() | {"top_k": trained.top_k}
        write_json(run.folder / COMBINE, combination)
        write_json(run.meta_file, _describe(run, trained, validation))
        submission = _predict_test(trained, listener, cache=cache, progress=progress)
        evaluation = None if examined is None else examined.evaluation
        stages = stage_folders(run)
        own = [Run(stages[name]) for name, stage in self.loaded.stages.items() if stage.run is None]
        metrics = {
            "run": str(run.folder),
            "validation": None if evaluation is None else evaluation.figures,
            "expected": None if expectation is None else expectation.as_json(),
            "combine": combination,
            "null_threshold": tuned.decision.null_threshold if trained.recipe.predict.no_answer else None,
            "calibration": None if evaluation is None or not evaluation.calibration else asdict(evaluation.calibration),
            "stages": {name: _figures(folder) for name, folder in stages.items()},
            "baselines": trained.recipe.baselines,
            "seconds": round(time.monotonic() - began + seconds_of(own), 1),
            "submission": None if submission is None else submission.as_json(),
            **clock_of(map(Run, stages.values())),
        }
        write_json(run.metrics_file, metrics)
        return Joined(expectation=expectation)

    def dry_run(self, registry: Registry) -> Mapping[str, Any]:  # noqa: ARG002
        """How the stages are combined."""
        existing = {name: str(stage.run) for name, stage in self.loaded.stages.items() if stage.run is not None}
        return {"existing": existing, "combine": self.loaded.pipeline.combine.model_dump(mode="json")}


def _named(stage: Stage) -> Any:
    """How pipeline.yaml names a stage."""
    return f"{stage.name}/recipe.yaml" if stage.run is None else {"from_run": str(stage.run)}


def _predict_test(
    trained: TrainedPipeline, listener: Listener, *, cache: Path, progress: CountProgress
) -> Submission | None:
    from qakit.inference.output import write_submission

    test = read_split(trained.recipe, trained.registry, "test")
    if test is None:
        return None
    listener(Remark("predicting the test file with both stages"))
    predictions = trained.infer(test.examples, cache=cache, progress=progress).predictions
    _save(trained.run.predictions, predictions, trained, test)
    path = trained.run.predictions / "submission"
    submission = write_submission(path, predictions, trained.recipe, trained.registry)
    for line in submission.told():
        listener(Notice(line))
    return submission


def _save(folder: Path, predictions: Sequence[Prediction], trained: TrainedPipeline, split: Split) -> None:
    from qakit.inference.output import save_predictions

    save_predictions(folder, predictions, trained.recipe, run=trained.run.name, inputs=Inputs.of(split))


def _describe(run: Run, trained: TrainedPipeline, validation: Split | None) -> dict[str, Any]:
    """The pipeline's meta.json."""
    data = {}
    if validation is not None:
        files = Inputs.of(validation).as_json("files")
        data = {"validation": {**files, "examples": len(validation.examples), "problems": {}}}
    return environment() | {
        "recipe_sha256": recipe_hash(trained.recipe),
        "seed": trained.recipe.seed,
        "data": data,
        "stages": {name: str(folder) for name, folder in stage_folders(run).items()},
        "settings": settings_versions(trained.recipe, trained.registry),
        "decisions": {name: Run(folder).decision_sha256() for name, folder in stage_folders(run).items()},
    }


def _figures(folder: Path) -> dict[str, Any]:
    """A stage's own figures, on its own terms."""
    run = open_run(folder)
    return {"run": str(folder), "validation": run.read_json(run.metrics_file).get("validation")}
