"""The folder of an ensemble whose members are trained in it: what is to be trained there, kept for going on.

::

    runs/NAME-TIME/
      members.json       the members in their order, method, weights
      recipes/           the resolved recipe of each member that is trained here
      members/           their run folders
      ...                and all that an ensemble's folder has
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.ensembling.load import EnsemblePlan
from qakit.errors import RunError
from qakit.files import json_text
from qakit.names import plain_name
from qakit.recipe.differences import same_run
from qakit.recipe.dump import dump_recipe, yaml_flow
from qakit.recipe.load import load_resolved
from qakit.recipe.model import Recipe
from qakit.runs import MEMBERS, Run, create_run

MEMBERS_FILE = "members.json"
RECIPES = "recipes"


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """A member that is trained here."""

    label: str
    """Names its folder."""
    recipe: Recipe
    like: str | None = None
    """An earlier member with the same training, of which this one differs in prediction only."""


@dataclass(frozen=True, slots=True)
class TrainedEnsemble:
    """An ensemble with the members that are trained for it."""

    plan: EnsemblePlan
    """``members``: those that exist already."""
    members: tuple[MemberPlan, ...]
    """They come after those."""

    def whole(self, run: Run) -> EnsemblePlan:
        """With all members, where the trained ones lie in ``run``."""
        plan = self.plan
        trained = tuple(member_folder(run, each.label) for each in self.members)
        return EnsemblePlan(
            plan.name, (*plan.members, *trained), plan.method, plan.settings, plan.weights, plan.seed, plan.description
        )


def is_trained_folder(folder: Path) -> bool:
    """Whether a folder holds an ensemble whose members are trained in it."""
    return (folder / MEMBERS_FILE).is_file()


def member_folder(run: Run, label: str) -> Path:
    """Where a member's run is, or will be."""
    return run.folder / MEMBERS / label


def create_trained(ensemble: TrainedEnsemble, folder: Path | None) -> Run:
    """A new folder with all recipes; by default ``runs/NAME-TIME``.

    Raises:
        RunError: the folder exists and is not empty.
        OutputError: it cannot be made.
    """
    plan = ensemble.plan
    described = {
        "name": plan.name,
        "description": plan.description,
        "members": [str(path.absolute()) for path in plan.members],
        "train": [{"label": each.label, "like": each.like} for each in ensemble.members],
        "method": {"name": plan.method, **plan.settings},
        "weights": list(plan.weights) if isinstance(plan.weights, tuple) else plan.weights,
        "seed": plan.seed,
    }
    recipes = {f"{RECIPES}/{each.label}.yaml": dump_recipe(each.recipe) for each in ensemble.members}
    whole = recipe_of_whole(ensemble.members[0].recipe, name=plan.name, description=plan.description)
    return create_run(whole, folder, others={**recipes, MEMBERS_FILE: json_text(described)})


def recipe_of_whole(first: Recipe, *, name: str, description: str) -> Recipe:
    """The first member's recipe as that of the ensemble, which keeps no character scores."""
    predict = first.predict.model_copy(update={"character_scores": False})
    return first.model_copy(update={"name": name, "description": description, "predict": predict})


def reload_trained(run: Run) -> TrainedEnsemble:
    """What :func:`create_trained` wrote.

    Raises:
        RunError: it is damaged.
        RecipeError: a member's recipe no longer fits this version of qakit.
    """
    file = run.folder / MEMBERS_FILE
    found = run.read_json(file)
    try:
        method = dict(found["method"])
        weights = found["weights"]
        plan = EnsemblePlan(
            name=found["name"],
            members=tuple(map(Path, found["members"])),
            method=method.pop("name"),
            settings=method,
            weights=tuple(map(float, weights)) if isinstance(weights, list) else weights,
            seed=found["seed"],
            description=found["description"],
        )
        members = tuple(_member(run, each) for each in found["train"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{file} is damaged: {error}") from None
    return TrainedEnsemble(plan, members)


def check_same_ensemble(before: TrainedEnsemble, now: TrainedEnsemble, *, folder: Path) -> None:
    """A folder goes on only with the ensemble that it began with; names, description and baselines may differ.

    Raises:
        RunError: the recipe, or that of a member, has changed since.
    """
    kept, given = _compared(before.plan), _compared(now.plan)
    for key, value in kept.items():
        if value != given[key]:
            raise RunError(
                f"{folder} was begun with {key}: {yaml_flow(value)}, but the recipe now says {key}: "
                f"{yaml_flow(given[key])}; choose another --output, or remove it"
            )
    labels = [[(each.label, each.like) for each in ensemble.members] for ensemble in (before, now)]
    pairs = zip(before.members, now.members, strict=False)
    if labels[0] != labels[1] or not all(same_run(one.recipe, other.recipe) for one, other in pairs):
        raise RunError(f"{folder} was trained from other recipes: choose another --output, or remove it")


def _compared(plan: EnsemblePlan) -> dict[str, Any]:
    return {
        "members": [str(path.absolute()) for path in plan.members],
        "method": {"name": plan.method, **plan.settings},
        "weights": list(plan.weights) if isinstance(plan.weights, tuple) else plan.weights or "equal",
        "seed": plan.seed,
    }


def _member(run: Run, described: Mapping[str, Any]) -> MemberPlan:
    label = plain_name(described["label"])
    return MemberPlan(label, load_resolved(run.folder / RECIPES / f"{label}.yaml"), described["like"])
