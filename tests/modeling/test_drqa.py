"""``drqa``, the backbone that trains without pretrained weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import BackboneRuntime, UsageError
from qakit.testing import check_backbone, check_component
from qakit_backbones import DRQA, DrqaSettings
from qakit_backbones.drqa import Drqa, match_lengths

SMALL = DrqaSettings(embedding=5, width=3, layers=1, longest_match=1, dropout=0.0)


def test_the_component_is_declared_well() -> None:
    check_component("backbones", DRQA)


@pytest.mark.parametrize("settings", [SMALL, DrqaSettings(embedding=8, width=4)])
def test_it_keeps_the_contract(settings: DrqaSettings) -> None:
    check_backbone(DRQA, settings)


def test_a_tokenizer_that_does_not_tell_question_and_context_apart_is_refused() -> None:
    ids = torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"token_type_ids.*backbone\.tokenizer"):
        Drqa(SMALL, BackboneRuntime(10, 0))(ids, torch.ones_like(ids))


def longest_common_run(context: list[int], at: int, question: list[int]) -> int:
    """Of the runs of ``context`` that hold ``at``, the length of the longest that stands in ``question``."""
    places = range(len(question))
    return max(
        (
            stop - start
            for start in range(at + 1)
            for stop in range(at + 1, len(context) + 1)
            if any(question[place : place + stop - start] == context[start:stop] for place in places)
        ),
        default=0,
    )


tokens = st.lists(st.integers(1, 3), min_size=1, max_size=8)


@given(tokens, tokens, st.integers(1, 5))
def test_a_match_is_as_long_as_the_longest_run_that_the_question_has_too(
    question: list[int], context: list[int], longest: int
) -> None:
    ids, asks = torch.tensor([[*question, 9, *context]]), torch.ones(1, len(question), dtype=torch.bool)
    found = match_lengths(ids, asks, longest)[0, len(question) + 1 :]
    assert found.tolist() == [min(longest, longest_common_run(context, at, question)) for at in range(len(context))]


def test_the_padding_of_a_shorter_question_matches_nothing() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 2, 1]])
    asks = torch.tensor([[True, True, False], [True, False, False]])
    assert match_lengths(ids, asks, 4).tolist() == [[2, 2, 0, 0], [1, 0, 0, 1]]
