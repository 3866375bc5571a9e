"""YAML 1.2 text -> a tree of values with their places.

Built from the parser's events, by the core schema: no tags make objects, ``no`` is text, ``1e-5`` is a number,
duplicate keys are problems, and aliases cannot grow the tree beyond a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from qakit.errors import RecipeError
from qakit.recipe.issues import Issue
from qakit.recipe.nodes import Entry, Findings, ListNode, MapNode, Node, Place, ScalarNode, Source

MAX_NODES = 10_000
"""Values in one file, with aliases written out."""
MAX_DEPTH = 40
"""Levels of nesting."""
MAX_DIGITS = 100
"""A longer row of digits is text."""

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, str | float | bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((f"{sign}.{word}" for sign in ("", "+") for word in ("inf", "Inf", "INF")), float("inf")),
    **dict.fromkeys((f"-.{word}" for word in ("inf", "Inf", "INF")), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def parse(text: str, source: Source, findings: Findings) -> Node | None:
    """The document's tree; None for an empty one. Duplicate keys are added to ``findings``.

    Raises:
        RecipeError: the text is not YAML, or not of the kind that a recipe may use.
    """
    return _Builder(source, findings).build(_events(text, source))


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= MAX_DIGITS:
        if _INT.fullmatch(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _events(text: str, source: Source) -> Iterator[Any]:
    """The parser's events one by one: the builder's limits stop it early, and its time for 100,000 brackets is never
    spent."""
    from ruamel.yaml import YAML

    events = iter(YAML(typ="safe", pure=True).parse(text))
    while True:
        event = _next(events, text, source)
        if event is None:
            return
        yield event


def _next(events: Iterator[Any], text: str, source: Source) -> Any:
    try:
        return next(events, None)
    except RecursionError:
        raise RecipeError([Place(source, 1, 1).issue((), "not valid YAML: nested too deeply")]) from None
    except Exception as error:  # the parser also lets its own slips through: OverflowError for "\UFFFFFFFF"
        raise RecipeError([_syntax_issue(error, text, source)]) from None


def _syntax_issue(error: Exception, text: str, source: Source) -> Issue:
    position = getattr(error, "position", None)  # of the reader: a character that YAML does not allow
    if position is not None:
        before = LINE_BREAK.split(text[:position])
        place = Place(source, len(before), len(before[-1]) + 1)
        return place.issue((), f"not valid YAML: the character U+{ord(text[position]):04X} is not allowed")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
    problem = str(getattr(error, "problem", None) or error)
    if "'\\t' that cannot start" in problem:
        return place.issue((), "a tab cannot be used for indentation", "use spaces")
    if "that cannot start any token" in problem:
        char = problem.split("'")[1]
        return place.issue((), f"a value cannot start with {char!r}", "put the value in quotes")
    if "mapping values are not allowed" in problem:
        return place.issue(
            (),
            "not valid YAML: a key is not allowed here",
            "put a text that contains ': ' in quotes; check the indentation",
        )
    context, start = getattr(error, "context", None), getattr(error, "context_mark", None)
    where = f" ({context} that starts on line {start.line + 1})" if context and start else ""
    return place.issue((), f"not valid YAML: {problem}{where}")


@dataclass(slots=True)
class _Open:
    """A mapping or list that is not yet closed."""

    place: Place
    is_map: bool
    anchor: str | None
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    key: tuple[str, Place] | None = None
    size: int = 1

    @property
    def wants_key(self) -> bool:
        return self.is_map and self.key is None


class _Builder:
    """Turns events into nodes, without recursion."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self.source, self.findings = source, findings
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.root: Node | None = None
        self.documents = 0

    def build(self, events: Iterable[Any]) -> Node | None:
        for event in events:
            place = Place(self.source, event.start_mark.line + 1, event.start_mark.column + 1)
            match type(event).__name__:
                case "DocumentStartEvent":
                    self.documents += 1
                    if self.documents > 1:
                        self.fail(place, "a recipe is one YAML document, but a second one starts here")
                case "ScalarEvent":
                    self.scalar(event, place)
                case "AliasEvent":
                    self.alias(event.anchor, place)
                case "MappingStartEvent" | "SequenceStartEvent" as kind:
                    self.open(event, place, is_map=kind == "MappingStartEvent")
                case "MappingEndEvent" | "SequenceEndEvent":
                    self.close()
        return self.root

    def fail(self, place: Place, message: str, hint: str = "") -> NoReturn:
        raise RecipeError([place.issue(self.at(), message, hint)])

    def at(self) -> tuple[str, ...]:
        parts = [frame.key[0] if frame.key else str(len(frame.items)) for frame in self.stack if not frame.wants_key]
        return tuple(parts)

    def scalar(self, event: Any, place: Place) -> None:
        raw, tag = event.value, str(event.tag) if event.tag is not None else None
        if any("\ud800" <= char <= "\udfff" for char in raw):
            self.fail(place, "the text contains half of a character (a lone surrogate)")
        if self.stack and self.stack[-1].wants_key:
            self.open_key(raw, place)
            return
        value = resolve(raw) if event.implicit[0] and tag is None else raw
        if tag not in (None, "!", f"{_TAG}str"):
            value = resolve(raw)
            name = type(value).__name__.replace("NoneType", "null")
            if tag != _TAG + name:
                self.fail(place, f"the tag {_short(tag)} is not allowed here")
        if value is None and not raw and self.stack and self.stack[-1].key:
            place = self.stack[-1].key[1]  # the parser places a value that is not there at the next key
        self.add(ScalarNode(value, raw, place), 1, event.anchor)

    def open_key(self, name: str, place: Place) -> None:
        frame = self.stack[-1]
        if not name:
            self.fail(place, "a key is empty")
        if name in frame.entries:
            first = frame.entries[name].key.line
            where = f" in {'.'.join(self.at())}" if self.at() else ""
            hint = f"it is first given on line {first}"
            self.findings.add(place.issue((*self.at(), name), f"duplicate key {name!r}{where}", hint))
        frame.key = name, place

    def alias(self, name: str, place: Place) -> None:
        if self.stack and self.stack[-1].wants_key:
            self.fail(place, "a key must be text, not an alias")
        if name not in self.anchors:
            self.fail(place, f"the alias *{name} has no anchor &{name} before it")
        node, size = self.anchors[name]
        self.add(replace(node, place=place), size, None)

    def open(self, event: Any, place: Place, *, is_map: bool) -> None:
        if self.stack and self.stack[-1].wants_key:
            self.fail(
                place, "a key must be text, not a list or mapping", "put a text that starts with [ or { in quotes"
            )
        tag = str(event.tag) if event.tag is not None else None
        if tag not in (None, "!", _TAG + ("map" if is_map else "seq")):
            self.fail(place, f"the tag {_short(tag)} is not allowed here")
        if len(self.stack) >= MAX_DEPTH:
            self.fail(place, f"nested more than {MAX_DEPTH} levels deep")
        self.stack.append(_Open(place, is_map, event.anchor))

    def close(self) -> None:
        frame = self.stack.pop()
        node = MapNode(frame.entries, frame.place) if frame.is_map else ListNode(tuple(frame.items), frame.place)
        self.add(node, frame.size, frame.anchor)

    def add(self, node: Node, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node, size
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.size += size
        if frame.size > MAX_NODES:
            self.fail(node.place, f"more than {MAX_NODES:,} values, aliases written out: this is no recipe")
        if frame.key is not None:
            name, place = frame.key
            frame.entries[name] = Entry(place, node)
            frame.key = None
        else:
            frame.items.append(node)


def _short(tag: str | None) -> str:
    return (tag or "").replace(_TAG, "!!")
