"""The plugin files that a recipe brings along (``plugins:``).

A recipe that people write names files; once it is resolved it holds their text and hash, so whatever keeps the recipe
keeps the code. Components that such a file offers go by their package in a resolved recipe,
``my_head.py@3f2a9c1b7d10:my_head``: two runs may have files of one name, of which each has its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qakit.errors import PluginError, PluginLoadError, RecipeError
from qakit.plugin_code import PluginCode, found, load_code
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import At, Entry, Findings, ListNode, MapNode, Node, Place, ScalarNode, find, plain
from qakit.recipe.paths import resolve_paths
from qakit.registry import Registry
from qakit.trust import check_agreed

KEY = "plugins"


def with_own_plugins(
    tree: MapNode, registry: Registry, findings: Findings, *, holder: Path, resolved: bool = False
) -> tuple[MapNode, Registry]:
    """Run the code that a recipe brings along, where the user agrees.

    Args:
        tree: the recipe.
        registry: the installed plugins.
        findings: gets what is wrong with the files.
        holder: the recipe's file, for the question.
        resolved: whether the recipe was written by :func:`~qakit.recipe.dump.dump_recipe`, and names no files.

    Returns:
        The recipe with the files' text; and the registry in which their components come first.

    Raises:
        RecipeError, of a resolved recipe PluginError: the user has not agreed to the code.
    """
    node = find(tree, (KEY,))
    if not isinstance(node, ListNode) or not node.items:
        return tree, registry
    if not resolved:
        alone = MapNode({KEY: tree.entries[KEY]}, tree.place)
        node = find(resolve_paths(alone, lambda *_: None, findings, check_files=True, model=Recipe), (KEY,))
    items, packages = [], []
    for index, item in enumerate(node.items if isinstance(node, ListNode) else ()):
        at = (KEY, str(index))
        path = Path(item.value) if isinstance(item, ScalarNode) and isinstance(item.value, str) else None
        if path is not None and not path.is_file():
            continue  # the paths' check has said so
        try:
            code = _held(item, at, findings) if path is None else PluginCode.read(path)
            if code is not None:
                check_agreed(code, holder=holder)
                load_code(code, path=path)
                items.append(_node(code, item.place))
                packages.append(code.package)
        except PluginLoadError as error:
            findings.add(item.place.issue(at, f"plugins: {error}"))
        except PluginError as refused:
            if resolved:
                raise
            raise RecipeError([item.place.issue(at, str(refused))]) from None  # the rest could only seem wrong
    entry = tree.entries[KEY]
    held = ListNode(tuple(items), entry.value.place)
    return tree.with_entry(KEY, Entry(entry.key, held)), registry.with_code(packages)


def with_code_of(recipe: Recipe, registry: Registry, *, holder: Path) -> Registry:
    """The registry in which the components of a checked recipe's plugin files come first, in a process that has not
    read the recipe itself.

    Raises:
        PluginError: the user has not agreed to the code, or it fails.
    """
    held = [each for each in recipe.plugins if not isinstance(each, str)]  # as a checked recipe has them
    codes = [PluginCode(each.file, each.code).checked() for each in held]
    for code in codes:
        check_agreed(code, holder=holder)
        load_code(code)
    return registry.with_code([code.package for code in codes]) if codes else registry


def code_values(package: str) -> dict[str, str] | None:
    """A plugin file that this process has run, as a resolved recipe holds it; None where the package is no file's."""
    loaded = found(package)
    return None if loaded is None else _values(loaded[0])


def _held(item: Node, at: At, findings: Findings) -> PluginCode | None:
    """The code in a resolved recipe; None, with a finding, where it is not as it was written."""
    value: Any = plain(item)
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("file", "code", "sha256")):
        findings.add(item.place.issue(at, "plugins: name a file of Python, such as ./my_head.py"))
        return None
    code = PluginCode(value["file"], value["code"]).checked()
    if code.sha256 != value["sha256"]:
        message = f"plugins: the text of {code.file} was changed: its sha256 is {code.sha256}, not {value['sha256']}"
        findings.add(item.place.issue(at, message))
        return None
    return code


def _values(code: PluginCode) -> dict[str, str]:
    return {"file": code.file, "sha256": code.sha256, "code": code.code}


def _node(code: PluginCode, place: Place) -> MapNode:
    return MapNode({key: Entry(place, ScalarNode(text, text, place)) for key, text in _values(code).items()}, place)
