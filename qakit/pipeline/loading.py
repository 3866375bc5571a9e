"""A folder -> what answers questions with it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import RunError
from qakit.inference.answering import Answering
from qakit.inference.trained import TrainedRun
from qakit.inference.workers import ALONE, Workers
from qakit.pipeline.folder import is_pipeline_folder
from qakit.pipeline.trained import TrainedPipeline
from qakit.registry import Registry
from qakit.runs import Run

if TYPE_CHECKING:
    import torch


def load_trained(
    folder: str | PathLike[str],
    *,
    registry: Registry | None = None,
    device: torch.device | None = None,
    workers: Workers = ALONE,
) -> Answering:
    """The best weights of a run, or of both stages of a pipeline.

    Raises:
        RunError: the folder is neither, or has no trained model.
    """
    run = Run(Path(folder))
    if run.folds_file.is_file():
        raise RunError(
            f"{folder} holds the models of several folds: name one, such as {run.fold(1).folder}; `qakit ensemble` "
            "combines the answers of several"
        )
    if is_pipeline_folder(folder):
        return TrainedPipeline.load(folder, registry=registry, device=device, workers=workers)
    return TrainedRun.load(folder, registry=registry, device=device, workers=workers)
