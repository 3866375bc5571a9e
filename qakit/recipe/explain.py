"""pydantic's errors -> issues: one per value, in plain words, at the value's place."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from qakit.recipe.annotations import all_keys, alternatives, at_path, describe, literals
from qakit.recipe.issues import Issue, close_match, did_you_mean
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import At, ListNode, MapNode, Node, Place, ScalarNode, child, dotted, find, key_place
from qakit.recipe.other_tools import key_hint

LONGEST_VALUE = 40
"""Characters of a wrong text that a message repeats."""
_YAML_1_1_BOOLEANS = ("yes", "no", "on", "off", "y", "n")


@dataclass(frozen=True, slots=True)
class Block:
    """What was validated: a model, and where its data lies in the recipe."""

    model: type[BaseModel]
    root: MapNode
    """The whole recipe."""
    at: At = ()
    """Where the block lies in it."""
    owner: str = ""
    """For messages: ``the head 'crf'``; empty for the recipe itself."""

    @property
    def whole(self) -> str:
        """What the whole file is called."""
        return f"the {self.model.__name__.lower()}"


def explain(block: Block, errors: Iterable[Mapping[str, Any]]) -> list[Issue]:
    """One issue for each value that ``errors`` (pydantic's) are about."""
    node = _node(block, ())
    groups: dict[At, list[Mapping[str, Any]]] = {}
    for error in errors:
        groups.setdefault(real_path(node, error["loc"]), []).append(error)
    # A union reports the whole value against one member and an item of it against another: the item is the news.
    specific = [
        path for path in groups if not any(len(other) > len(path) and other[: len(path)] == path for other in groups)
    ]
    own = ("missing", "value_error", "assertion_error")
    chosen = [path for path in groups if path in specific or any(error["type"] in own for error in groups[path])]
    return [issue for path in chosen for issue in _group(block, path, groups[path])]


def real_path(node: Node, location: Iterable[str | int]) -> At:
    """The part of pydantic's location that exists in the recipe: without names of union members and missing keys."""
    path: list[str] = []
    for part in location:
        below = child(node, str(part))
        if below is not None:
            path.append(str(part))
            node = below
    return tuple(path)


def _group(block: Block, path: At, errors: list[Mapping[str, Any]]) -> Iterator[Issue]:
    node = _node(block, path)
    missing = [error for error in errors if error["type"] == "missing" and isinstance(node, MapNode)]
    for error in missing:
        yield _missing(block, path, str(error["loc"][-1]))
    if missing:
        return
    if any(error["type"] == "extra_forbidden" for error in errors):
        yield _unknown_key(block, path)
        return
    at = (*block.at, *path)
    said = [error for error in errors if error["type"] in ("value_error", "assertion_error")]
    if said:
        reason = str(said[0].get("ctx", {}).get("error") or said[0]["msg"])
        where = dotted(at) if path else (block.owner or dotted(at) or block.whole)
        place = node.place if path or not at else key_place(block.root, at)
        set_here = list(_overrides(node, set(re.findall(r"\w+", reason))))
        yield (set_here[-1] if set_here else place).issue(at, f"{where}: {reason}")
        return
    annotation = at_path(block.model, path)
    if annotation is None:
        yield node.place.issue(at, f"{dotted(at)}: {errors[0]['msg']}")
        return
    expected = describe(annotation)
    if isinstance(node, MapNode) and "a mapping" in expected:
        yield node.place.issue(at, f"{dotted(at)}: {errors[0]['msg']}")
        return
    subject = dotted(at) or block.whole
    yield node.place.issue(
        at, f"{subject} should be {expected}, not {show(node)}", _type_hint(node, annotation, expected)
    )


def _overrides(node: Node, words: Container[str]) -> Iterator[Place]:
    """Places of the ``--set`` that gave keys below ``node`` which a message names with one of its ``words``."""
    for key, entry in node.entries.items() if isinstance(node, MapNode) else ():
        if key in words and entry.value.place.source.override:
            yield entry.value.place
        yield from _overrides(entry.value, words)


def _node(block: Block, path: At) -> Node:
    node = find(block.root, (*block.at, *path))
    assert node is not None
    return node


def _missing(block: Block, path: At, key: str) -> Issue:
    at = (*block.at, *path)
    owner = f" for {block.owner}" if block.owner and not path else f" in {dotted(at)}" if at else ""
    annotation = at_path(block.model, (*path, key))
    hint = f"it should be {describe(annotation)}" if annotation is not None else ""
    return key_place(block.root, at).issue((*at, key), f"missing key {key!r}{owner}", hint)


_OF_STUDIES = (("recipe",), ("recipes",), ("grid",), ("variants",), ("search",))


def _unknown_key(block: Block, path: At) -> Issue:
    at = (*block.at, *path)
    parent, key = path[:-1], path[-1]
    keys = _keys(block, parent)
    owner = f" for {block.owner}" if block.owner and not parent else f" in {dotted(at[:-1])}" if at[:-1] else ""
    elsewhere = [place for place in all_keys(block.model) if place.endswith(f".{key}")]
    if not block.owner and (known := key_hint(key)):
        hint = known
    elif at in _OF_STUDIES:
        hint = "a study has it: `qakit study run FILE`"
    elif elsewhere and not block.owner:
        hint = f"did you mean {elsewhere[0]!r}?"
    elif not keys:
        hint = "it has no settings"
    else:
        hint = did_you_mean(key, keys, otherwise="keys here")
    return key_place(block.root, at).issue(at, f"unknown key {key!r}{owner}", hint)


def _keys(block: Block, parent: At) -> list[str]:
    """Keys that are valid in a mapping, in the models' order."""
    annotation = at_path(block.model, parent)
    models = [kind for kind, _ in alternatives(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    keys = [field.alias or name for model in models for name, field in model.model_fields.items()]
    if not parent and block.model is Recipe:
        return ["extends", *keys]
    return ["name", *keys] if keys and block.owner and not parent else keys


def show(node: Node) -> str:
    """A value as a message names it."""
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return f"a list of {len(node.items)}"
    value = node.value
    if isinstance(value, str):
        return "the text " + repr(value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "...")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return node.raw if len(node.raw) <= LONGEST_VALUE else node.raw[: LONGEST_VALUE - 3] + "..."


def _type_hint(node: Node, annotation: Any, expected: str) -> str:
    kinds = [kind for kind, _ in alternatives(annotation)]
    if not isinstance(node, ScalarNode):
        return "put a text in quotes" if str in kinds and node.place.source.override else ""
    value = node.value
    if value is None:
        return "give it a value, or remove the line" if not node.raw else ""
    if not isinstance(value, str):
        return f'put it in quotes: "{node.raw}"' if str in kinds else ""
    if bool in kinds and value.lower() in _YAML_1_1_BOOLEANS:
        return "YAML 1.2 knows only true and false"
    if (int in kinds or float in kinds) and _is_number(value.replace("_", "")):
        return f"write it without {'underscores' if '_' in value else 'quotes'}"
    if expected.startswith("a list of"):
        return f"write [{node.raw}]" if node.raw.isidentifier() else ""
    match = close_match(value, literals(annotation))
    return f"did you mean {match!r}?" if match else ""


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text, re.ASCII) is not None
