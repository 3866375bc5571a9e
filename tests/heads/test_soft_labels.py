"""Targets spread by overlap with the answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qakit_heads.band import possible_spans
from qakit_heads.soft_labels import overlap, soft_boundaries, soft_span_weights


def mask(text: str) -> torch.Tensor:
    """(1, T) bool: ``c`` is context."""
    return torch.tensor([[character == "c" for character in text]])


def at(position: int) -> torch.Tensor:
    return torch.tensor([position])


def jaccard(first: int, last: int, answer: tuple[int, int]) -> float:
    """As sets, by the definition."""
    span, gold = set(range(first, last + 1)), set(range(answer[0], answer[1] + 1))
    return len(span & gold) / len(span | gold)


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_overlap_is_the_jaccard_index_of_two_sets(places: tuple[int, int, int, int]) -> None:
    first, last, gold_first, gold_length = places
    answer = (gold_first, gold_first + gold_length)
    found = overlap(at(first), at(last), at(answer[0]), at(answer[1])).item()
    assert found == pytest.approx(jaccard(first, last, answer) if first <= last else 0.0)


def test_boundaries_by_hand() -> None:
    """Answer 4 to 6 in a context of 3 to 8."""
    starts, ends = soft_boundaries(at(4), at(6), mask("-q-cccccc-"), sharpness=1.0)
    # [3, 6]: 3 of 4 tokens; [4, 6]: all; [5, 6]: 2 of 3; [6, 6]: 1 of 3.
    weights = torch.tensor([0, 0, 0, 3 / 4, 1, 2 / 3, 1 / 3, 0, 0, 0])
    torch.testing.assert_close(starts[0], weights / weights.sum())
    # [4, 4]: 1 of 3; [4, 5]: 2 of 3; [4, 6]: all; [4, 7]: 3 of 4; [4, 8]: 3 of 5.
    weights = torch.tensor([0, 0, 0, 0, 1 / 3, 2 / 3, 1, 3 / 4, 3 / 5, 0])
    torch.testing.assert_close(ends[0], weights / weights.sum())


def test_sharpness_is_a_power() -> None:
    starts, _ = soft_boundaries(at(4), at(6), mask("-q-cccccc-"), sharpness=2.0)
    weights = torch.tensor([0, 0, 0, 9 / 16, 1, 4 / 9, 1 / 9, 0, 0, 0])
    torch.testing.assert_close(starts[0], weights / weights.sum())
    hard, _ = soft_boundaries(at(4), at(6), mask("-q-cccccc-"), sharpness=1000.0)
    torch.testing.assert_close(hard[0], torch.eye(10)[4])


def test_boundaries_stay_in_the_answers_own_context() -> None:
    starts, ends = soft_boundaries(at(5), at(6), mask("-q-c-ccc-cc-"), sharpness=1.0)
    assert starts[0].nonzero().flatten().tolist() == [5, 6]
    assert ends[0].nonzero().flatten().tolist() == [5, 6, 7]


def test_a_window_without_the_answer_keeps_its_target() -> None:
    for target in soft_boundaries(at(0), at(0), mask("-q-ccc-"), sharpness=4.0):
        torch.testing.assert_close(target[0], torch.eye(7)[0])


def test_spans_by_hand() -> None:
    possible = possible_spans(mask("-ccc-c-"), 2)
    weights = soft_span_weights(at(2), at(3), possible, sharpness=2.0)
    expected = torch.zeros(7, 2)
    expected[1, 1] = (1 / 3) ** 2  # [1, 2]
    expected[2, 0] = expected[3, 0] = (1 / 2) ** 2
    expected[2, 1] = 1.0
    torch.testing.assert_close(weights[0], expected)
    assert soft_span_weights(at(0), at(0), possible, sharpness=2.0).count_nonzero() == 0
