"""Single answers in the BIO chain, against trying all of them."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qakit.api import ModelError
from qakit_heads.chain import TAGS, Transitions, log_partition, path_score, tags_of
from qakit_heads.chain_spans import (
    best_chain_spans,
    chain_position_scores,
    log_partition_of_spans,
    score_of_spans,
    span_scores,
)
from qakit_heads.windowed import windowed_logsumexp

Span = tuple[int, int]


class Case:
    """Random windows with gaps; position 0 is never context, and a window may have no context at all."""

    def __init__(self, seed: int, width: int, *, size: int = 3, scale: float = 3.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.transitions = Transitions(
            *(
                torch.randn(shape, generator=generator, dtype=torch.float64)
                for shape in ((TAGS, TAGS), (TAGS,), (TAGS,))
            )
        )
        self.emissions = scale * torch.randn(size, width, TAGS, generator=generator, dtype=torch.float64)
        self.mask = torch.rand(size, width, generator=generator) < 0.8
        self.mask[:, 0] = False
        self.start_mask = self.mask & (torch.rand(size, width, generator=generator) < 0.7)
        self.scores = span_scores(self.emissions, self.transitions, self.mask)

    def spans(self, row: int, *, longest: int = 10**6) -> dict[Span, Tensor]:
        """Every span within one context of a window, with its score as the sum over its path."""
        width = self.mask.shape[1]
        spans = [
            (first, last)
            for first, last in itertools.combinations_with_replacement(range(width), 2)
            if self.mask[row, first : last + 1].all() and last - first < longest
        ]
        if not spans:
            return {}
        count = len(spans)
        first, last = torch.tensor(spans).T
        repeated = self.emissions[row].expand(count, -1, -1), self.transitions, self.mask[row].expand(count, -1)
        return dict(zip(spans, path_score(*repeated, tags_of([(first, last)], repeated[2])), strict=True))

    def best(self, k: int, longest: int) -> tuple[Tensor, Tensor, Tensor]:
        return best_chain_spans(
            self.emissions, self.transitions, mask=self.mask, start_mask=self.start_mask, k=k, max_length=longest
        )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 9))
def test_scores_add_up(seed: int, width: int) -> None:
    case = Case(seed, width)
    for row in range(3):
        for (first, last), value in case.spans(row).items():
            at = torch.zeros(3, dtype=torch.int64)
            begin, end = at.clone(), at.clone()
            begin[row], end[row] = first, last
            assert score_of_spans(case.scores, begin, end).tolist() == pytest.approx(
                [value.item() if here == row else 0.0 for here in range(3)], abs=1e-6
            )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 9))
def test_the_partition_over_spans_is_their_sum(seed: int, width: int) -> None:
    case = Case(seed, width)
    total = log_partition_of_spans(case.scores)
    for row in range(3):
        every = torch.tensor([0.0, *case.spans(row).values()], dtype=torch.float64)
        assert total[row].item() == pytest.approx(every.logsumexp(0).item(), abs=1e-6)
    assert (total <= log_partition(case.emissions, case.transitions, case.mask) + 1e-6).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 9))
def test_the_partition_over_spans_has_the_gradients_of_their_sum(seed: int, width: int) -> None:
    case = Case(seed, width)
    parts = (case.transitions.between, case.transitions.start, case.transitions.end)
    inputs = [each.requires_grad_() for each in (case.emissions, *parts)]
    every = [torch.stack([torch.zeros_like(case.emissions.sum()), *case.spans(row).values()]) for row in range(3)]
    wanted = torch.stack([scores.logsumexp(0) for scores in every]).sum()
    scores = span_scores(case.emissions, case.transitions, case.mask)
    got = torch.autograd.grad(log_partition_of_spans(scores).sum(), inputs)
    expected = torch.autograd.grad(wanted + 0.0 * case.emissions.sum(), inputs, materialize_grads=True)
    for gradient, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 30), st.integers(1, 13))
def test_the_best_spans_are_those_of_trying_all(seed: int, width: int, k: int, longest: int) -> None:
    """Scores and order; masks, gaps, windows without context or without an allowed start, lengths."""
    case = Case(seed, width)
    first, last, score = case.best(k, longest)
    assert first.shape == last.shape == score.shape == (3, k)
    assert score.dtype == torch.float32
    for row in range(3):
        spans = case.spans(row, longest=longest)
        every = {span: value.item() for span, value in spans.items() if case.start_mask[row, span[0]]}
        wanted = sorted(every, key=every.__getitem__, reverse=True)[:k]
        got = list(zip(first[row].tolist(), last[row].tolist(), strict=True))
        assert got == wanted + [(0, 0)] * (k - len(wanted))
        assert score[row].tolist() == pytest.approx(
            [every[span] for span in wanted] + [-torch.inf] * (k - len(wanted)), rel=1e-5, abs=1e-5
        )


def test_large_scores_in_long_windows_lose_nothing() -> None:
    """Running sums reach 8e4 here, where float32 has steps of 1/128; the spans' own scores are small."""
    case = Case(4, 300, size=1, scale=0.01)
    case.emissions[..., 0] += 300.0  # O everywhere but for a stretch at the end
    case.emissions[:, 260:, 0] -= 300.0
    case.mask[:], case.start_mask[:] = True, True
    case.mask[:, 0] = case.start_mask[:, 0] = False
    first, last, score = case.best(20, 30)
    every = {span: value.item() for span, value in case.spans(0, longest=30).items()}
    wanted = sorted(every, key=every.__getitem__, reverse=True)[:20]
    assert list(zip(first[0].tolist(), last[0].tolist(), strict=True)) == wanted
    assert score[0].tolist() == pytest.approx([every[span] for span in wanted], rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 10))
def test_position_scores_are_sums_over_spans(seed: int, width: int, longest: int) -> None:
    case = Case(seed, width)
    start, end = chain_position_scores(case.scores, case.mask, max_length=longest)
    for row in range(3):
        every = case.spans(row, longest=longest)
        for place in range(width):
            for got, side in ((start, 0), (end, 1)):
                through = torch.tensor([value for span, value in every.items() if span[side] == place])
                assert got[row, place].item() == pytest.approx(through.logsumexp(0).item(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("length", range(1, 12))
def test_windowed_logsumexp(length: int) -> None:
    """Also where a large value leaves the window: a difference of running sums would have forgotten the small ones."""
    values = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    values[0, 2] = 1e4
    got = windowed_logsumexp(values, length)
    for place in range(9):
        torch.testing.assert_close(got[:, place], values[:, place : place + length].logsumexp(1))


@pytest.mark.parametrize("length", range(1, 9))
def test_windowed_logsumexp_takes_no_value_from_beyond_a_stop(length: int) -> None:
    values = torch.randn(1, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    stops = torch.tensor([[4] * 4 + [9] * 5])
    got = windowed_logsumexp(values, length, stops=stops)
    for place in range(9):
        expected = values[:, place : min(place + length, int(stops[0, place]))].logsumexp(1)
        torch.testing.assert_close(got[:, place], expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("longest", [1, 4])
@pytest.mark.parametrize("tag", range(TAGS))
def test_broken_emissions_are_an_error_wherever_they_stand_in_the_context(value: float, longest: int, tag: int) -> None:
    case = Case(5, 9)
    case.mask[:, 1:] = True
    case.start_mask[:] = case.mask
    case.start_mask[:, 5:] = False
    case.emissions[1, 8, tag] = value
    with pytest.raises(ModelError, match="NaN"):
        case.best(5, longest)


def test_broken_parameters_are_an_error() -> None:
    case = Case(5, 9)
    case.mask[:, 1:] = case.start_mask[:, 1:] = True
    case.transitions.end[2] = torch.nan
    with pytest.raises(ModelError, match="NaN"):
        case.best(5, 4)


def test_what_stands_outside_the_context_does_not_matter() -> None:
    case = Case(6, 9)
    wanted = case.best(5, 4)
    case.emissions[~case.mask] = torch.nan
    for got, before in zip(case.best(5, 4), wanted, strict=True):
        assert torch.equal(got, before)
