"""Paths in a recipe: ``${NAME:-default}`` expanded, ``~`` too, relative ones taken from the file that wrote them.

Only fields that are declared as paths are touched, in the recipe's own sections and in plugins' settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from qakit.recipe.annotations import alternatives, below
from qakit.recipe.model import IsPath, PluginRef, Recipe
from qakit.recipe.nodes import At, Entry, Findings, ListNode, MapNode, Node, ScalarNode, dotted

_VARIABLE = re.compile(r"\$\{(?P<inside>[^}]*)\}?")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>.*))?", re.DOTALL)

_SECRET = re.compile(r"(^|_)(TOKEN|(API|SECRET)?KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)($|_)", re.IGNORECASE)
"""Names of variables whose values must not get into files: runs keep and show their recipe, and are shared."""

SettingsOf = Callable[[At, MapNode], type[BaseModel] | None]
"""The settings model of the plugin block at a place, or None when the plugin is unknown."""


@dataclass(slots=True)
class _Resolver:
    settings_of: SettingsOf
    environment: Mapping[str, str]
    findings: Findings
    check_files: bool

    def walk(self, node: Node, annotation: Any, at: At) -> Node:
        if annotation is None:
            return node
        members = alternatives(annotation)
        if isinstance(node, ScalarNode):
            marks = [mark for kind, metadata in members if kind is str for mark in metadata if isinstance(mark, IsPath)]
            return self.path(node, marks[0], at) if marks else node
        if isinstance(node, ListNode):
            items = enumerate(node.items)
            walked = (self.walk(item, below(annotation, str(index)), (*at, str(index))) for index, item in items)
            return ListNode(tuple(walked), node.place)
        if any(kind is PluginRef for kind, _ in members):
            annotation = self.settings_of(at, node)
        entries = {
            key: Entry(entry.key, self.walk(entry.value, annotation and below(annotation, key), (*at, key)))
            for key, entry in node.entries.items()
        }
        return MapNode(entries, node.place)

    def path(self, node: ScalarNode, mark: IsPath, at: At) -> Node:
        text = node.value
        if not isinstance(text, str):
            if text is None or isinstance(text, bool) or not node.place.source.override:
                return node
            text = node.raw  # `--set data.test=2021` means a file of that name
        expanded = self.expand(text, node, at)
        if expanded is None:
            return node
        if not expanded or "\0" in expanded:
            what = "contains a NUL character" if expanded else "is empty" + (f": {text}" if text else "")
            self.findings.add(node.place.issue(at, f"{dotted(at)}: the path {what}"))
            return node
        folder = node.place.source.folder
        full = os.path.abspath(folder / os.path.expanduser(expanded))  # noqa: PTH100, PTH111 - keeps symbolic links; ~user may be unknown
        if mark.or_name and not expanded.startswith((".", "~", "/")) and not os.path.exists(full):  # noqa: PTH110
            return replace(node, value=expanded)
        if self.check_files and not mark.or_name and not os.path.exists(full):  # noqa: PTH110
            self.findings.add(node.place.issue(at, f"{dotted(at)}: file not found: {full}", _where_hint(text, at)))
        return replace(node, value=full)

    def expand(self, text: str, node: ScalarNode, at: At) -> str | None:
        """The text with variables replaced; None when that is impossible."""
        sound = True

        def value(match: re.Match[str]) -> str:
            nonlocal sound
            inside = _INSIDE.fullmatch(match["inside"]) if match[0].endswith("}") else None
            if inside is None:
                message = f"{dotted(at)}: {match[0]!r} is not of the form ${{NAME}} or ${{NAME:-default}}"
                self.findings.add(node.place.issue(at, message))
                sound = False
                return ""
            if _SECRET.search(inside["name"]):
                message = f"{dotted(at)}: the environment variable {inside['name']} is a secret by its name"
                hint = "a run keeps its recipe with every path; name the file by a variable with another name"
                self.findings.add(node.place.issue(at, message, hint))
                sound = False
                return ""
            found, default = self.environment.get(inside["name"]), inside["default"]
            if not found and default is not None:
                return default
            if found is None:
                message = f"{dotted(at)}: the environment variable {inside['name']} is not set"
                hint = f"set it, or write a default: ${{{inside['name']}:-default}}"
                self.findings.add(node.place.issue(at, message, hint))
                sound = False
            return found or ""

        expanded = _VARIABLE.sub(value, text)
        return expanded if sound else None


def resolve_paths(
    tree: MapNode,
    settings_of: SettingsOf,
    findings: Findings,
    *,
    check_files: bool,
    model: type[BaseModel] = Recipe,
    environment: Mapping[str, str] = os.environ,
) -> MapNode:
    """The tree, one of ``model``, with every path absolute. Variables that are not set, and with ``check_files`` files
    that are not there, are added to ``findings``."""
    walked = _Resolver(settings_of, environment, findings, check_files).walk(tree, model, ())
    assert isinstance(walked, MapNode)
    return walked


def _where_hint(text: str, at: At) -> str:
    variables = [inside["name"] for match in _VARIABLE.finditer(text) if (inside := _INSIDE.fullmatch(match["inside"]))]
    hint = f"say where it is with --set {dotted(at)}=PATH"
    return f"{hint} or with the environment variable {variables[0]}" if variables else hint
