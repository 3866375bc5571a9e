"""A folder -> what answers questions with it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import RunError
from qakit.inference.answering import Answering
from qakit.inference.trained import TrainedRun
from qakit.inference.workers import ALONE, Workers
from qakit.registry import Registry
from qakit.runs import Run, not_one_model
from qakit.stages.folder import is_pipeline_folder
from qakit.stages.trained import TrainedPipeline

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
    if why := not_one_model(Run(Path(folder))):
        raise RunError(why)
    if is_pipeline_folder(folder):
        return TrainedPipeline.load(folder, registry=registry, device=device, workers=workers)
    return TrainedRun.load(folder, registry=registry, device=device, workers=workers)
