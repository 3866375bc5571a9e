"""The folder of a trained pipeline: a run folder whose model is two runs.

::

    runs/NAME-TIME/
      pipeline.yaml      stages and combination, absolute paths
      recipes/           selection.yaml, span.yaml: the resolved recipes of the stages that are trained here
      selection/, span/  the stages' own run folders; a stage that existed before stays where it is
      combine.json       what was tuned on validation: weight, no-answer threshold, temperature
      recipe.yaml        the whole: the span stage's recipe with the pipeline's data, metric, clean-up, writer
      meta.json, metrics.json, predictions/, predictions/validation/    as in every run, of the whole
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from qakit.errors import RecipeError, RunError
from qakit.recipe.dump import dump_recipe, yaml_lines
from qakit.registry import Registry
from qakit.runs import ENSEMBLE, PIPELINE, Run, create_run, member_folders, nested
from qakit.stages.load import LoadedPipeline, load_pipeline, read_resolved
from qakit.stages.model import STAGES, ExistingRun, PipelineRecipe, StageName

COMBINE = "combine.json"
RECIPES = "recipes"


def is_pipeline_folder(folder: str | PathLike[str]) -> bool:
    """Whether a folder holds a pipeline."""
    return (Path(folder) / PIPELINE).is_file()


def create_pipeline(loaded: LoadedPipeline, folder: Path | None) -> Run:
    """A new pipeline folder with all its recipes; by default ``runs/NAME-TIME``.

    Raises:
        RunError: the folder exists and is not empty.
        OutputError: it cannot be made.
    """
    trained_here = {name: stage for name, stage in loaded.stages.items() if stage.run is None}
    files = {f"{RECIPES}/{name}.yaml": dump_recipe(stage.recipe) for name, stage in trained_here.items()}
    stages = {
        name: f"{RECIPES}/{name}.yaml" if stage.run is None else {"from_run": str(stage.run)}
        for name, stage in loaded.stages.items()
    }
    return create_run(loaded.whole, folder, others={**files, PIPELINE: pipeline_text(loaded.pipeline, stages)})


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
    """What :func:`create_pipeline` wrote, as it was given.

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
