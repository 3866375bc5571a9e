"""The best spans, against trying all of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.errors import ModelError
from qakit.inference import spans
from qakit.inference.spans import best_spans

Place = tuple[float, int, int]


def every_span(
    start: torch.Tensor, end: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor, limit: int
) -> list[Place]:
    """All allowed spans of one window, best first."""
    width = len(start)
    found = [
        (float(start[first] + end[last]), first, last)
        for first in range(width)
        for last in range(first, min(width, first + limit))
        if starts[first] and ends[last]
    ]
    return sorted(found, reverse=True)


def check(
    start: torch.Tensor, end: torch.Tensor, start_mask: torch.Tensor, end_mask: torch.Tensor, *, k: int, limit: int
) -> None:
    first, last, score = best_spans(start, end, start_mask=start_mask, end_mask=end_mask, k=k, max_length=limit)
    assert first.shape == last.shape == score.shape == (len(start), k)
    assert (first.dtype, last.dtype, score.dtype) == (torch.int64, torch.int64, torch.float32)
    for row in range(len(start)):
        expected = every_span(start[row].float(), end[row].float(), start_mask[row], end_mask[row], limit)
        by_place = {(begin, stop): value for value, begin, stop in expected}
        got = list(zip(score[row].tolist(), first[row].tolist(), last[row].tolist(), strict=True))
        used = [place for place in got if place[0] > -torch.inf]
        assert [place[0] for place in used] == [place[0] for place in expected[:k]]
        assert len({place[1:] for place in used}) == len(used)
        assert all(by_place[place[1:]] == place[0] for place in used)
        assert got[len(used) :] == [(-torch.inf, 0, 0)] * (k - len(used))


@st.composite
def windows(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    size, width = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    # Few different values make many ties.
    value = st.integers(-3, 3) if draw(st.booleans()) else st.floats(-1e4, 1e4, width=32)
    cells = size * width

    def numbers() -> torch.Tensor:
        return torch.tensor(draw(st.lists(value, min_size=cells, max_size=cells)), dtype=torch.float32).view(
            size, width
        )

    def mask() -> torch.Tensor:
        return torch.tensor(draw(st.lists(st.booleans(), min_size=cells, max_size=cells))).view(size, width)

    return numbers(), numbers(), mask(), mask()


@given(windows(), st.integers(1, 30), st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_equal_to_trying_every_span(
    window: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], k: int, limit: int
) -> None:
    check(*window, k=k, limit=limit)


@pytest.mark.parametrize(("k", "limit"), [(1, 1), (20, 30), (5, 384), (1000, 3)])
def test_windows_of_real_size(k: int, limit: int) -> None:
    generator = torch.Generator().manual_seed(k)
    start, end = torch.randn(2, 3, 80, generator=generator) * 5
    mask = torch.arange(80) >= torch.tensor([[10], [40], [79]])
    check(start, end, mask, mask, k=k, limit=limit)


def test_one_position() -> None:
    one = torch.ones(1, 1)
    check(one, one, one.bool(), one.bool(), k=3, limit=5)


def test_nothing_allowed_leaves_every_place_unused() -> None:
    scores, mask = torch.ones(2, 6), torch.zeros(2, 6, dtype=torch.bool)
    check(scores, scores, mask, ~mask, k=2, limit=3)
    check(scores, scores, ~mask, mask, k=2, limit=3)


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 17, 30, generator=generator)
    mask = torch.rand(17, 30, generator=generator) > 0.3
    whole = best_spans(start, end, start_mask=mask, end_mask=mask, k=4, max_length=6)
    monkeypatch.setattr(spans, "CHUNK_SCORES", 200)
    parts = best_spans(start, end, start_mask=mask, end_mask=mask, k=4, max_length=6)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_no_windows() -> None:
    empty = torch.zeros(0, 5)
    first, last, score = best_spans(empty, empty, start_mask=empty.bool(), end_mask=empty.bool(), k=3, max_length=2)
    assert first.shape == last.shape == score.shape == (0, 3)


def test_half_precision_is_added_in_float32() -> None:
    start = torch.tensor([[256.0, 0.0]], dtype=torch.bfloat16)
    end = torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16)  # 257 is not a bfloat16
    mask = torch.ones(1, 2, dtype=torch.bool)
    first, last, score = best_spans(start, end, start_mask=mask, end_mask=mask, k=1, max_length=2)
    assert (first.item(), last.item(), score.item()) == (0, 1, 257.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("place", [1, 2, 4])
def test_broken_scores_are_an_error(bad: float, which: int, place: int) -> None:
    scores = torch.randn(2, 3, 6)
    scores[which, 1, place] = bad
    mask = torch.tensor([False, True, True, True, True, False]).repeat(3, 1)
    with pytest.raises(ModelError, match="the model produced NaN scores"):
        best_spans(scores[0], scores[1], start_mask=mask, end_mask=mask, k=2, max_length=2)


def test_what_stands_outside_the_masks_does_not_matter() -> None:
    scores = torch.zeros(1, 4)
    broken = torch.tensor([[torch.nan, 0.0, 0.0, torch.inf]])
    mask = torch.tensor([[False, True, True, False]])
    expected = best_spans(scores, scores, start_mask=mask, end_mask=mask, k=2, max_length=2)
    got = best_spans(broken, broken, start_mask=mask, end_mask=mask, k=2, max_length=2)
    assert torch.equal(got[2], expected[2])


@pytest.mark.parametrize(("k", "limit"), [(0, 1), (1, 0)])
def test_nothing_wanted_is_a_mistake(k: int, limit: int) -> None:
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match="must be positive"):
        best_spans(one, one, start_mask=one.bool(), end_mask=one.bool(), k=k, max_length=limit)


def test_single_positions_may_have_scores_of_their_own() -> None:
    generator = torch.Generator().manual_seed(2)
    start, end, single = (torch.randn(5, 9, generator=generator) for _ in range(3))
    start_mask, end_mask = (torch.rand(5, 9, generator=generator) < 0.7 for _ in range(2))
    for k, limit in ((1, 1), (4, 1), (6, 3), (60, 20)):
        first, last, score = best_spans(
            start, end, start_mask=start_mask, end_mask=end_mask, k=k, max_length=limit, single=single
        )
        for row in range(5):
            expected = sorted(
                (float(single[row, i]) if i == j else value, i, j)
                for value, i, j in every_span(start[row], end[row], start_mask[row], end_mask[row], limit)
            )[::-1][:k]
            got = list(zip(score[row].tolist(), first[row].tolist(), last[row].tolist(), strict=True))
            assert got == expected + [(-torch.inf, 0, 0)] * (k - len(expected))


def test_a_broken_score_of_a_single_position_is_an_error() -> None:
    zeros, everywhere = torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)
    single = zeros.clone()
    single[1, 3] = torch.nan
    for limit in (1, 3):
        with pytest.raises(ModelError, match="NaN"):
            best_spans(zeros, zeros, start_mask=everywhere, end_mask=everywhere, k=2, max_length=limit, single=single)


def test_float64_scores_are_compared_in_float64() -> None:
    """Large terms that cancel: in float32 both spans would score 0."""
    start = torch.tensor([[1e9, 1e9 + 0.25, 0.0]], dtype=torch.float64)
    end = torch.tensor([[0.0, 0.0, -1e9]], dtype=torch.float64)
    starts, ends = torch.tensor([[True, True, False]]), torch.tensor([[False, False, True]])
    first, last, score = best_spans(start, end, start_mask=starts, end_mask=ends, k=2, max_length=3)
    assert (first.tolist(), last.tolist(), score.tolist()) == ([[1, 0]], [[2, 2]], [[0.25, 0.0]])
    assert score.dtype == torch.float32
