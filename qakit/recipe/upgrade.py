"""Settings of plugins that a run has from older versions, as the installed ones want them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qakit.attribution import calling
from qakit.errors import PluginError, PluginFaultError
from qakit.recipe.check import plugin_blocks
from qakit.recipe.nodes import Findings, MapNode, Source, dotted, plain, replace_at
from qakit.recipe.syntax import parse
from qakit.registry import Entry, Registry
from qakit.returned import settings as settings_fault


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
