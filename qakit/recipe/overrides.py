"""``--set train.epochs=3``, and the values of a study: one more layer on top of the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qakit.errors import RecipeError
from qakit.recipe.issues import Issue
from qakit.recipe.layers import as_inherited, merge
from qakit.recipe.model import plugin_kind
from qakit.recipe.nodes import At, Entry, Findings, ListNode, MapNode, Node, Place, ScalarNode, Source, dotted
from qakit.recipe.syntax import MAX_DEPTH, parse


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that another file, such as a study, puts into a recipe."""

    at: At
    key: Place
    """Where that file writes the dotted key: what is wrong with the key is said there."""
    value: Node


class _OverrideError(Exception):
    """What is wrong with a ``--set``."""


def apply_overrides(tree: MapNode, overrides: Sequence[str], findings: Findings) -> MapNode:
    """The tree with each ``a.b=value`` applied in order; those that cannot be are added to ``findings``."""
    for text in overrides:
        source = override_source(text)
        key, equals, value = text.partition("=")
        at = key_path(key)
        if not equals or not all(at) or len(at) > MAX_DEPTH:
            hint = "write it like --set train.epochs=3"
            findings.add(Place(source).issue((), "expected KEY=VALUE, with a dotted KEY", hint))
            continue
        if at[0] == "extends":
            findings.add(Place(source).issue(at, "extends cannot be set from the command line"))
            continue
        try:
            node = _value(value, source, at, findings)
            changed = _put(tree, at, node, (), node.place)
        except _OverrideError as error:
            findings.add(Place(source).issue(at, str(error)))
        except RecipeError as error:
            problem = error.issues[-1].message.removeprefix("not valid YAML: ")
            findings.add(
                Issue(
                    source.name, None, None, dotted(at), f"the value is not valid YAML: {problem}", "put it in quotes"
                )
            )
        else:
            assert isinstance(changed, MapNode)
            tree = changed
    return tree


def override_source(text: str) -> Source:
    """Where the values of ``--set text`` count as written."""
    return Source(f"--set {text}", Path.cwd(), override=True, given=True)


def key_path(override: str) -> At:
    """Where ``--set KEY=VALUE``, or its KEY alone, puts its value."""
    return tuple(override.partition("=")[0].strip().split("."))


def apply_settings(tree: MapNode, settings: Sequence[Setting], findings: Findings) -> MapNode:
    """The tree with each setting merged in, in order, but plugins before their settings: naming another plugin removes
    what the one before had. Those that cannot be are added to ``findings``."""
    for setting in sorted(settings, key=lambda each: not _names_plugin(each.at)):
        if not all(setting.at) or len(setting.at) > MAX_DEPTH:
            findings.add(setting.key.issue(setting.at, "expected a dotted key, such as train.epochs"))
            continue
        if setting.at[0] == "extends":
            findings.add(setting.key.issue(setting.at, "extends cannot be set: it belongs to the recipe's own file"))
            continue
        try:
            changed = _put(tree, setting.at, setting.value, (), setting.key)
        except _OverrideError as error:
            findings.add(setting.key.issue(setting.at, str(error)))
        else:
            assert isinstance(changed, MapNode)
            tree = changed
    return tree


def _value(text: str, source: Source, at: At, findings: Findings) -> Node:
    place = Place(source)
    local = Findings()
    if "/" in text.partition(" #")[0] and " #" in text and not text.strip().startswith(('"', "'")):  # a path
        findings.add(place.issue(at, "what follows ' #' would be a comment", "put the value in quotes"))
    node = parse(text.strip(), source, local)
    for issue in local.issues:
        findings.add(Issue(source.name, None, None, dotted(at), issue.message, issue.hint))
    return ScalarNode(None, "", place) if node is None else node


def _put(node: Node, keys: At, value: Node, at: At, key: Place) -> Node:
    """The tree with ``value`` merged in at ``keys``, counted from ``node``, which lies at ``at``.

    ``key`` is where new keys count as written.
    """
    if not keys:
        return merge(node, value, at)
    head, rest = keys[0], keys[1:]
    if isinstance(node, ListNode):
        index = _index(node, head, at)
        item = _put(node.items[index], rest, value, (*at, head), key)
        return ListNode((*node.items[:index], item, *node.items[index + 1 :]), node.place)
    if isinstance(node, MapNode) and not rest:
        node = as_inherited(node, {head: value}, at)
    if isinstance(node, MapNode) and head in node.entries and not (head == "name" and _names_plugin(at)):
        entry = node.entries[head]
        return node.with_entry(head, Entry(entry.key, _put(entry.value, rest, value, (*at, head), key)))
    return merge(node, _nested(keys, value, key), at)


def _names_plugin(at: At) -> bool:
    """Whether the value there is a plugin, or a plugin's name."""
    return plugin_kind(at) is not None or (at[-1:] == ("name",) and plugin_kind(at[:-1]) is not None)


def _nested(keys: At, value: Node, key: Place) -> Node:
    for part in reversed(keys):
        value = MapNode({part: Entry(key, value)}, value.place)
    return value


def _index(node: ListNode, part: str, at: At) -> int:
    count = f"{len(node.items)} item{'' if len(node.items) == 1 else 's'}"
    if not (part.isascii() and part.isdigit()):
        raise _OverrideError(f"{dotted(at)} is a list of {count}: use an index from 0, not {part!r}")
    if len(part) > 6 or int(part) >= len(node.items):
        raise _OverrideError(f"{dotted(at)} has {count}: there is no item {part}")
    return int(part)
