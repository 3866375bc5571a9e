"""A study file -> a checked study, with the place of every value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType

from qakit.errors import RecipeError, UsageError
from qakit.names import quoted
from qakit.recipe.check import check_model
from qakit.recipe.load import name_from
from qakit.recipe.nodes import Findings, MapNode, find
from qakit.recipe.overrides import Setting
from qakit.recipe.paths import resolve_paths
from qakit.recipe.read import missing_file_hint, read_recipe_file
from qakit.study.model import Study

SIGNS = frozenset({"recipe", "recipes", "grid", "variants", "search", "seeds"})
"""Top-level keys that a study has and a recipe has not."""
_RECIPE_SIGNS = frozenset({"extends", "data", "backbone", "stages", "ensemble"})
"""Those that a recipe has, or a pipeline or an ensemble, and a study has not."""


@dataclass(frozen=True, slots=True)
class LoadedStudy:
    """A checked study file."""

    study: Study
    """With its name, and with absolute paths."""
    path: Path
    tree: MapNode
    """Its values with their places."""
    recipes: Mapping[str, Path]
    """The recipe files by name; the name is empty where there is just one."""

    @property
    def name(self) -> str:
        assert self.study.name is not None
        return self.study.name

    def settings(self, *at: str) -> list[Setting]:
        """The recipe values below a place of the file: ``("variants", "lora")``."""
        node = find(self.tree, at)
        entries = node.entries.items() if isinstance(node, MapNode) else ()
        return [Setting(tuple(key.split(".")), entry.key, entry.value) for key, entry in entries]


def is_study(path: Path) -> bool:
    """Whether a YAML file is a study rather than a recipe.

    Raises:
        RecipeError: it cannot be read, or is not YAML.
    """
    return _has_signs(read_recipe_file(path, Findings()))


def _has_signs(tree: MapNode) -> bool:
    """One key of the other kind may be a mistake: `seeds` in a recipe, `data` in a study."""
    signs = SIGNS.intersection(tree.entries)
    return not signs.isdisjoint({"recipe", "recipes"}) or (bool(signs) and _RECIPE_SIGNS.isdisjoint(tree.entries))


def load_study(path: str | PathLike[str]) -> LoadedStudy:
    """Read and check a study file; the recipes it names are read when its trials are planned.

    Raises:
        RecipeError: with every problem that was found.
        UsageError: it is a recipe.
    """
    path, findings = Path(path), Findings()
    tree = read_recipe_file(path, findings, kind="study")
    if not (_RECIPE_SIGNS.isdisjoint(tree.entries) or _has_signs(tree)):
        raise UsageError(f"{path} is a recipe, no study: qakit train {quoted(path)}")
    tree = resolve_paths(tree, lambda _at, _node: None, findings, check_files=False, model=Study)
    study = check_model(Study, tree, findings)
    if isinstance(study, Study):
        recipes = {name: Path(file) for name, file in (study.recipes or {"": study.recipe or ""}).items()}
        _check_recipe_files(tree, recipes, findings)
        if not findings.issues:
            storage = study.storage
            if storage is not None and "://" not in storage:
                storage = os.path.abspath(path.parent / storage)  # noqa: PTH100 - keeps symbolic links
            study = study.model_copy(update={"name": study.name or name_from(path), "storage": storage})
            return LoadedStudy(study, path, tree, MappingProxyType(recipes))
    raise RecipeError(sorted(findings.issues, key=lambda issue: (issue.line or 0, issue.column or 0)))


def _check_recipe_files(tree: MapNode, recipes: Mapping[str, Path], findings: Findings) -> None:
    for name, file in recipes.items():
        at = ("recipes", name) if name else ("recipe",)
        node = find(tree, at)
        if node is not None and not file.is_file():
            findings.add(node.place.issue(at, f"{'.'.join(at)}: file not found: {file}", missing_file_hint(file)))
