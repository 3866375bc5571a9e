"""A pipeline recipe -> its stages' recipes and that of the whole, all of them checked; and the folder of a pipeline.

That is a run folder whose model is two runs; see :mod:`qakit.graph.pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qakit.errors import RecipeError, RunError
from qakit.recipe.check import check_model
from qakit.recipe.dump import yaml_lines
from qakit.recipe.issues import Issue
from qakit.recipe.layers import read_layers
from qakit.recipe.load import LoadedRecipe, failure_of, load_recipe, name_from
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import At, Findings, MapNode, Node, Origin, Place, ScalarNode, find, origin_of
from qakit.recipe.overrides import Setting, apply_overrides, apply_settings
from qakit.recipe.paths import resolve_paths
from qakit.recipe.read import missing_file_hint, read_recipe_file
from qakit.registry import Registry, load_registry
from qakit.runs import ENSEMBLE, PIPELINE, Run, member_folders, nested
from qakit.stages.model import COMMON, OF_THE_WHOLE, STAGES, ExistingRun, PipelineRecipe, StageName

RUN_RECIPE = "recipe.yaml"
"""The file that makes a folder a run."""
OF_A_STAGE = frozenset(Recipe.model_fields) - frozenset(PipelineRecipe.model_fields)
"""The blocks that only a stage's recipe has."""
NO_FOLDS = "a pipeline's stages are trained once each: cross-validate their recipes by themselves"


@dataclass(frozen=True, slots=True)
class Stage:
    name: StageName
    loaded: LoadedRecipe
    """Its recipe, without what belongs to the whole."""
    run: Path | None
    """The existing run; None for a stage that is to be trained."""

    @property
    def recipe(self) -> Recipe:
        return self.loaded.recipe


@dataclass(frozen=True, slots=True)
class LoadedPipeline:
    """A checked pipeline recipe."""

    pipeline: PipelineRecipe
    """With its name, and with absolute paths."""
    path: Path
    extends: tuple[Path, ...]
    stages: Mapping[StageName, Stage]
    whole: Recipe
    """The span stage's recipe with what the pipeline says of data, metric, clean-up, writer and competition."""
    provenance: Mapping[str, Origin]
    """Of the pipeline recipe's own values, by dotted path."""

    @property
    def recipe(self) -> Recipe:
        """That of the whole."""
        return self.whole


def is_pipeline(path: Path) -> bool:
    """Whether a recipe file, or one that it extends, has ``stages``.

    A file that cannot be read is none: the loader of recipes says what is wrong with it.
    """
    try:
        return "stages" in read_layers(path, Findings()).tree.entries
    except RecipeError:
        return False


def load_pipeline(
    path: str | PathLike[str],
    overrides: Sequence[str] = (),
    *,
    settings: Sequence[Setting] = (),
    registry: Registry | None = None,
    check_files: bool = False,
) -> LoadedPipeline:
    """Read, merge, resolve and check a pipeline recipe and those of its stages.

    Args:
        path: the pipeline recipe; paths in it are relative to it.
        overrides: ``a.b=value`` texts, applied in order; ``selection.train.epochs=1`` and ``span.train.epochs=1`` are
            for a stage's recipe.
        settings: values that another file puts into the recipe, applied before the overrides, likewise.
        registry: the installed plugins; by default those of this process.
        check_files: whether a data file that is not there is a problem too.

    Raises:
        RecipeError: with every problem that was found.
    """
    path, findings = Path(path), Findings()
    registry = registry if registry is not None else load_registry()
    own, of_stages = dealt(overrides)
    layers = read_layers(path, findings)
    own_settings, stage_settings = _dealt_settings(settings)
    tree = apply_overrides(apply_settings(layers.tree, own_settings, findings), own, findings)
    tree = resolve_paths(tree, lambda _at, _node: None, findings, check_files=False, model=PipelineRecipe)
    pipeline = check_model(PipelineRecipe, tree, findings)
    common, whole_settings = _settings(tree, COMMON), _settings(tree, OF_THE_WHOLE)

    def load(file: Path, name: StageName, settings: Sequence[Setting], *, check: bool) -> LoadedRecipe | None:
        try:
            values = [*settings, *stage_settings[name]]
            return load_recipe(file, of_stages[name], settings=values, registry=registry, check_files=check)
        except RecipeError as error:
            for issue in error.issues:
                findings.add(_of_stage(issue, name))
            return None

    stages: dict[StageName, Stage] = {}
    whole: LoadedRecipe | None = None
    for name in STAGES:
        place = _place(tree, name, findings, changed=bool(of_stages[name] or stage_settings[name]))
        if place is None:
            continue
        file, run = place
        loaded = load(file, name, common if run is None else (), check=check_files and run is None)
        if loaded is not None and loaded.recipe.folds is not None and run is None:
            findings.add(_issue(tree, ("stages", name), f"stages.{name}: {file} has folds, and {NO_FOLDS}"))
        if loaded is not None:
            stages[name] = Stage(name, loaded, run)
        if name == "span":
            whole = load(file, name, [*common, *whole_settings], check=check_files)
    if findings.issues or not isinstance(pipeline, PipelineRecipe) or whole is None:
        raise failure_of([_of_no_stage(issue) for issue in findings.issues])
    pipeline = pipeline.model_copy(update={"name": pipeline.name or name_from(path)})
    return LoadedPipeline(
        pipeline=pipeline,
        path=path,
        extends=layers.extends,
        stages=MappingProxyType({name: _as_stage(stage, pipeline) for name, stage in stages.items()}),
        whole=_as_whole(whole.recipe, pipeline),
        provenance=MappingProxyType(_origins(tree)),
    )


def read_resolved(path: Path, overrides: Sequence[str] = ()) -> PipelineRecipe:
    """A pipeline recipe alone, without a look at its stages.

    Args:
        path: the recipe.
        overrides: ``a.b=value`` texts for the pipeline's own blocks.

    Raises:
        RecipeError: with every problem that was found.
    """
    findings = Findings()
    tree = apply_overrides(read_recipe_file(path, findings), overrides, findings)
    tree = resolve_paths(tree, lambda _at, _node: None, findings, check_files=False, model=PipelineRecipe)
    pipeline = check_model(PipelineRecipe, tree, findings)
    if findings.issues or not isinstance(pipeline, PipelineRecipe):
        raise failure_of(findings.issues)
    return pipeline


def dealt(overrides: Sequence[str]) -> tuple[list[str], dict[StageName, list[str]]]:
    """The overrides of the pipeline itself and, without the stage's name, those of each stage."""
    own: list[str] = []
    of_stages: dict[StageName, list[str]] = {name: [] for name in STAGES}
    for text in overrides:
        head, dot, rest = text.strip().partition(".")
        name = next((name for name in STAGES if dot and head == name), None)
        if name is None:
            own.append(text)
        else:
            of_stages[name].append(rest)
    return own, of_stages


def _dealt_settings(settings: Sequence[Setting]) -> tuple[list[Setting], dict[StageName, list[Setting]]]:
    """Likewise the settings."""
    own = [each for each in settings if each.at[0] not in STAGES or len(each.at) == 1]
    of_stages = {
        name: [replace(each, at=each.at[1:]) for each in settings if each.at[0] == name and len(each.at) > 1]
        for name in STAGES
    }
    return own, of_stages


def _of_stage(issue: Issue, name: StageName) -> Issue:
    """An issue of a stage's recipe; an override gets back the stage's name that the user wrote before it."""
    before = "--set "
    if not issue.file.startswith(before):
        return issue
    return replace(issue, file=f"{before}{name}.{issue.file.removeprefix(before)}")


def _of_no_stage(issue: Issue) -> Issue:
    """An issue about a block that stages have and a pipeline has not says where it belongs."""
    if issue.path == "folds" and issue.message.startswith("unknown key"):
        return replace(issue, hint=NO_FOLDS)
    if issue.path not in OF_A_STAGE or not issue.message.startswith("unknown key"):
        return issue
    ways = " or ".join(f"`--set {name}.{issue.path}...`" for name in STAGES)
    return replace(issue, hint=f"it belongs to a stage: into the stage's recipe, or {ways}")


def _settings(tree: MapNode, keys: Sequence[str]) -> list[Setting]:
    return [Setting((key,), tree.entries[key].key, tree.entries[key].value) for key in keys if key in tree.entries]


def _place(tree: MapNode, name: StageName, findings: Findings, *, changed: bool) -> tuple[Path, Path | None] | None:
    """A stage's recipe file, and the run that it belongs to; None where there is none, which is among the findings."""
    at = ("stages", name)
    recipe, run = find(tree, at), find(tree, (*at, "from_run"))
    if isinstance(run, ScalarNode) and isinstance(run.value, str):
        folder = Path(run.value)
        if changed:
            message = f"the {name} stage is an existing run: --set cannot change its recipe"
            findings.add(_issue(run, (*at, "from_run"), message))
        elif not (folder / RUN_RECIPE).is_file():
            findings.add(_issue(run, (*at, "from_run"), f"stages.{name}.from_run: there is no run {folder}"))
        else:
            return folder / RUN_RECIPE, folder
    elif isinstance(recipe, ScalarNode) and isinstance(recipe.value, str):
        file = Path(recipe.value)
        if not file.is_file():
            message = f"stages.{name}: file not found: {file}"
            findings.add(_issue(recipe, at, message, missing_file_hint(file)))
        elif is_pipeline(file):
            findings.add(_issue(recipe, at, f"stages.{name}: {file} is a pipeline; a stage is one model's recipe"))
        else:
            return file, None
    return None


def _issue(node: Node, at: At, message: str, hint: str = "") -> Issue:
    place: Place = node.place
    return place.issue(at, message, hint)


def _as_stage(stage: Stage, pipeline: PipelineRecipe) -> Stage:
    """A stage's recipe without test file and competition: those are the whole's."""
    if stage.run is not None:
        return stage
    recipe = stage.recipe
    own = recipe.model_copy(
        update={
            "name": f"{pipeline.name}-{stage.name}",
            "data": recipe.data.model_copy(update={"test": None, "sample_submission": None}),
            "competition": None,
        }
    )
    return replace(stage, loaded=replace(stage.loaded, recipe=own))


def _as_whole(recipe: Recipe, pipeline: PipelineRecipe) -> Recipe:
    predict = recipe.predict.model_copy(update={"character_scores": False})
    return recipe.model_copy(update={"name": pipeline.name, "description": pipeline.description, "predict": predict})


def _origins(tree: MapNode) -> dict[str, Origin]:
    found: dict[str, Origin] = {}

    def walk(node: Node, at: At) -> None:
        found[".".join(at)] = origin_of(node.place)
        if isinstance(node, MapNode):
            for key, entry in node.entries.items():
                walk(entry.value, (*at, key))

    for key, entry in tree.entries.items():
        walk(entry.value, (key,))
    return found


COMBINE = "combine.json"


def is_pipeline_folder(folder: str | PathLike[str]) -> bool:
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


def changed_stages(run: Run) -> list[Path]:
    """The stages of a pipeline that have other weights now than when weight and threshold were tuned with them.

    Raises:
        RunError: the folder is damaged.
    """
    then = run.read_json(run.meta_file).get("decisions", {})
    now = [(folder, then.get(name), Run(folder).decision_sha256()) for name, folder in stage_folders(run).items()]
    return [folder for folder, before, after in now if before not in (None, after)]


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


def unfinished(run: Run, within: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """The trainings behind the answers of a run of any kind that have not come to their end: the best weights that they
    had so far answer.

    Args:
        run: its folder.
        within: the ensembles of which it is a member; see :func:`~qakit.runs.nested`.

    Raises:
        RunError: the folder is damaged.
    """
    if run.has_members:
        within = nested(run.folder, within)
        return tuple(place for path in member_folders(run) for place in unfinished(Run(path), within))
    parts = stage_folders(run).values() if is_pipeline_folder(run.folder) else (run.folder,)
    return tuple(path for path in parts if Run(path).meta_file.is_file() and not Run(path).finished)


def read_pipeline(run: Run) -> PipelineRecipe:
    """The pipeline's own recipe, without those of its stages.

    Raises:
        RunError: it is damaged.
    """
    try:
        return read_resolved(run.folder / PIPELINE)
    except RecipeError as error:
        raise RunError(f"{run.folder / PIPELINE} is damaged: {error}") from None
