"""After both stages are trained: tune the combination, predict as a whole, write the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.data.splits import Split, read_split
from qakit.files import write_json
from qakit.inference.answering import Examined
from qakit.inference.output import Submission, inputs_of, save_predictions, write_submission
from qakit.inference.scoring import CountProgress
from qakit.recipe.load import recipe_hash
from qakit.registry import Registry
from qakit.runs import Run, environment, open_run
from qakit.stages.folder import COMBINE, read_pipeline, stage_folders
from qakit.stages.trained import TrainedPipeline
from qakit.stages.tuning import Decision, Tuned, tune
from qakit.values import Prediction

if TYPE_CHECKING:
    import torch

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FinishedPipeline:
    """What a finished pipeline can show."""

    metrics: Mapping[str, Any]
    """What metrics.json holds."""
    examined: Examined | None
    """The whole on validation; None without validation."""


Expected = Callable[[Examined, TrainedPipeline], Mapping[str, Any]]
"""The figures to expect, with their intervals, for metrics.json."""


def finish_pipeline(
    run: Run,
    registry: Registry,
    *,
    seconds: Callable[[], float],
    expected: Expected,
    device: torch.device | None = None,
    cache: Path | None = None,
    say: Say,
    warn: Say,
    progress: CountProgress,
) -> FinishedPipeline:
    """Tune on validation, predict validation and test file as a whole, write everything into the folder.

    Without validation a weight that is to be tuned is 1.

    Raises:
        QakitError: a stage is not trained, or a file cannot be read.
    """
    combine = read_pipeline(run).combine
    fixed = 1.0 if combine.weight == "tune" else combine.weight
    trained = TrainedPipeline.load(run.folder, registry=registry, device=device, decision=Decision(fixed))
    validation = read_split(trained.recipe, registry, "validation")
    tuned, examined = Tuned(trained.decision, ()), None
    if validation is not None:
        say("predicting the validation file with both stages")
        read = trained.read(validation.examples, relevant=True, cache=cache, progress=progress)
        tuned = tune(read.readings, validation.examples, trained.judge, combine)
        trained = replace(trained, decision=tuned.decision)
        examined = trained.examine_read(read, validation.examples)
        _save(run.validation_predictions, examined.evaluation.predictions, trained, validation)
    write_json(run.folder / COMBINE, tuned.as_json() | {"top_k": trained.top_k})
    write_json(run.meta_file, _describe(run, trained, validation))
    submission = _predict_test(trained, cache=cache, say=say, warn=warn, progress=progress)
    metrics = {
        "run": str(run.folder),
        "validation": None if examined is None else examined.evaluation.figures,
        "expected": None if examined is None else expected(examined, trained),
        "combine": tuned.as_json() | {"top_k": trained.top_k},
        "null_threshold": tuned.decision.null_threshold if trained.recipe.predict.no_answer else None,
        "calibration": _calibration(examined),
        "stages": {name: _stage(folder) for name, folder in stage_folders(run).items()},
        "baselines": trained.recipe.baselines,
        "seconds": round(seconds(), 1),
        "submission": None if submission is None else submission.as_json(),
    }
    write_json(run.metrics_file, metrics)
    return FinishedPipeline(metrics, examined)


def _predict_test(
    trained: TrainedPipeline, *, cache: Path | None, say: Say, warn: Say, progress: CountProgress
) -> Submission | None:
    test = read_split(trained.recipe, trained.registry, "test")
    if test is None:
        return None
    say("predicting the test file with both stages")
    predictions = trained.infer(test.examples, cache=cache, progress=progress).predictions
    _save(trained.run.predictions, predictions, trained, test)
    path = trained.run.predictions / "submission"
    submission = write_submission(path, predictions, trained.recipe, trained.registry)
    for line in submission.told():
        warn(line)
    return submission


def _save(folder: Path, predictions: Sequence[Prediction], trained: TrainedPipeline, split: Split) -> None:
    save_predictions(folder, predictions, trained.recipe, run=trained.run.name, inputs=inputs_of(split.files))


def _describe(run: Run, trained: TrainedPipeline, validation: Split | None) -> dict[str, Any]:
    """The pipeline's meta.json."""
    data = {}
    if validation is not None:
        files, examples = inputs_of(validation.files), len(validation.examples)
        data = {"validation": {"files": files, "examples": examples, "problems": {}}}
    return environment() | {
        "recipe_sha256": recipe_hash(trained.recipe),
        "seed": trained.recipe.seed,
        "data": data,
        "stages": {name: str(folder) for name, folder in stage_folders(run).items()},
    }


def _stage(folder: Path) -> dict[str, Any]:
    """A stage's own figures, on its own terms."""
    run = open_run(folder)
    return {"run": str(folder), "validation": run.read_json(run.metrics_file).get("validation")}


def _calibration(examined: Examined | None) -> dict[str, Any] | None:
    calibration = None if examined is None else examined.evaluation.calibration
    return None if calibration is None else asdict(calibration)
