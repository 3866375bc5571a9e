"""What differs between recipes, and which of them differ only in their seed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qakit.recipe.dump import recipe_data, yaml_flow
from qakit.recipe.model import PLUGIN_FIELDS, Recipe

NOT_COMPUTED = ("name", "description", "about", "baselines", "observers", "plugins")
"""Keys that say something about a run and do not change what it computes; of a plugin file's code, the names of its
components tell the hash."""


def differing_keys(recipes: Sequence[Recipe]) -> list[dict[str, str]]:
    """For each recipe, the keys whose values are not the same in all of them: dotted key -> value as YAML.

    A plugin's name stands under its block's key (``head: crf``). Its settings are compared with those of other recipes
    that have the same setting; that another plugin lacks it says nothing that the name does not. Nor does the hash of
    another backbone.
    """
    flat = [dict(_leaves(recipe_data(recipe))) for recipe in recipes]
    keys = dict.fromkeys(key for leaves in flat for key in leaves if key.partition(".")[0] not in NOT_COMPUTED)
    differing = [key for key in keys if _differs(key, [leaves.get(key) for leaves in flat])]
    if "backbone.source" in differing and "backbone.sha256" in differing:
        differing.remove("backbone.sha256")
    return [{key: leaves[key] for key in differing if key in leaves} for leaves in flat]


def changed_values(recipes: Sequence[Recipe | None]) -> list[dict[str, str]]:
    """For each recipe, its values that the first one of the same name has otherwise: dotted key -> value as YAML."""
    first: dict[str | None, Recipe] = {}
    found = []
    for recipe in recipes:
        base = recipe and first.setdefault(recipe.name, recipe)
        found.append({} if recipe is None or base is None else differing_keys([base, recipe])[1])
    return found


def unusual(differing: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Of :func:`differing_keys`, without the values that more than half of the recipes have."""
    counts = Counter(item for each in differing for item in each.items())
    return [
        {key: value for key, value in each.items() if 2 * counts[key, value] <= len(differing)} for each in differing
    ]


def seeds_apart(recipes: Sequence[Recipe]) -> list[list[int]]:
    """Groups of recipes (by index, in order) that differ at most in ``seed`` and :data:`NOT_COMPUTED`."""
    groups: dict[str, list[int]] = {}
    for index, recipe in enumerate(recipes):
        groups.setdefault(_without(recipe, *NOT_COMPUTED, "seed"), []).append(index)
    return list(groups.values())


def same_run(first: Recipe, second: Recipe) -> bool:
    """Whether two recipes compute the same: they differ at most in :data:`NOT_COMPUTED`."""
    return _without(first, *NOT_COMPUTED) == _without(second, *NOT_COMPUTED)


def _without(recipe: Recipe, *keys: str) -> str:
    return json.dumps({key: value for key, value in recipe_data(recipe).items() if key not in keys}, sort_keys=True)


def _differs(key: str, values: Sequence[str | None]) -> bool:
    if any(key.startswith(f"{block}.") for block in PLUGIN_FIELDS):
        values = [value for value in values if value is not None]
    return len(set(values)) > 1


def _leaves(data: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        key = f"{place}.{name}" if place else name
        if isinstance(value, dict) and value:
            yield from _leaves(value, key)
        else:
            yield (place if name == "name" and place in PLUGIN_FIELDS else key), yaml_flow(value)
