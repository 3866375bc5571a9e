"""The contract of ensemblers that combine predictions; that of their pools is in :mod:`qakit.testing.pools`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qakit.components import Component, Settings
from qakit.errors import UsageError
from qakit.protocols import NoRuntime, PoolsMembers
from qakit.testing.answers import ANSWERS
from qakit.testing.components import build_checked, running, type_name
from qakit.testing.member_answers import UNSURE, confident, label_predictions, span_predictions
from qakit.testing.outcomes import check_answers, check_predictions
from qakit.testing.pools import check_pool
from qakit.values import Prediction


def check_ensembler(
    component: Component[Any, Any, Any], settings: Settings, *, labels: Sequence[str | float] = ()
) -> None:
    """Members' predictions become one per question, in the first member's order; one member alone keeps its answers.

    Members who are many and surer win over one. An ensembler that pools members is asked for several weights: all of it
    for one member, a mixture, and what a member of weight 0 changes. What it learns must be the same each time, and
    come from the questions that it is given alone. One that reads character scores is looked at in its pool alone.

    Args:
        component: the ensembler.
        settings: its settings.
        labels: classes or numbers (different ones), for an ensembler of those.

    Raises:
        AssertionError: with the reason.
    """
    ensembler = build_checked("ensemblers", component, settings, NoRuntime())
    if callable(getattr(ensembler, "pool", None)):
        for name in ("reads_characters", "decodes"):
            assert hasattr(ensembler, name), f"an ensembler with a pool must say `{name}`: true or false"
            value = getattr(ensembler, name)
            assert isinstance(value, bool), f"{name} is {type_name(value)}, not bool"
    if isinstance(ensembler, PoolsMembers):
        check_pool(ensembler, component.name, labels=labels)
    if isinstance(ensembler, PoolsMembers) and ensembler.reads_characters:
        with running("combine without character scores", passing=UsageError):
            _refused_or_made(ensembler, span_predictions(confident(ANSWERS)))
        return
    first, second, surer = (
        _said(labels, moved=moved, sure=sure) for moved, sure in ((0, False), (1, False), (1, True))
    )
    backwards = list(reversed(first))
    result = _combine(ensembler, first, backwards, first)
    assert [each.id for each in result] == [each.id for each in first], "ids must be the first member's, in its order"
    assert _combine(ensembler, first, backwards, first) == result, "the same members give another result"
    check_answers(result, first, "members that agree must keep their answers")
    check_answers(_combine(ensembler, first), first, "one member alone must keep its answers")
    won = _combine(ensembler, first, surer, surer)
    check_answers(won, second, "two surer members that agree must win over the first", against=first)


def _said(labels: Sequence[str | float], *, moved: int, sure: bool) -> list[Prediction]:
    share = {} if sure else {"share": UNSURE}
    if labels:
        return label_predictions([*labels[moved:], *labels[:moved]], **share)
    return span_predictions(confident([*ANSWERS[moved:], *ANSWERS[:moved]], **share))


def _combine(ensembler: Any, *members: list[Prediction]) -> list[Prediction]:
    with running("combine"):
        result = ensembler.combine(list(members))
    return check_predictions(result, members[0], "combine")


def _refused_or_made(ensembler: Any, members: list[Prediction]) -> None:
    try:
        check_predictions(ensembler.combine([members, members]), members, "combine")
    except UsageError:
        return
