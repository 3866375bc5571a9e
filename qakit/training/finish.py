"""After the last step: the test predictions of the best weights, and the final figures with the peak of memory."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from qakit.data.cache import default_cache
from qakit.data.splits import read_split, split_sources
from qakit.distributed import ALONE, Workers
from qakit.files import write_json
from qakit.inference.inputs import Inputs
from qakit.inference.output import Submission, save_predictions, write_submission
from qakit.inference.trained import TrainedRun
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, forget_training
from qakit.training.events import Listener, Notice, Predicting, Preparing

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a finished run can show. ``metrics`` is what metrics.json holds."""

    metrics: Mapping[str, Any]


def finish_run(
    run: Run,
    registry: Registry,
    *,
    seconds: float,
    listener: Listener,
    workers: Workers = ALONE,
    device: torch.device | None = None,
    draw: Callable[[], object] = lambda: None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Finished | None:
    """Predict the recipe's test file with the best weights, write the submission and, last of all, metrics.json.

    A run that has its metrics.json has everything; then what only resuming needs goes. Several processes share the
    prediction; the first one writes, the others get None.

    Args:
        draw: draws the run's pictures.
        more: further entries of metrics.json.
    """
    recipe = run.recipe()
    submission = None
    if split_sources(recipe, "test"):
        submission = _predict_test(run, registry, listener, workers, device)
    if not workers.first:
        return None
    draw()
    metrics = {**_summary(run, recipe, submission, seconds), **more}
    write_json(run.metrics_file, metrics)
    forget_training(run)
    return Finished(metrics)


def finished_before(run: Run) -> Finished | None:
    """What a run shows that is finished already, or None. What its process could not remove any more is removed.

    For whoever holds the run's lock, or cannot write there.
    """
    metrics = run.read_json(run.metrics_file)
    if not metrics:
        return None
    if os.access(run.folder, os.W_OK):
        forget_training(run)
    return Finished(metrics)


def _predict_test(
    run: Run, registry: Registry, listener: Listener, workers: Workers, device: torch.device | None
) -> Submission | None:
    with workers.fail_together():
        trained = TrainedRun.load(run.folder, registry=registry, device=device, workers=workers)
        listener(Preparing("predicting the test file"))
        test = read_split(trained.recipe, registry, "test")
    if test is None:
        return None
    inferred = trained.infer(
        test.examples, cache=default_cache(), progress=lambda done, total: listener(Predicting(done, total))
    )
    if not workers.first:
        return None
    save_predictions(
        run.predictions,
        inferred.predictions,
        trained.recipe,
        run=run.name,
        inputs=Inputs.of(test),
        characters=inferred.characters,
    )
    submission = write_submission(run.predictions / "submission", inferred.predictions, trained.recipe, registry)
    for line in submission.told():
        listener(Notice(line))
    return submission


def _summary(run: Run, recipe: Recipe, submission: Submission | None, seconds: float) -> dict[str, Any]:
    """metrics.json: before, after, and every evaluation on the way."""
    decision = run.read_json(run.decision_file)
    logged = [dict(line) for line in run.metrics() if line["type"] == "evaluation"]
    for line in logged:
        line.pop("type")
    summary: dict[str, Any] = {
        "run": str(run.folder),
        "validation": decision.get("figures"),
        "best_step": decision.get("step"),
        "before": next((line for line in logged if line["step"] == 0), None),
        "evaluations": logged,
        "null_threshold": decision.get("null_threshold") if recipe.predict.no_answer else None,
        "calibration": decision.get("calibration"),
        "baselines": recipe.baselines,
        "seconds": round(seconds, 1),
        "peak_memory_mb": peak_memory_mb(),
        "submission": None if submission is None else submission.as_json(),
    }
    if recipe.pseudo is not None:
        summary["pseudo_labels"] = run.read_json(run.meta_file).get("data", {}).get("pseudo", {}).get("examples")
    if "soup" in decision:
        summary["soup"] = decision["soup"]
    return summary


def peak_memory_mb() -> float | None:
    """The peak in MiB: on CUDA what PyTorch took on the device, else what the process held; None where nobody says."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if _STATUS.is_file():  # Linux: ru_maxrss would count the parent process, too, that this one was forked from
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        if found:
            return round(int(found[1]) / 2**10, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1)
