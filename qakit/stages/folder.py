"""The folder of a trained pipeline: a run folder whose model is two runs; see :mod:`qakit.graph.pipeline`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from qakit.errors import RecipeError, RunError
from qakit.recipe.dump import yaml_lines
from qakit.registry import Registry
from qakit.runs import ENSEMBLE, PIPELINE, Run, member_folders, nested
from qakit.stages.load import LoadedPipeline, load_pipeline, read_resolved
from qakit.stages.model import STAGES, ExistingRun, PipelineRecipe, StageName

COMBINE = "combine.json"


def is_pipeline_folder(folder: str | PathLike[str]) -> bool:
    """Whether a folder holds a pipeline."""
    return (Path(folder) / PIPELINE).is_file()


def pipeline_text(pipeline: PipelineRecipe, stages: Mapping[StageName, Any]) -> str:
    """What pipeline.yaml holds, with these stages; the rest is in the stages' recipes and that of the whole."""
    data = {
        "name": pipeline.name,
        "description": pipeline.description,
        "stages": dict(stages),
        "combine": pipeline.combine.model_dump(mode="json"),
    }
    return "".join(line + "\n" for _, line in yaml_lines(data))


def reload_pipeline(run: Run, *, registry: Registry | None = None) -> LoadedPipeline:
    """The pipeline recipe that a folder was begun with.

    Raises:
        RecipeError: a file was changed by hand, or the installed plugins no longer fit it.
    """
    return replace(load_pipeline(run.folder / PIPELINE, registry=registry), whole=run.recipe())


def stage_folders(run: Run) -> dict[StageName, Path]:
    """Where the stages' runs are, or will be.

    Raises:
        RunError: the folder is damaged.
    """
    pipeline = read_pipeline(run)
    found: dict[StageName, Path] = {}
    for name in STAGES:
        stage = getattr(pipeline.stages, name)
        found[name] = Path(stage.from_run) if isinstance(stage, ExistingRun) else run.folder / name
    return found


def what_answers(run: Run, within: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """The files and folders that decide the answers of a run of any kind: weights, and what was tuned with them.

    Args:
        run: its folder.
        within: the ensembles of which it is a member; see :func:`~qakit.runs.nested`.

    Raises:
        RunError: the folder is damaged.
    """
    if run.has_members:
        within = nested(run.folder, within)
        own = run.folds_file if run.is_folds else run.folder / ENSEMBLE
        return (own, *(place for path in member_folders(run) for place in what_answers(Run(path), within)))
    if not is_pipeline_folder(run.folder):
        return (run.model,)
    return (*(Run(folder).model for folder in stage_folders(run).values()), run.folder / COMBINE)


def read_pipeline(run: Run) -> PipelineRecipe:
    """The pipeline's own recipe, without those of its stages.

    Raises:
        RunError: it is damaged.
    """
    try:
        return read_resolved(run.folder / PIPELINE)
    except RecipeError as error:
        raise RunError(f"{run.folder / PIPELINE} is damaged: {error}") from None
