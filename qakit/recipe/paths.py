"""Paths in a recipe: ``${NAME:-default}`` expanded, ``~`` too, relative ones taken from the file that wrote them.

Only fields that are declared as paths are touched, in the recipe's own sections and in plugins' settings. Data on the
hub is brought to the commit that it has where files are checked, so that whoever resumes a run has the same data.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from qakit.errors import HubError
from qakit.recipe.annotations import alternatives, below
from qakit.recipe.hub_data import HUB, HubFiles, HubSplit, newest_commit
from qakit.recipe.model import IsPath, PluginRef, Recipe
from qakit.recipe.nodes import At, Entry, Findings, ListNode, MapNode, Node, Place, ScalarNode, dotted, find, plain

_VARIABLE = re.compile(r"\$\{(?P<inside>[^}]*)\}?")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>.*))?", re.DOTALL)

_SECRET = re.compile(r"(^|_)(TOKEN|(API|SECRET)?KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)($|_)", re.IGNORECASE)
"""Names of variables whose values must not get into files: runs keep and show their recipe, and are shared."""

SettingsOf = Callable[[At, MapNode], type[BaseModel] | None]
"""The settings model of the plugin block at a place, or None when the plugin is unknown."""


@dataclass(slots=True)
class _Resolver:
    settings_of: SettingsOf
    findings: Findings
    check_files: bool
    from_run: bool = False
    """Another run's weights take the place of ``backbone.source``."""
    commits: dict[tuple[str, str | None], str | None] = field(default_factory=dict)
    """Of each dataset and revision that was asked for; None where the hub could not say."""

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
        if any(kind is HubSplit for kind, _ in members):
            return self.split(node, at)
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
        if mark.or_hub and expanded.startswith(HUB):
            return replace(node, value=self.pinned(expanded, node, at))
        full = _full(expanded, node)
        if mark.or_name and not expanded.startswith((".", "~", "/")) and not os.path.exists(full):  # noqa: PTH110
            return replace(node, value=expanded)
        needed = self._is_folder_of_the_user(text, at) if mark.or_name else True
        if _is_special(full):
            self.findings.add(node.place.issue(at, f"{dotted(at)}: {full} is a pipe or a device, and no file"))
        if self.check_files and needed and not os.path.exists(full):  # noqa: PTH110
            self.findings.add(node.place.issue(at, f"{dotted(at)}: file not found: {full}", _where_hint(text, at)))
        return replace(node, value=full)

    def split(self, node: MapNode, at: At) -> Node:
        """A dataset's split by its commit, or the local file that takes its place."""
        try:
            wanted = HubSplit.model_validate(plain(node))
        except ValidationError:  # the model's check says so
            return node
        local = find(node, ("local",))
        if wanted.local is not None and isinstance(local, ScalarNode):
            variables = [(os.environ.get(name), default) for name, default in _variables(wanted.local)]
            if all(value or default is not None for value, default in variables):
                expanded = self.expand(wanted.local, local, (*at, "local"))
                if any(value for value, _ in variables) or (expanded and os.path.exists(_full(expanded, local))):  # noqa: PTH110
                    return self.path(local, IsPath(), at)
        node = node.without("local")
        if not self.check_files:
            return node
        dataset, revision = node.entries["dataset"], node.entries.get("revision")
        commit = self.commit(wanted.dataset, wanted.revision, dataset.value.place, at)
        if commit is None:
            return node
        written = revision or dataset
        return node.with_entry("revision", Entry(written.key, ScalarNode(commit, commit, written.value.place)))

    def pinned(self, text: str, node: ScalarNode, at: At) -> str:
        """A file on the hub by its commit."""
        try:
            files = HubFiles.parse(text)
        except ValueError:  # the model's check says so
            return text
        commit = self.commit(files.repository, files.revision, node.place, at) if self.check_files else None
        return text if commit is None else str(replace(files, revision=commit))

    def commit(self, dataset: str, revision: str | None, place: Place, at: At) -> str | None:
        """What a dataset's revision stands for; None, with one finding, where that is not to be had."""
        key = dataset, revision
        if key not in self.commits:
            try:
                self.commits[key] = newest_commit(dataset, revision, subject=f"{dotted(at)}: dataset {dataset!r}")
            except HubError as error:
                self.commits[key] = None
                self.findings.add(place.issue(at, str(error)))
        return self.commits[key]

    def _is_folder_of_the_user(self, text: str, at: At) -> bool:
        """Whether a source is a path that the user is meant to set, by a variable; other names are looked up later."""
        return _VARIABLE.search(text) is not None and not (self.from_run and at[:1] == ("backbone",))

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
            found, default = os.environ.get(inside["name"]), inside["default"]
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
) -> MapNode:
    """The tree, one of ``model``, with every path absolute. Variables that are not set, and with ``check_files`` files
    that are not there, are added to ``findings``."""
    from_run = isinstance(find(tree, ("backbone", "from_run")), ScalarNode)
    walked = _Resolver(settings_of, findings, check_files, from_run).walk(tree, model, ())
    assert isinstance(walked, MapNode)
    return walked


def _full(path: str, node: ScalarNode) -> str:
    """A path from the folder of the file that wrote it."""
    return os.path.abspath(node.place.source.folder / os.path.expanduser(path))  # noqa: PTH100, PTH111 - keeps symbolic links; ~user may be unknown


def _is_special(path: str) -> bool:
    """Whether reading it may never end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _variables(text: str) -> list[tuple[str, str | None]]:
    """The environment variables in a path, each with its default."""
    inside = [_INSIDE.fullmatch(match["inside"]) for match in _VARIABLE.finditer(text)]
    return [(each["name"], each["default"]) for each in inside if each is not None]


def _where_hint(text: str, at: At) -> str:
    variables = [name for name, _ in _variables(text)]
    hint = f"say where it is with --set {dotted(at)}=PATH"
    return f"{hint} or with the environment variable {variables[0]}" if variables else hint
