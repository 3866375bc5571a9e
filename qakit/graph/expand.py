"""A recipe of any kind, or a folder that was begun with one -> its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile
from pathlib import Path
from posixpath import join, normpath
from typing import Any

from pydantic import ValidationError

from qakit.ensembling.load import EnsemblePlan, is_ensemble, is_own, load_ensemble
from qakit.errors import RecipeError, RunError
from qakit.graph.ensemble import ensemble_graph, read_combine, recipe_of_ensemble
from qakit.graph.folds import fold_recipe, folds_graph
from qakit.graph.nodes import Graph, Node, Repredict, Train, check_recipe, share_weights
from qakit.graph.pipeline import pipeline_graph
from qakit.names import plain_name
from qakit.recipe.issues import Issue
from qakit.recipe.load import LoadedRecipe, load_recipe
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import At, MapNode, dotted, find, key_place
from qakit.recipe.overrides import Setting, key_path
from qakit.registry import Registry
from qakit.runs import FOLDS, MEMBERS, MEMBERS_FILE, PIPELINE, Run, runs_in
from qakit.stages.load import LoadedPipeline, is_pipeline, load_pipeline, reload_pipeline
from qakit.stages.model import STAGES
from qakit.study.load import LoadedStudy
from qakit.study.model import Study
from qakit.study.plan import plan as plan_trials

WEIGHTS_FILE = "weights.json"
"""In the folder of a run that takes another one's weights: which."""


@dataclass(frozen=True, slots=True)
class LoadedEnsemble:
    """A checked ensemble recipe, with the members that are trained for it."""

    plan: EnsemblePlan
    members: Mapping[str, Loaded]
    """By label, in the order of the grid; empty where all exist already."""

    @property
    def recipe(self) -> Recipe:
        """That of the whole: how answers are judged, cleaned up and written.

        Raises:
            UsageError: no member is a run.
        """
        first = next((each.recipe for each in self.members.values()), None)
        return recipe_of_ensemble(self.plan, first)


Loaded = LoadedRecipe | LoadedPipeline | LoadedEnsemble


def load(
    path: Path,
    registry: Registry,
    *,
    overrides: Sequence[str] = (),
    settings: Sequence[Setting] = (),
    check_files: bool = False,
    check_members: bool = True,
) -> Loaded:
    """Read and check a recipe file of any kind, with those that it names.

    Args:
        path: a recipe; with ``stages`` a pipeline, with ``ensemble`` one of several members.
        overrides: ``a.b=value`` texts.
        settings: values that a study or an ensemble puts into the recipe, applied before the overrides.
        check_files: whether a data file that is not there is a problem too.
        check_members: likewise a member that should exist.

    Raises:
        RecipeError: with every problem that was found.
    """
    if is_ensemble(path):
        plan = load_ensemble(path, registry, overrides=overrides, settings=settings, check_members=check_members)
        of_members = [text for text in overrides if not is_own(key_path(text))]
        set_for_members = [each for each in settings if not is_own(each.at)]
        members = _members(
            plan, path, registry, overrides=of_members, settings=set_for_members, check_files=check_files
        )
        return LoadedEnsemble(plan, members)
    load_one = load_pipeline if is_pipeline(path) else load_recipe
    return load_one(path, overrides, settings=settings, registry=registry, check_files=check_files)


def graph_of(loaded: Loaded) -> Graph:
    """The graph of a recipe; of a plain one it has one node. Trainings that are the same share their weights.

    Raises:
        RunError: what the recipe builds on is not there.
        UsageError: it is an ensemble none of whose members is a run.
    """
    graph = _graph(loaded)
    return replace(graph, nodes=share_weights(graph.nodes))


def _graph(loaded: Loaded) -> Graph:
    if isinstance(loaded, LoadedEnsemble):
        return ensemble_graph(loaded.plan, {label: _graph(each) for label, each in loaded.members.items()})
    if isinstance(loaded, LoadedPipeline):
        return pipeline_graph(loaded)
    return recipe_graph(loaded.recipe)


def recipe_graph(recipe: Recipe) -> Graph:
    """The graph of a plain recipe: one training, or one for each fold.

    Raises:
        RunError: what the recipe builds on is not there.
    """
    if recipe.folds is not None and recipe.folds.fold is None:
        return folds_graph(recipe)
    if recipe.folds is not None and recipe.folds.fold is not None:
        recipe = fold_recipe(recipe, recipe.folds.fold)
    return Graph(recipe.name or "run", (Node("", recipe, Train()),))


def reload_graph(folder: Path, registry: Registry) -> Graph:
    """The graph that a run folder was begun with, as its files tell.

    Raises:
        RunError: the folder is no run, or is damaged.
        RecipeError: a recipe no longer fits this version of qakit.
    """
    run = Run(folder)
    if (folder / MEMBERS_FILE).is_file():
        combine = read_combine(run)
        for link in (folder / MEMBERS / label for label in combine.labels):
            if link.is_symlink():  # a few of them, one in another, make a graph without end
                raise RunError(f"{link} is a link: put the run itself there")
        members = {label: reload_graph(folder / MEMBERS / label, registry) for label in combine.labels}
        return ensemble_graph(combine.plan, members)
    if (folder / PIPELINE).is_file():
        loaded = reload_pipeline(run, registry=registry)
        stages = [stage.run.resolve() for stage in loaded.stages.values() if stage.run is not None]
        if not run.finished and any(stage.parent == folder.resolve() for stage in stages):
            raise RunError(f"{folder} is an export, and nothing is left to be done there: export its run again")
        return _as_begun(pipeline_graph(loaded), folder)
    recipe = run.recipe()
    _check_whole(run, recipe)
    if run.is_folds:
        graph = folds_graph(recipe)
        _check_folds(graph, folder)
        return _as_begun(graph, folder)
    return _as_begun(Graph(recipe.name or run.name, (Node("", recipe, Train()),)), folder)


def _check_whole(run: Run, recipe: Recipe) -> None:
    """What is made of several runs must not be resumed as if it were one, where the file is gone that says so.

    Raises:
        RunError: it is.
    """
    gone = ""
    if recipe.folds is not None and recipe.folds.fold is None and not run.is_folds:
        gone = FOLDS
    elif run.is_ensemble or _has_begun(run.folder / MEMBERS):
        gone = MEMBERS_FILE
    elif any(_has_begun(run.folder / name) for name in STAGES):
        gone = PIPELINE
    if gone and not run.finished:
        what = f"{gone}, which says how it is made of the runs in it"
        raise RunError(f"{run.folder} lacks {what}: it is an export, or damaged")


def _has_begun(folder: Path) -> bool:
    """Whether something is trained in it; what has only been laid out is of no weight."""
    return any(each.meta_file.is_file() for each in runs_in(folder))


def _check_folds(graph: Graph, folder: Path) -> None:
    """Folds may come from other machines, where data and backbones lie elsewhere; all else is the same in all of them.

    Raises:
        RunError: it is not.
    """
    for node in graph.nodes:
        run = Run(folder / node.label)
        if isinstance(node.work, Train) and run.recipe_file.is_file():
            own = run.recipe()
            check_recipe(run, node.recipe.model_copy(update={"data": own.data, "backbone": own.backbone}))


def _as_begun(graph: Graph, folder: Path) -> Graph:
    """The trainings with the recipes in their folders, and without those that take other weights."""
    nodes = []
    for node in graph.nodes:
        run = Run(folder / node.label)
        if isinstance(node.work, Train) and run.recipe_file.is_file():
            source = weights_label(run)
            work = node.work if source is None else Repredict(normpath(join(node.label, source)))
            node = replace(node, recipe=run.recipe(), work=work)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _members(
    plan: EnsemblePlan,
    path: Path,
    registry: Registry,
    *,
    overrides: Sequence[str],
    settings: Sequence[Setting],
    check_files: bool,
) -> Mapping[str, Loaded]:
    """The members that an ensemble recipe wants trained: its block ``train`` read as a study.

    Raises:
        RecipeError: with every problem of every member's recipe.
    """
    from types import MappingProxyType

    if plan.train is None or plan.block is None:
        return {}
    at, tree, file = ("ensemble", "train"), find(plan.block, ("train",)), Path(plan.train.recipe)
    assert isinstance(tree, MapNode)
    if not file.is_file():
        node = tree.entries["recipe"].value
        raise RecipeError([node.place.issue((*at, "recipe"), f"ensemble.train.recipe: file not found: {file}")])
    try:
        study = Study(name=plan.name, **plan.train.model_dump())
    except ValidationError as error:
        raise RecipeError([_issue_of(problem, tree, at) for problem in error.errors()]) from None
    loaded = LoadedStudy(study, path, tree, MappingProxyType({"": file}))
    read = partial(load, registry=registry, check_files=check_files)
    trials = plan_trials(loaded, read, overrides=overrides, settings=settings)
    if isinstance(plan.weights, tuple) and len(plan.weights) != len(plan.members) + len(trials):
        labels = ", ".join([*(each.name for each in plan.members), *(each.label for each in trials)])
        message = f"ensemble.weights: {len(plan.weights)} numbers for the members {labels}"
        raise RecipeError([key_place(plan.block, ("weights",)).issue(("ensemble", "weights"), message)])
    return {trial.label: trial.loaded for trial in trials}


def _issue_of(problem: Mapping[str, Any], block: MapNode, at: At) -> Issue:
    """What pydantic finds wrong with a block that was read from a recipe's place ``at``."""
    own = tuple(map(str, problem["loc"]))
    place, message = (*at, *own), problem["msg"].removeprefix("Value error, ")
    return key_place(block, own).issue(place, f"{dotted(place)}: {message}")


def source_of(run: Run) -> Run | None:
    """The run whose weights another one takes; None for one that trains.

    Raises:
        RunError: the file that says so is damaged.
    """
    label = weights_label(run)
    return None if label is None else Run(Path(normpath(run.folder / label)))


def weights_label(run: Run) -> str | None:
    """The label, seen from the run's own folder, of the run whose weights it takes; None for one that trains.

    Raises:
        RunError: the file that says so is damaged.
    """
    found = run.read_json(run.folder / WEIGHTS_FILE)
    if not found:
        return None
    source = str(found.get("weights_of"))
    try:
        names = [plain_name(part) for part in dropwhile(lambda part: part == "..", source.split("/"))]
    except ValueError:
        names = []
    if not names or not source.startswith("../"):
        raise RunError(f"{run.folder / WEIGHTS_FILE} is damaged: it does not say whose weights these are")
    return source
