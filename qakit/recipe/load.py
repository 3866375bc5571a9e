"""Recipe file -> checked, resolved recipe."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qakit.attribution import calling
from qakit.errors import PluginError, PluginFaultError, RecipeError
from qakit.recipe.check import check, plugin_blocks, settings_model
from qakit.recipe.dump import dump_recipe, recipe_data, recipe_hash
from qakit.recipe.hub_data import model_commit
from qakit.recipe.issues import Issue
from qakit.recipe.layers import normalise, read_layers
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import (
    DEFAULT,
    At,
    Findings,
    ListNode,
    MapNode,
    Node,
    Origin,
    ScalarNode,
    Source,
    child,
    dotted,
    origin_of,
    plain,
    replace_at,
)
from qakit.recipe.overrides import Setting, apply_overrides, apply_settings
from qakit.recipe.own_plugins import with_own_plugins
from qakit.recipe.paths import resolve_paths
from qakit.recipe.read import recipe_text
from qakit.recipe.syntax import parse
from qakit.registry import Entry, Registry, load_registry
from qakit.returned import settings as settings_fault

__all__ = [
    "LoadedRecipe",
    "Origin",
    "dump_recipe",
    "failure_of",
    "load_recipe",
    "load_resolved",
    "recipe_hash",
    "recipe_of",
]


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A checked recipe and where its values came from."""

    recipe: Recipe
    """Complete: parents merged, overrides applied, paths absolute, settings of plugins with their defaults."""
    path: Path
    extends: tuple[Path, ...]
    """The recipes that the file itself extends."""
    provenance: Mapping[str, Origin]
    """Of every value, sections and lists included, by dotted path: ``train.epochs``, ``postprocess.0.name``."""


def load_recipe(
    path: str | PathLike[str],
    overrides: Sequence[str] = (),
    *,
    settings: Sequence[Setting] = (),
    registry: Registry | None = None,
    check_files: bool = False,
) -> LoadedRecipe:
    """Read, merge, resolve and check a recipe.

    Args:
        path: the recipe file; the paths in it are relative to it.
        overrides: ``a.b=value`` texts, applied in order.
        settings: values that another file puts into the recipe, applied in order before the overrides.
        registry: the installed plugins; by default those of this process.
        check_files: whether a data file that is not there is a problem too; then names on the hub get their commits.

    Raises:
        RecipeError: with every problem that was found.
    """
    path, findings = Path(path), Findings()
    registry = registry if registry is not None else load_registry()
    try:
        layers = read_layers(path, findings)
    except RecipeError as error:
        raise failure_of([*findings.issues, *error.issues]) from None
    tree = apply_settings(layers.tree, settings, findings)
    tree = apply_overrides(tree, overrides, findings)
    recipe, tree = _resolved(tree, registry, findings, holder=path, check_files=check_files)
    if recipe.name is None:
        recipe = recipe.model_copy(update={"name": name_from(path)})
    if check_files:
        recipe = _at_commits(recipe)
    provenance = {dotted(at): origin for at, origin in _origins(recipe_data(recipe), tree, ())}
    return LoadedRecipe(recipe, path, layers.extends, MappingProxyType(provenance))


def _at_commits(recipe: Recipe) -> Recipe:
    """With the commits that its backbone and tokenizer have on the hub now: a run continues with those."""
    backbone = recipe.backbone
    if backbone.is_sourceless:
        return recipe
    found = {"revision": model_commit(backbone.source, backbone.revision)}
    if backbone.tokenizer is not None or backbone.tokenizer_revision is not None:
        name = backbone.tokenizer or backbone.source
        found["tokenizer_revision"] = model_commit(name, backbone.tokenizer_revision)
    commits = {key: commit for key, commit in found.items() if commit is not None}
    return recipe.model_copy(update={"backbone": backbone.model_copy(update=commits)}) if commits else recipe


def recipe_of(values: Mapping[str, Any], overrides: Sequence[str] = (), *, registry: Registry | None = None) -> Recipe:
    """A recipe that no file holds: plain values, then ``a.b=value`` texts, checked as those of a file.

    Raises:
        RecipeError: with every problem that was found.
    """
    findings = Findings()
    source = Source("the recipe", Path.cwd(), override=True)  # without lines to point at
    tree = parse(json.dumps(values), source, findings)
    tree = apply_overrides(_as_map(tree), overrides, findings)
    registry = registry if registry is not None else load_registry()
    return _resolved(tree, registry, findings, holder=Path(source.name))[0]


def load_resolved(
    path: str | PathLike[str],
    *,
    registry: Registry | None = None,
    versions: Mapping[str, int] | None = None,
    unneeded: Collection[str] = (),
) -> Recipe:
    """Read back what :func:`dump_recipe` wrote: paths are taken as they are, nothing is inherited or expanded.

    Args:
        versions: of its plugins' settings, by place; see :func:`qakit.recipe.load.upgraded`. None for the present
            ones.
        unneeded: as in :func:`qakit.recipe.check.check`.

    Raises:
        RecipeError: the file was changed by hand, or the installed plugins no longer fit it.
        PluginError: settings cannot be upgraded.
    """
    registry = registry if registry is not None else load_registry()
    known = None if versions is None else tuple(sorted(versions.items()))
    return _read_back(Path(path), recipe_text(Path(path)), registry, known, frozenset(unneeded))


@lru_cache(maxsize=64)  # a training asks for its recipe at every step of its way
def _read_back(
    path: Path,
    text: str,  # noqa: ARG001 - a part of the key
    registry: Registry,
    versions: tuple[tuple[str, int], ...] | None,
    unneeded: frozenset[str],
) -> Recipe:
    findings = Findings()
    tree = _as_map(normalise(read_layers(path, findings).tree))
    tree, registry = with_own_plugins(tree, registry, findings, holder=path, resolved=True)
    if versions is not None:
        tree = upgraded(tree, dict(versions), registry)
    recipe = check(tree, registry, findings, unneeded=unneeded)
    if recipe is None:
        raise failure_of(findings.issues)
    return recipe


def _resolved(
    tree: MapNode, registry: Registry, findings: Findings, *, holder: Path, check_files: bool = False
) -> tuple[Recipe, MapNode]:
    """A whole tree, its paths absolute, and the recipe that it is.

    Raises:
        RecipeError: with every problem that was found.
    """
    tree = _as_map(normalise(tree))
    tree, registry = with_own_plugins(tree, registry, findings, holder=holder)
    tree = resolve_paths(tree, partial(settings_model, registry), findings, check_files=check_files)
    recipe = check(tree, registry, findings)
    if recipe is None:
        raise failure_of(findings.issues)
    return recipe, tree


def name_from(path: Path) -> str:
    """A run's name from the recipe's file name: letters, digits, ``.``, ``_`` and ``-``."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in path.stem)
    return kept.lstrip("._-") or "recipe"


def failure_of(issues: Sequence[Issue]) -> RecipeError:
    """The issues in reading order: file by file, then by line; overrides last."""
    files = list(dict.fromkeys(issue.file for issue in issues))
    ordered = sorted(
        issues,
        key=lambda issue: (
            issue.file.startswith("--set "),
            files.index(issue.file),
            issue.line or 0,
            issue.column or 0,
        ),
    )
    return RecipeError(ordered)


def _as_map(node: Node | None) -> MapNode:
    assert isinstance(node, MapNode)
    return node


def _origins(value: Any, node: Node | None, at: At) -> Iterator[tuple[At, Origin]]:
    """The origin of each value below ``value``, with the node that gave it, if any."""
    if isinstance(value, dict):
        parts = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        parts = [(str(index), item) for index, item in enumerate(value)]
    else:
        return
    for part, item in parts:
        found = child(node, part) if isinstance(node, MapNode | ListNode) else None
        yield (*at, part), DEFAULT if found is None else origin_of(found.place)
        yield from _origins(item, None if isinstance(found, ScalarNode) else found, (*at, part))


def upgraded(tree: MapNode, versions: Mapping[str, int], registry: Registry) -> MapNode:
    """The tree of a run's recipe, whose plugins' settings are of the installed versions.

    Args:
        versions: those that the settings are of, by place (``head``, ``postprocess.0``); 1 where nothing is said.

    Raises:
        PluginError: settings are of a later version than the installed plugin, or the plugin cannot upgrade them.
    """
    for block in plugin_blocks(tree):
        try:
            entry = registry.get(block.kind, block.name)
        except PluginError:  # the recipe's check tells it
            continue
        version, present = versions.get(dotted(block.at), 1), entry.component.version
        if version > present:
            raise PluginError(
                f"{dotted(block.at)}: the run has settings of version {version}, and the {entry.owner} knows those up "
                f"to {present}: install a later {entry.package}"
            )
        if block.node is None or version == present or entry.component.upgrade is None:
            continue
        given = {name: value for name, value in plain(block.node).items() if name != "name"}
        changed = {"name": block.name} | _upgraded(entry, given, version)
        source = Source(f"settings from the {entry.owner}", Path(), override=True)
        node = parse(json.dumps(changed), source, Findings())
        assert node is not None
        new = replace_at(tree, block.at, node)
        assert isinstance(new, MapNode)
        tree = new
    return tree


def _upgraded(entry: Entry, given: Mapping[str, Any], version: int) -> dict[str, Any]:
    """What the plugin makes of settings, as plain values."""
    upgrade = entry.component.upgrade
    assert upgrade is not None
    with calling(entry.owner, "upgrade"):
        found = upgrade(given, version)
        if (wrong := settings_fault((), found)) is not None:
            raise PluginFaultError(str(entry.owner), f"upgrade {wrong}")
        plain_values: dict[str, Any] = json.loads(json.dumps(dict(found)))
    return plain_values
