"""A recipe as a tree of values that each know where they were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qakit.recipe.issues import Issue

At = tuple[str, ...]
"""A place in the tree: keys and list indices from the root, as text."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A recipe file, or one ``--set``."""

    name: str
    """As messages show it."""
    folder: Path
    """Where relative paths start."""
    lines: tuple[str, ...] = ()
    override: bool = False
    """Whether this is a ``--set``, or values without lines to point at."""
    given: bool = False
    """Whether this is a ``--set``, whose values stay where another one replaces what they belonged to."""


BUILT_IN = Source(name="default", folder=Path())
"""The source of values that nobody wrote."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; line and column from 1, 0 when there is none."""

    source: Source
    line: int = 0
    column: int = 0

    def issue(self, at: At, message: str, hint: str = "") -> Issue:
        """A problem at this place."""
        lines = self.source.lines
        located = bool(self.line) and not self.source.override
        return Issue(
            file=self.source.name,
            line=self.line if located else None,
            column=self.column if located else None,
            path=".".join(at),
            message=message,
            hint=hint,
            snippet=lines[self.line - 1] if located and self.line <= len(lines) else "",
        )


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """Text, a number, true, false or null."""

    value: str | int | float | bool | None
    raw: str
    """As written, without quotes."""
    place: Place
    inherited: bool = False
    """Whether it stands in the place of an inherited value."""


@dataclass(frozen=True, slots=True)
class ListNode:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key: value``."""

    key: Place
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    entries: Mapping[str, Entry]
    place: Place

    def with_entry(self, key: str, entry: Entry) -> MapNode:
        """The same mapping with one key added or replaced."""
        return MapNode({**self.entries, key: entry}, self.place)

    def without(self, *keys: str) -> MapNode:
        """The same mapping without these keys."""
        return MapNode({key: entry for key, entry in self.entries.items() if key not in keys}, self.place)


Node = ScalarNode | ListNode | MapNode


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value of a resolved recipe came from: a place in a file, a ``--set``, or the built-in default."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    override: str | None = None
    """The text of the ``--set``."""

    def __str__(self) -> str:
        if self.override is not None:
            return self.override
        return "default" if self.file is None else f"{self.file}:{self.line}:{self.column}"


DEFAULT = Origin()
"""The origin of values that nobody wrote."""


def origin_of(place: Place) -> Origin:
    """The public form of a place."""
    if place.source is BUILT_IN:
        return DEFAULT
    if place.source.override:
        return Origin(override=place.source.name)
    return Origin(file=place.source.name, line=place.line, column=place.column)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    if isinstance(node, MapNode):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def child(node: Node, part: str) -> Node | None:
    """The value under a key or list index, or None."""
    if isinstance(node, MapNode):
        entry = node.entries.get(part)
        return entry.value if entry else None
    if isinstance(node, ListNode) and part.isascii() and part.isdigit() and int(part) < len(node.items):
        return node.items[int(part)]
    return None


def find(node: Node, at: At) -> Node | None:
    """The value at a place, or None."""
    found: Node | None = node
    for part in at:
        found = child(found, part) if found is not None else None
    return found


def key_place(root: MapNode, at: At) -> Place:
    """Where the key of ``at`` is written: for a list's item, the item; for the root, the root."""
    parent = find(root, at[:-1]) if at else None
    if isinstance(parent, MapNode) and at[-1] in parent.entries:
        return parent.entries[at[-1]].key
    found = find(root, at)
    return found.place if found is not None else root.place


def replace_at(node: Node, at: At, new: Node) -> Node:
    """The tree with the (existing) value at ``at`` replaced."""
    if not at:
        return new
    found = child(node, at[0])
    if found is None:
        raise KeyError(".".join(at))
    value = replace_at(found, at[1:], new)
    if isinstance(node, MapNode):
        return node.with_entry(at[0], Entry(node.entries[at[0]].key, value))
    assert isinstance(node, ListNode)
    index = int(at[0])
    return ListNode((*node.items[:index], value, *node.items[index + 1 :]), node.place)


def dotted(at: At) -> str:
    """``train.epochs``."""
    return ".".join(at)


@dataclass(slots=True)
class Findings:
    """Collects the issues of one recipe while it is read and checked."""

    _found: dict[Issue, None] = field(default_factory=dict)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """All of them, in the order in which they were found."""
        return tuple(self._found)

    def add(self, issue: Issue) -> None:
        """Remember a problem, once."""
        self._found[issue] = None
