"""The plugins that a run was trained with, and those that are installed now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qakit.components import Kind, singular
from qakit.entry_points import GROUP
from qakit.errors import PluginError
from qakit.recipe.model import Recipe, plugin_kind
from qakit.registry import Entry, Registry, load_registry

_WRITTEN = re.compile(r"(?P<name>\S+) of (?P<package>[^\s:]+):\S+ (?P<version>\S+)")


@dataclass(frozen=True, slots=True)
class Needed:
    """One plugin's component in a run's recipe."""

    kind: Kind
    name: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version} (the {singular(self.kind)} {self.name!r})"

    def installed(self, registry: Registry) -> str | None:
        """Package and version that offer it now; None where there is no such component."""
        try:
            entry = registry.get(self.kind, self.name)
        except PluginError:
            return None
        return f"{entry.package} {entry.version}"


def plugins_of(recipe: Recipe, registry: Registry) -> dict[str, str]:
    """Which plugin, of which version, stands behind each block of the recipe: what meta.json says of them."""
    return {
        place: f"{name} of {entry.plugin} {entry.version}"
        for place, (name, entry) in _entries(recipe, registry).items()
    }


def _entries(recipe: Recipe, registry: Registry) -> dict[str, tuple[str, Entry]]:
    blocks = {
        "data.reader": recipe.data.reader,
        "preprocess.train": recipe.preprocess.train,
        "preprocess.predict": recipe.preprocess.predict,
        "adapter": recipe.adapter,
        "head": recipe.head,
        "metric": recipe.metric,
        "writer": recipe.writer,
    } | {f"postprocess.{index}": ref for index, ref in enumerate(recipe.postprocess)}
    if recipe.backbone.architecture is not None:
        blocks["backbone.architecture"] = recipe.backbone.architecture
    found = {}
    for place, ref in blocks.items():
        kind = plugin_kind(tuple(place.split(".")))
        assert kind is not None
        found[place] = ref.name, registry.get(kind, ref.name)
    return found


def settings_versions(recipe: Recipe, registry: Registry) -> dict[str, int]:
    """Of which version each plugin's settings are, by place, where that is not the first: for meta.json."""
    return {
        place: entry.component.version
        for place, (_, entry) in _entries(recipe, registry).items()
        if entry.component.version > 1
    }


def needed_by(meta: dict[str, Any]) -> Iterator[Needed]:
    """The components of plugins that are not qakit's own, as a run's meta.json names them."""
    for place, text in (meta.get("plugins") or {}).items():
        kind, written = plugin_kind(tuple(str(place).split("."))), _WRITTEN.fullmatch(str(text))
        if kind is not None and written is not None and written["package"] != GROUP:
            yield Needed(kind, written["name"], written["package"], written["version"])


def lacking(meta: dict[str, Any]) -> str:
    """What a run needs and is not installed, for a message; empty for nothing."""
    registry = load_registry()
    found = dict.fromkeys(str(each) for each in needed_by(meta) if each.installed(registry) is None)
    return ", ".join(found)


def other_versions(meta: dict[str, Any], registry: Registry) -> Iterator[str]:
    """What another package or version offers than a run was trained with, for a notice each."""
    for each in dict.fromkeys(needed_by(meta)):
        now = each.installed(registry)
        if now not in (None, f"{each.package} {each.version}"):
            yield f"trained with {each}; installed is {now}"
