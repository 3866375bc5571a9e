"""A search space: what Optuna draws, and the recipe values that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qakit.recipe.nodes import ListNode, Node, Place, ScalarNode, dotted, find, plain
from qakit.recipe.overrides import Setting
from qakit.study.labels import distinct, join, value_label
from qakit.study.load import LoadedStudy
from qakit.study.model import SpaceSection

AT = ("search", "space")


def distributions(loaded: LoadedStudy) -> dict[str, Any]:
    """Optuna's distribution of each key. A choice is drawn by the label of its value: Optuna keeps no blocks."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def of(key: str, space: SpaceSection) -> Any:
        if space.uniform is not None:
            return FloatDistribution(*space.uniform)
        if space.log is not None:
            return FloatDistribution(*space.log, log=True)
        if space.integer is not None:
            return IntDistribution(*space.integer)
        if space.log_integer is not None:
            return IntDistribution(*space.log_integer, log=True)
        return CategoricalDistribution(list(_choices(loaded, key)))

    return {key: of(key, space) for key, space in _space(loaded).items()}


def sampled(loaded: LoadedStudy, params: Mapping[str, Any]) -> tuple[str, list[Setting]]:
    """A label and the recipe values that stand for what Optuna drew."""
    settings = []
    for setting in loaded.settings(*AT):
        key = dotted(setting.at)
        choices = _choices(loaded, key)
        value = choices[params[key]] if choices else _number(params[key], setting.key)
        settings.append(Setting(setting.at, setting.key, value))
    return join(value_label(dotted(each.at), plain(each.value)) for each in settings), settings


def corners(loaded: LoadedStudy) -> Iterator[list[Setting]]:
    """Settings that together hold every end of every range and every choice, to be checked before anything is drawn."""
    axes = [[Setting(each.at, each.key, node) for node in _ends(loaded, each)] for each in loaded.settings(*AT)]
    for index in range(max(map(len, axes))):
        yield [axis[min(index, len(axis) - 1)] for axis in axes]


def _ends(loaded: LoadedStudy, setting: Setting) -> list[Node]:
    key = dotted(setting.at)
    space = _space(loaded)[key]
    ends = space.uniform or space.log or space.integer or space.log_integer
    return [_number(end, setting.key) for end in ends] if ends else list(_choices(loaded, key).values())


def _space(loaded: LoadedStudy) -> dict[str, SpaceSection]:
    assert loaded.study.search is not None
    return loaded.study.search.space


def _choices(loaded: LoadedStudy, key: str) -> dict[str, Node]:
    """The values to choose from by their labels; empty for a range."""
    node = find(loaded.tree, (*AT, key, "choice"))
    items = node.items if isinstance(node, ListNode) else ()
    return dict(zip(distinct([value_label(key, plain(item)) for item in items]), items, strict=True))


def _number(value: float, place: Place) -> ScalarNode:
    return ScalarNode(value, repr(value), place)
