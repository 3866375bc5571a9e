"""One of several trainings in a process: a stage of a pipeline, a fold, a step of a ladder."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry


def train_into(recipe: Recipe, folder: Path, registry: Registry, *, quiet: bool) -> None:
    """Train a recipe into a run folder; an interrupted run is gone on with."""
    from accelerate.state import AcceleratorState

    from qakit.cli.one_training import Training
    from qakit.cli.progress import TrainingDisplay
    from qakit.runs import Run
    from qakit.training.launch import accelerator_for

    run = Run(folder) if Run(folder).recipe_file.is_file() else None
    AcceleratorState._reset_state(reset_partial_state=True)  # the parts may differ in precision
    training = Training(recipe, registry, accelerator_for(recipe), folder, run)
    with TrainingDisplay(quiet=quiet) as display:
        training.go(display, resume=run is not None)
    del training
    free_memory()


def free_memory() -> None:
    """Give back what a training held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
