"""A method with its weights: what is refused at once, and who takes part in ensemblers that only combine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qakit.components import Component, Kind, NoSettings, Settings
from qakit.discovery import Discovery, LoadedPlugin
from qakit.ensembling.load import as_shares
from qakit.ensembling.method import Method
from qakit.entry_points import PluginOrigin
from qakit.errors import UsageError
from qakit.protocols import EnsembleMember
from qakit.registry import Registry, load_registry
from qakit.values import Prediction, SpanPrediction
from qakit_ensemble import alignment

UNUSABLE = [(-1.0, 2.0), (-1.0, 1.0), (0.0, 0.0), (math.nan, 1.0), (math.inf, 1.0)]


class OwnWeights(Settings):
    weights: tuple[float, ...] | None = None


class Joins:
    """Answers with all members' answers, and with its weights."""

    def __init__(self, settings: Settings) -> None:
        self.weights = getattr(settings, "weights", None)

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        answers = "".join(each.final for (each,) in members)
        return [SpanPrediction("q", f"{answers} {len(self.weights or members)}")]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """With two ensemblers that only combine."""
    components: tuple[tuple[Kind, Component[Any, Any, Any]], ...] = tuple(
        ("ensemblers", Component(name=name, summary="Joins", settings=model, build=lambda settings, _: Joins(settings)))
        for name, model in (("joins", OwnWeights), ("plain", NoSettings))
    )
    loaded = LoadedPlugin(PluginOrigin("other:x", "other", "1.0"), components)
    return Registry(Discovery((loaded,), (), (), ()))


def combined(method: Method, weights: Sequence[float]) -> str:
    members = [EnsembleMember(name, [SpanPrediction("q", name)]) for name in "abc"]
    (found,) = method.pool(members, None).combine(weights, [1.0] * 3, n_best=1)
    return found.final


@pytest.mark.parametrize("given", ["option", "setting"])
def test_who_has_weights_of_its_own_gets_all_members(registry: Registry, given: str) -> None:
    weights = (0.0, 1.0, 3.0)
    if given == "option":
        method = Method.of("joins", {}, weights, 3, registry)
    else:
        method = Method.of("joins", {"weights": weights}, None, 3, registry)
    assert method.weights == (0, 0.25, 0.75)
    assert combined(method, method.weights) == "abc 3"


def test_who_has_none_gets_those_above_zero(registry: Registry) -> None:
    for name in ("joins", "plain"):
        method = Method.of(name, {}, None, 3, registry)
        assert method.leaves_out
        assert combined(method, (0.0, 0.5, 0.5)) == "bc 2"
    with pytest.raises(UsageError, match="'plain' has no weights"):
        Method.of("plain", {}, (1.0, 2.0, 1.0), 3, registry)


@pytest.mark.parametrize("weights", UNUSABLE)
@pytest.mark.parametrize("name", ["voting", "nbest", "mean", "char_average"])
def test_unusable_weights_are_refused_before_anything_is_read(name: str, weights: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="weights must be numbers from 0 up, at least one above 0"):
        Method.of(name, {}, weights, 2, load_registry())


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.1, 2.0, 1e308, math.inf, math.nan]), max_size=4))
@example([1e308, 1e308])
def test_shares_sum_to_one_and_what_gives_none_is_refused(weights: list[float]) -> None:
    try:
        found = as_shares(weights)
    except ValueError as error:
        with pytest.raises(UsageError, match=str(error)):
            alignment.usable_weights(weights, len(weights))
        return
    assert found == alignment.usable_weights(weights, len(weights))
    assert math.fsum(found) == pytest.approx(1)
    assert min(found) >= 0
