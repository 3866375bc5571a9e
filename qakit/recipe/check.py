"""A recipe's tree -> a checked recipe, in two steps: the core's model, then each plugin's own settings model.

Both steps always run, so that all problems come at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from qakit.attribution import calling
from qakit.components import Kind, singular
from qakit.entry_points import DISABLE_VARIABLE
from qakit.errors import PluginError, UnknownPluginError, UsageError
from qakit.plugin_code import is_file_plugin
from qakit.problems import POLICIES, PROBLEM_KINDS, check_policies
from qakit.recipe.explain import Block, explain, real_path
from qakit.recipe.issues import did_you_mean
from qakit.recipe.model import PLUGIN_FIELDS, Recipe, default_plugin
from qakit.recipe.nodes import At, Findings, ListNode, MapNode, Node, ScalarNode, dotted, find, plain, replace_at
from qakit.recipe.own_plugins import code_values
from qakit.registry import Entry, Registry

_STRICT = frozenset({"int_type", "float_type", "bool_type", "string_type"})
"""Errors of a strict check that stand although a lenient one would convert the value ("3" to 3, true to 1)."""


@dataclass(frozen=True, slots=True)
class PluginBlock:
    """A place of a recipe that names a plugin."""

    at: At
    kind: Kind
    name: str
    node: MapNode | None
    """None when the recipe says nothing and the default is used."""


def plugin_blocks(tree: MapNode) -> Iterator[PluginBlock]:
    """Every plugin that the recipe names or gets by default; blocks of a wrong shape are left to the core's check."""
    for field, kind in PLUGIN_FIELDS.items():
        at = tuple(field.split("."))
        node, default = find(tree, at), default_plugin(at)
        if isinstance(node, ListNode):
            for index, item in enumerate(node.items):
                yield from _block((*at, str(index)), kind, item)
        elif node is not None:
            yield from _block(at, kind, node)
        elif default is not None and _is_used(tree, at[:-1]):
            yield PluginBlock(at, kind, default, None)


def _is_used(tree: MapNode, section: At) -> bool:
    """Whether a section is there, or counts with its defaults although it is not."""
    node = find(tree, section)
    return isinstance(node, MapNode) or (node is None and Recipe.model_fields[section[0]].default is not None)


def settings_model(registry: Registry, at: At, node: MapNode) -> type[BaseModel] | None:
    """The settings model of the plugin that the block at a place names; None when it names none that is installed."""
    kind = PLUGIN_FIELDS.get(dotted(at)) or PLUGIN_FIELDS.get(dotted(at[:-1]))
    block = next(_block(at, kind, node), None) if kind else None
    entry = _find_entry(registry, block) if block else None
    model: type[BaseModel] | None = entry.component.settings if entry else None
    return model


def check(tree: MapNode, registry: Registry, findings: Findings, *, unneeded: Collection[str] = ()) -> Recipe | None:
    """The recipe with the settings of its plugins complete; None when there are findings.

    Args:
        unneeded: places (``metric``, ``observers``) whose plugins need not be installed; their settings stay as they
            are then.
    """
    _, tree = _validate(Block(Recipe, tree), findings)
    completed: dict[At, dict[str, Any]] = {}
    files: dict[str, None] = {}
    for block in plugin_blocks(tree):
        entry = _find_entry(registry, block)
        if entry is None:
            if not {dotted(block.at), block.at[0]} & set(unneeded):
                _report_unknown(tree, registry, block, findings)
            continue
        settings, tree = _check_block(tree, block, entry, findings)
        if settings is not None:
            name = block.name
            if is_file_plugin(entry.package):
                name = f"{entry.package}:{entry.name}"
                files.setdefault(entry.package)
            completed[block.at] = {"name": name, **settings.model_dump(mode="json", by_alias=True)}
    _check_problem_kinds(tree, registry, findings)
    if findings.issues:
        return None
    data = plain(tree)
    for at, value in completed.items():
        _place(data, at, value)
    held = data.get("plugins") or []
    named = [code_values(package) for package in files]  # also of files that a command has named
    data["plugins"] = [*held, *(each for each in named if each not in held)]
    return Recipe.model_validate(data)


def check_model(model: type[BaseModel], tree: MapNode, findings: Findings) -> BaseModel | None:
    """The tree as the model of a file that names no plugins; None when its values do not fit."""
    return _validate(Block(model, tree), findings)[0]


def check_plugin(tree: MapNode, at: At, kind: Kind, registry: Registry, findings: Findings) -> dict[str, Any] | None:
    """The complete settings of a plugin that another file than a recipe names at a place; None when there are findings.

    ``tree`` has a mapping with a ``name`` there.
    """
    node = find(tree, at)
    block = next(_block(at, kind, node), None) if node is not None else None
    if block is None:
        return None
    entry = _find_entry(registry, block)
    if entry is None:
        _report_unknown(tree, registry, block, findings)
        return None
    settings, _ = _check_block(tree, block, entry, findings)
    return None if settings is None else settings.model_dump(mode="json", by_alias=True)


def _check_problem_kinds(tree: MapNode, registry: Registry, findings: Findings) -> None:
    """``data.problems`` names kinds of problems, and gives each a policy that it can honour.

    Kinds that only another installed reader reports are allowed, since what reads a file can be changed; where the
    recipe's own reader is not installed, nobody knows its kinds.
    """
    at = ("data", "problems")
    policies = find(tree, at)
    reader = next((_find_entry(registry, block) for block in plugin_blocks(tree) if block.kind == "readers"), None)
    if reader is None or not isinstance(policies, MapNode):
        return
    readers = [*registry.entries("readers"), reader]
    kinds = {**PROBLEM_KINDS, **{kind.name: kind for each in readers for kind in each.component.problems}}
    for name, entry in policies.entries.items():
        policy = plain(entry.value)
        if policy not in POLICIES:
            continue  # the model's check has said so
        try:
            check_policies({name: policy}, kinds)
        except UsageError as error:
            message, _, hint = str(error).partition("; ")
            findings.add(entry.key.issue((*at, name), message, hint))


def _block(at: At, kind: Kind, node: Node) -> Iterator[PluginBlock]:
    name = find(node, ("name",))
    if isinstance(node, MapNode) and isinstance(name, ScalarNode) and isinstance(name.value, str):
        yield PluginBlock(at, kind, name.value, node)


def _find_entry(registry: Registry, block: PluginBlock) -> Entry | None:
    try:
        return registry.get(block.kind, block.name)
    except PluginError:
        return None


def _report_unknown(tree: MapNode, registry: Registry, block: PluginBlock, findings: Findings) -> None:
    place = tree.place if block.node is None else block.node.entries["name"].value.place
    kind, names = singular(block.kind), registry.names(block.kind)
    try:
        registry.get(block.kind, block.name)
    except UnknownPluginError:
        message = f"{dotted(block.at)}: no {kind} is called {block.name!r}"
        hint = did_you_mean(block.name, names, otherwise=f"installed {block.kind}")
        if registry.disabled:
            off = f"{DISABLE_VARIABLE} switches off {', '.join(origin.name for origin in registry.disabled)}"
            hint = "; ".join(part for part in (hint, off) if part)
    except PluginError as conflict:
        message, _, hint = f"{dotted(block.at)}: {conflict}".partition("; ")
    if block.node is None:
        message += " (the default)"
    if registry.broken and not hint.startswith("did"):
        broken = f"{len(registry.broken)} plugin{'s' if len(registry.broken) > 1 else ''} could not be loaded"
        hint = "; ".join(part for part in (hint, f"{broken}: `qakit plugins` says why") if part)
    findings.add(place.issue((*block.at, "name") if block.node else block.at, message, hint))


def _check_block(
    tree: MapNode, block: PluginBlock, entry: Entry, findings: Findings
) -> tuple[BaseModel | None, MapNode]:
    model = entry.component.settings
    owner = f"the {singular(block.kind)} {block.name!r}"
    with calling(entry.owner, "settings"):
        if block.node is not None:
            return _validate(Block(model, tree, block.at, owner), findings)
        try:
            return model.model_validate({}), tree
        except ValidationError as error:
            missing = ", ".join(repr(".".join(map(str, problem["loc"]))) for problem in error.errors())
            needs = f"{dotted(block.at)}: {owner} (the default) needs settings: {missing}"
            findings.add(tree.place.issue(block.at, needs))
            return None, tree


def _validate(block: Block, findings: Findings) -> tuple[BaseModel | None, MapNode]:
    """The checked model, and the recipe's tree, in which numbers given by ``--set`` for a text became text, and nulls
    that take an inherited value away are gone."""
    errors, value = _errors(block)
    root = block.root
    for problem in errors:
        at = (*block.at, *real_path(_node(block.root, block.at), problem["loc"]))
        node = find(root, at)
        unset = isinstance(node, ScalarNode) and not node.raw and node.place.source.override  # --set train.epochs=$NONE
        if isinstance(node, ScalarNode) and node.value is None and node.inherited and not unset:
            parent = find(root, at[:-1])
            root = replace_at(root, at[:-1], parent.without(at[-1])) if isinstance(parent, MapNode) else root  # type: ignore[assignment]
        elif problem["type"] == "string_type" and isinstance(node, ScalarNode) and node.place.source.override:
            text = node.value is not None and not isinstance(node.value, bool)
            root = replace_at(root, at, replace(node, value=node.raw)) if text else root  # type: ignore[assignment]
    if root is not block.root:
        block = replace(block, root=root)
        errors, value = _errors(block)
    for issue in explain(block, errors):
        findings.add(issue)
    return value, root


def _errors(block: Block) -> tuple[list[Any], BaseModel | None]:
    """What is wrong with a block's data, types taken strictly, as YAML has them."""
    node = _node(block.root, block.at)
    data = plain(node.without("name") if block.owner and isinstance(node, MapNode) else node)
    strict, _ = _validated(block.model, data, strict=True)
    lenient, value = _validated(block.model, data, strict=False)
    # Strictly, a tuple behind a validator is no list; so only mistaken scalars count among the strict errors.
    known = {real_path(node, error["loc"]) for error in lenient}
    by_path: dict[At, list[Any]] = {}
    for error in strict:
        by_path.setdefault(real_path(node, error["loc"]), []).append(error)
    extra = [
        error
        for path, group in by_path.items()
        if path not in known
        and any(item["type"] in _STRICT for item in group)
        and isinstance(_node(node, path), ScalarNode)
        for error in group
    ]
    errors = [*lenient, *extra]
    return errors, None if errors else value


def _validated(model: type[BaseModel], data: Any, *, strict: bool) -> tuple[list[Any], BaseModel | None]:
    """pydantic's errors, or the model. A strict check reads JSON, whose lists may be tuples, as in YAML."""
    try:
        if strict:
            return [], model.model_validate_json(json.dumps(data), strict=True)
        return [], model.model_validate(data)
    except ValidationError as error:
        return list(error.errors(include_url=False)), None


def _node(root: Node, at: At) -> Node:
    node = find(root, at)
    assert node is not None
    return node


def _place(data: Any, at: At, value: Any) -> None:
    """Put a value at a place of nested dicts and lists, with the dicts that are missing."""
    for part in at[:-1]:
        data = data[int(part)] if isinstance(data, list) else data.setdefault(part, {})
    if isinstance(data, list):
        data[int(at[-1])] = value
    else:
        data[at[-1]] = value
