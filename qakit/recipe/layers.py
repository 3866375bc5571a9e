"""Recipes on top of one another: ``extends`` and the rules of merging.

Mappings merge key by key; lists, scalars and null replace. A null where a key takes none takes the inherited value away
(:func:`qakit.recipe.check.check`). A block that names a plugin merges only with a block that
names the same plugin: the settings of another plugin must not leak into it. What a ``--set`` gave belongs to the plugin
that is named in the end, whatever the order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qakit.errors import RecipeError
from qakit.recipe.found import bundled_recipes, with_ending
from qakit.recipe.model import default_plugin, plugin_kind
from qakit.recipe.nodes import BUILT_IN, At, Entry, Findings, ListNode, MapNode, Node, Place, ScalarNode, plain
from qakit.recipe.read import missing_file_hint, read_recipe_file

BACKBONE: At = ("backbone",)
DATA: tuple[At, ...] = (("data", "train"), ("data", "validation"), ("data", "test"))
"""Where a recipe may name a dataset's split on the hub."""
OWN_KEYS = ("extends", "name", "description", "about")
"""Keys that belong to the file that wrote them and are not inherited."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A recipe with all that it inherits."""

    tree: MapNode
    """Merged, without ``extends``."""
    extends: tuple[Path, ...]
    """The parents that the recipe itself names."""


def read_layers(path: Path, findings: Findings) -> Layers:
    """Read a recipe and what it extends, and merge them.

    Raises:
        RecipeError: a file that cannot be read or parsed, or recipes that extend each other in a circle.
    """
    return _read(path, (), {}, findings)


def _read(path: Path, chain: tuple[Path, ...], known: dict[str, Layers], findings: Findings) -> Layers:
    identity = os.path.realpath(path)
    if identity in known:
        return known[identity]
    own = read_recipe_file(path, findings)
    parents: list[Path] = []
    tree: Node | None = None
    for name, node in _parent_names(own):
        parent = _parent(path.parent, name)
        _check_parent(parent, (*chain, path), node)
        inherited = _read(parent, (*chain, path), known, findings).tree.without(*OWN_KEYS)
        tree = inherited if tree is None else merge(tree, inherited)
        parents.append(parent)
    own = own.without("extends")
    merged = own if tree is None else merge(tree, own)
    assert isinstance(merged, MapNode)
    known[identity] = Layers(MapNode(merged.entries, own.place), tuple(parents))
    return known[identity]


def _parent_names(root: MapNode) -> list[tuple[str, ScalarNode]]:
    if "extends" not in root.entries:
        return []
    value = root.entries["extends"].value
    found: list[tuple[str, ScalarNode]] = []
    for node in value.items if isinstance(value, ListNode) else (value,):
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or not node.value:
            raise RecipeError(
                [node.place.issue(("extends",), "extends should be a path to a recipe, or a list of them")]
            )
        if "\0" in node.value:
            raise RecipeError([node.place.issue(("extends",), "extends: the path contains a NUL character")])
        found.append((node.value, node))
    return found


def _parent(folder: Path, name: str) -> Path:
    """The recipe that ``extends: name`` means: a path from ``folder``, else one of qakit's own."""
    parent = Path(os.path.normpath(folder / name))
    bundled = bundled_recipes()
    if bundled is None or os.path.exists(parent):  # noqa: PTH110 - unlike Path.exists, no error for names that no file can have
        return parent
    own = with_ending(Path(os.path.normpath(bundled / name)))
    return own if own.is_relative_to(bundled) and os.path.isfile(own) else parent  # noqa: PTH113


def _check_parent(parent: Path, chain: tuple[Path, ...], node: ScalarNode) -> None:
    identities = [os.path.realpath(path) for path in chain]
    message, hint = "", ""
    if (identity := os.path.realpath(parent)) in identities:
        circle = (*chain[identities.index(identity) :], parent)
        message = f"recipes extend each other in a circle: {' -> '.join(str(path) for path in circle)}"
    elif not os.path.exists(parent):  # noqa: PTH110 - unlike Path.exists, no error for names that no file can have
        message, hint = f"extends: file not found: {parent}", missing_file_hint(parent)
    if message:
        raise RecipeError([node.place.issue(("extends",), message, hint)])


def merge(base: Node, over: Node, at: At = ()) -> Node:
    """``over`` on top of ``base``, both at the place ``at`` of a recipe."""
    if plugin_kind(at):
        base, over = as_block(base), as_block(over)
        if isinstance(base, MapNode) and isinstance(over, MapNode) and _names_another(base, over, at):
            given = _given(base.without("name"))
            return over if given is None else MapNode({**given.entries, **over.entries}, over.place)
    if isinstance(over, ScalarNode):
        return replace(over, inherited=True)
    if not (isinstance(base, MapNode) and isinstance(over, MapNode)):
        return over
    base = as_inherited(base, {key: entry.value for key, entry in over.entries.items()}, at)
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = entries.get(key)
        if below is None:
            entries[key] = entry
            continue
        # A key that a file wrote stays the place for "something is missing in here" under a --set.
        place = below.key if entry.key.source.override else entry.key
        entries[key] = Entry(place, merge(below.value, entry.value, (*at, key)))
    return MapNode(entries, base.place if over.place.source.override else over.place)


def as_inherited(block: MapNode, own: Mapping[str, Node], at: At) -> MapNode:
    """The block at ``at`` as one with the keys ``own`` inherits it.

    Another backbone's ``source`` comes without the hash and the revisions of the one before, and whoever names a
    source or an architecture, or begins from ``scratch``, does not begin with an inherited run. An architecture in an
    encoder's place comes without what was said of that encoder. Another dataset comes without the
    configuration and the revision of the one before, and another part of one without the local file in its place. What
    a ``--set`` gave belongs to the new one, whatever the order.
    """
    left = _left_behind(block, own, at)
    inherited = [key for key in left if key in block.entries]
    return block.without(*(key for key in inherited if not block.entries[key].value.place.source.given))


def _left_behind(block: MapNode, own: Mapping[str, Node], at: At) -> Iterator[str]:
    """The keys of a block that belong to what is now replaced."""

    def is_changed(*keys: str) -> bool:
        return any(key in own and (key not in block.entries or _value(block, key) != plain(own[key])) for key in keys)

    if at == BACKBONE:
        if "source" in block.entries and is_changed("source"):
            yield from ("sha256", "revision", "tokenizer_revision")
        elif "tokenizer" in own:
            yield "tokenizer_revision"
        if "source" in own or "architecture" in own or ("init" in own and plain(own["init"]) == "scratch"):
            yield "from_run"
        if "architecture" in own and "architecture" not in block.entries:
            yield from ("init", "overrides", "sha256", "reinit_layers")
    elif at in DATA:
        if is_changed("dataset"):
            yield from ("config", "revision")
        if is_changed("dataset", "config", "split", "revision"):
            yield "local"


def _value(block: MapNode, key: str) -> Any:
    return plain(block.entries[key].value)


def _given(block: MapNode) -> MapNode | None:
    """The part of a block that a ``--set`` gave."""
    if block.place.source.given:
        return block
    entries: dict[str, Entry] = {}
    for key, entry in block.entries.items():
        value = entry.value
        kept = _given(value) if isinstance(value, MapNode) else value if value.place.source.given else None
        if kept is not None:
            entries[key] = Entry(entry.key, kept)
    return MapNode(entries, block.place) if entries else None


def _names_another(base: MapNode, over: MapNode, at: At) -> bool:
    if "name" not in over.entries:
        return False
    named = over.entries["name"].value
    inherited = base.entries["name"].value if "name" in base.entries else None
    before = inherited.value if isinstance(inherited, ScalarNode) else default_plugin(at)
    return not isinstance(named, ScalarNode) or named.value != before


def as_block(node: Node) -> Node:
    """A plugin given by its bare name as ``{name: ...}``; everything else as it is."""
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return MapNode({"name": Entry(node.place, node)}, node.place)
    return node


def normalise(node: Node, at: At = ()) -> Node:
    """The tree with every plugin block in its long form; a block without a name gets that of the default plugin."""
    if plugin_kind(at):
        node = as_block(node)
        name = default_plugin(at)
        if isinstance(node, MapNode) and "name" not in node.entries and name is not None:
            place = Place(BUILT_IN)
            return MapNode({"name": Entry(place, ScalarNode(name, name, place)), **node.entries}, node.place)
        return node
    if isinstance(node, MapNode):
        entries = {key: Entry(entry.key, normalise(entry.value, (*at, key))) for key, entry in node.entries.items()}
        return MapNode(entries, node.place)
    if isinstance(node, ListNode):
        return ListNode(tuple(normalise(item, (*at, str(index))) for index, item in enumerate(node.items)), node.place)
    return node
