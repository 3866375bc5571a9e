"""A search space: what Optuna draws, and the recipe values that it stands for. Names of values, rows and trials."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qakit.errors import UsageError
from qakit.recipe.dump import yaml_flow
from qakit.recipe.nodes import ListNode, Node, Place, ScalarNode, dotted, find, plain
from qakit.recipe.overrides import Setting
from qakit.study.load import LoadedStudy
from qakit.study.model import SpaceSection

LONGEST = 60
"""Characters of a label."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def value_label(key: str, value: Any) -> str:
    """A recipe value in a word: ``lora-rank8`` for a block, ``rank8`` for a number, ``bitfit`` for a text.

    ``key`` is the dotted key; its last part stands for what a bare number means.
    """
    last = key.rpartition(".")[2]
    if isinstance(value, dict):
        settings = [value_label(str(name), item) for name, item in value.items() if name != "name"]
        return slug("-".join([str(value["name"]), *settings] if "name" in value else [last, *settings]))
    if isinstance(value, str):
        return slug(value.rstrip("/").rpartition("/")[2] or last)
    if isinstance(value, bool) or value is None:
        return slug(f"{last}-{yaml_flow(value)}")
    if isinstance(value, int | float):
        return slug(last + (f"{value:.4g}" if isinstance(value, float) else str(value)))
    return slug(f"{last}-{yaml_flow(value)}")


def join(parts: Iterable[str]) -> str:
    """Parts of a label, the empty ones left out; a long label is cut, and a digest keeps it apart from others."""
    label = "-".join(part for part in parts if part)
    if len(label) <= LONGEST:
        return label
    return f"{label[: LONGEST - 7]}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def slug(text: str) -> str:
    """The text with everything that a folder's name should not have replaced by ``-``."""
    return join([_UNSAFE.sub("-", text).strip("-.") or "value"])


def distinct(labels: Sequence[str]) -> list[str]:
    """The labels, those that came before marked ``-2``, ``-3`` ...; no two are the same whatever the letters' case."""
    seen: set[str] = set()
    found: list[str] = []
    for label in labels:
        candidate, number = label, 2
        while candidate.lower() in seen:
            candidate, number = f"{label}-{number}", number + 1
        seen.add(candidate.lower())
        found.append(candidate)
    return found


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


def check_same_space(loaded: LoadedStudy, stored: Iterable[tuple[Mapping[str, Any], bool]]) -> None:
    """A search continues in the space that it began in, or in one whose ranges are wider.

    Args:
        loaded: the study, which searches.
        stored: the distributions of each trial of the storage, and whether all its values were drawn.

    Raises:
        UsageError: a trial was drawn from another space.
    """
    now = distributions(loaded)
    for before, whole in stored:
        for key in (*before, *(key for key in now if whole and key not in before)):
            if not _holds(now.get(key), before.get(key)) and (whole or key in now):
                raise UsageError(
                    f"the search space of {loaded.name} has changed: {key} was {_described(before.get(key))} and is "
                    f"now {_described(now.get(key))}; change it back, give the study another name, or another --output"
                )


def _holds(now: Any, before: Any) -> bool:
    """Whether every value of a distribution is one of another, of the same kind; a choice stays as it is."""
    if now is None or type(now) is not type(before):
        return False
    if hasattr(now, "choices"):
        return bool(now == before)
    return bool(now.log == before.log and now.low <= before.low and before.high <= now.high)


def _described(distribution: Any) -> str:
    """As the study's file has it; a choice by the labels of its values."""
    if distribution is None:
        return "not searched"
    if hasattr(distribution, "choices"):
        return yaml_flow({"choice": list(distribution.choices)})
    whole = "Int" in type(distribution).__name__
    name = {(False, False): "uniform", (False, True): "integer", (True, False): "log", (True, True): "log_integer"}
    return yaml_flow({name[distribution.log, whole]: [distribution.low, distribution.high]})


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
