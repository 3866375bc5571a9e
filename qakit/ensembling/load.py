"""The ensemble recipe: as frozen pydantic models, and read -> its members and a method with checked settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape, glob, has_magic
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from qakit.data.predictions_file import ANSWER_FILES
from qakit.errors import PluginError, RecipeError
from qakit.files import without_gz
from qakit.recipe.check import check_model, check_plugin
from qakit.recipe.load import failure_of, name_from
from qakit.recipe.model import AboutSection, PluginRef, Recipe, RecipePath
from qakit.recipe.nodes import At, Entry, Findings, MapNode, ScalarNode, find, replace_at
from qakit.recipe.overrides import Setting, apply_overrides, apply_settings, key_path
from qakit.recipe.paths import resolve_paths
from qakit.recipe.read import read_recipe_file
from qakit.recipe.section import FOLDER_NAME, Section, check_folder_names
from qakit.registry import Registry


def as_shares(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights as shares of 1.

    Raises:
        ValueError: one is negative or no number, or none is above 0.
    """
    total = sum(weights)
    if any(not 0 <= weight < math.inf for weight in weights) or not 0 < total < math.inf:
        raise ValueError("weights must be numbers from 0 up, at least one above 0")
    return tuple(weight / total for weight in weights)


Values = dict[str, Any]
"""Dotted recipe keys and what they become, as in a study."""


class TrainedMembers(Section):
    """Members that `qakit train` makes: one for each combination of values, as in a study. Those that differ in
    prediction only share one training."""

    recipe: RecipePath
    """The recipe that all of them start from."""
    set: Values = Field(default_factory=dict)
    """Recipe values for all of them: `{predict.character_scores: true}`."""
    variants: dict[str, Values] = Field(default_factory=dict)
    """Sets of values that go together, by name."""
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Recipe keys and their values: all combinations, for each variant."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(default_factory=list)
    """All of them with each of these seeds; by default once, with the recipe's own."""

    @field_validator("variants")
    @classmethod
    def _plain_names(cls, value: dict[str, Values]) -> dict[str, Values]:
        check_folder_names(value)
        return value


class EnsembleSection(Section):
    """The members and how they are combined."""

    members: list[RecipePath] = Field(default_factory=list)
    """Run folders, also by patterns (`../runs/seed-*`), or files of answers."""
    train: TrainedMembers | None = None
    """Members that are trained first, by `qakit train` of this recipe."""
    method: PluginRef = PluginRef(name="voting")
    """How they are combined (`qakit plugins --kind ensemblers`)."""
    weights: Literal["equal", "learn"] | list[float] = "equal"
    """One number for each member, in their order; `learn`: what suits the runs' validation predictions."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the halves that learnt weights are judged on, and of the bootstrap."""

    @model_validator(mode="after")
    def _some_members(self) -> EnsembleSection:
        if not self.members and self.train is None:
            raise ValueError("give `members`, or `train` for members that are to be trained")
        return self

    @field_validator("weights")
    @classmethod
    def _usable(cls, value: str | list[float]) -> str | list[float]:
        if isinstance(value, list):
            as_shares(value)
        return value


class EnsembleRecipe(Section):
    """Several runs as one."""

    name: str | None = Field(default=None, pattern=FOLDER_NAME)
    """Names the ensemble's folder; by default the recipe file's name."""
    description: str = ""
    """One line for lists."""
    about: AboutSection | None = None
    """What it is for: what `qakit recipes list` is filtered by."""
    ensemble: EnsembleSection


METHOD: At = ("ensemble", "method")
SIGN = "ensemble"
"""The top-level key that an ensemble recipe has and no other recipe."""

Weights = tuple[float, ...] | Literal["learn"] | None
"""One for each member; None for equal ones."""


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    name: str
    members: tuple[Path, ...]
    method: str
    settings: Mapping[str, Any]
    weights: Weights
    seed: int = 0
    description: str = ""
    train: TrainedMembers | None = None
    """Further members, which are to be trained."""
    block: MapNode | None = None
    """``ensemble`` as the file has it, with the place of every value."""


def is_own(at: At) -> bool:
    """Whether a value is one of the ensemble's block, and not of its members' recipes."""
    return at[0] == SIGN


def is_ensemble(path: Path) -> bool:
    """Whether a YAML file is an ensemble recipe.

    Raises:
        RecipeError: it cannot be read, or is not YAML.
    """
    return SIGN in read_recipe_file(path, Findings()).entries


def load_ensemble(
    path: str | PathLike[str],
    registry: Registry,
    *,
    overrides: Sequence[str] = (),
    settings: Sequence[Setting] = (),
    check_members: bool = True,
) -> EnsemblePlan:
    """Read and check an ensemble recipe; paths in it are relative to it.

    Args:
        path: the recipe.
        registry: the installed plugins.
        overrides: ``ensemble.a=value`` texts; those for the members are left aside.
        settings: values that another file puts into it, likewise, applied before the overrides.
        check_members: whether a member that is not there is a problem, too.

    Raises:
        RecipeError: with every problem that was found.
    """
    path, findings = Path(path), Findings()
    own_settings = [each for each in settings if is_own(each.at)]
    tree = apply_settings(_with_named_method(read_recipe_file(path, findings)), own_settings, findings)
    tree = apply_overrides(tree, [text for text in overrides if is_own(key_path(text))], findings)
    tree = _with_named_method(tree)
    tree = resolve_paths(tree, partial(_settings_of, registry), findings, check_files=False, model=EnsembleRecipe)
    recipe = check_model(EnsembleRecipe, tree, findings)
    name, own = "voting", None
    method = find(tree, METHOD)
    if method is None or (isinstance(method, ScalarNode) and method.value is None):  # null: that of its own
        own = registry.get("ensemblers", name).component.settings().model_dump(mode="json")
    elif isinstance(method, MapNode) and isinstance(named := find(method, ("name",)), ScalarNode):
        name, own = str(named.value), check_plugin(tree, METHOD, "ensemblers", registry, findings)
    members: tuple[Path, ...] = ()
    if isinstance(recipe, EnsembleRecipe):
        members = _members(tree, recipe, findings if check_members else Findings())
    if findings.issues or not isinstance(recipe, EnsembleRecipe) or own is None:
        raise failure_of(findings.issues)
    block = recipe.ensemble
    given = block.train is None and isinstance(block.weights, list)
    if check_members and given and isinstance(block.weights, list) and len(block.weights) != len(members):
        node = find(tree, ("ensemble", "weights"))
        assert node is not None
        message = f"ensemble.weights: {len(block.weights)} numbers for {len(members)} members"
        raise RecipeError([node.place.issue(("ensemble", "weights"), message, _listed(members))])
    weights: Weights = tuple(block.weights) if isinstance(block.weights, list) else None
    return EnsemblePlan(
        name=recipe.name or name_from(path),
        members=members,
        method=name,
        settings=own,
        weights="learn" if block.weights == "learn" else weights,
        seed=block.seed,
        description=recipe.description,
        train=block.train,
        block=own_block if isinstance(own_block := find(tree, ("ensemble",)), MapNode) else None,
    )


def _with_named_method(tree: MapNode) -> MapNode:
    """``method: voting`` as ``method: {name: voting}``."""
    node = find(tree, METHOD)
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        return tree
    changed = replace_at(tree, METHOD, MapNode({"name": Entry(node.place, node)}, node.place))
    assert isinstance(changed, MapNode)
    return changed


def _settings_of(registry: Registry, _: At, node: MapNode) -> type[BaseModel] | None:
    name = find(node, ("name",))
    try:
        component = registry.get("ensemblers", str(getattr(name, "value", ""))).component
    except PluginError:
        return None
    model: type[BaseModel] = component.settings
    return model


def _members(tree: MapNode, recipe: EnsembleRecipe, findings: Findings) -> tuple[Path, ...]:
    """The members' paths, patterns expanded in order of name; one that is not there is among the findings."""
    found: dict[Path, None] = {}
    for index, text in enumerate(recipe.ensemble.members):
        at = ("ensemble", "members", str(index))
        node = find(tree, at)
        assert node is not None
        is_pattern = has_magic(text) and not Path(text).exists()
        there = _matches(text) if is_pattern else [Path(text)]
        if not there:
            findings.add(node.place.issue(at, f"{'.'.join(at)}: nothing is called {text}"))
        for each in there:
            if not each.exists():
                findings.add(node.place.issue(at, f"{'.'.join(at)}: not found: {each}"))
            elif each in found:
                findings.add(node.place.issue(at, f"{'.'.join(at)}: {each} is among the members already"))
            found[each] = None
    return tuple(found)


def _matches(pattern: str) -> list[Path]:
    """Folders and files of answers; what else lies beside runs is not meant. A name that is there is no pattern."""
    there, *rest = Path(pattern).parts
    while rest and (Path(there) / rest[0]).exists():
        there = str(Path(there) / rest.pop(0))
    found = map(Path, sorted(glob(str(Path(escape(there), *rest)))))  # noqa: PTH207 - the pattern is absolute
    return [path for path in found if path.is_dir() or without_gz(path).suffix.lower() in ANSWER_FILES]


def _listed(members: Sequence[Path]) -> str:
    return f"the members are, in this order: {', '.join(each.name for each in members)}"


def recipe_of_whole(first: Recipe, *, name: str, description: str) -> Recipe:
    """The first member's recipe as that of the ensemble, which keeps no character scores."""
    predict = first.predict.model_copy(update={"character_scores": False})
    return first.model_copy(update={"name": name, "description": description, "predict": predict})
