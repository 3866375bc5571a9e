"""The joint span head against the enumeration of all spans."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from qakit.data.batch import Batch, numbered
from qakit.errors import ModelError
from qakit.protocols import HeadRuntime, ScoresPositions, TransformersNames
from qakit.registry import load_registry
from qakit.testing import check_head, made_up_batch
from qakit_heads import JOINT_SPAN, JointSpanSettings, joint_span
from qakit_heads.band import band_products
from qakit_heads.windowed import windowed_logsumexp

K = 6


@dataclass(frozen=True)
class Case:
    """Random windows with one or more contexts, an answer in some, and a length limit."""

    mask: Tensor
    first: Tensor
    last: Tensor
    limit: int
    rank: int
    seed: int

    @property
    def batch(self) -> Batch:
        return windows(self.mask, self.first, self.last)

    @property
    def logits(self) -> Tensor:
        """(B, T, 2 + 2R)"""
        generator = torch.Generator().manual_seed(self.seed)
        return 3 * torch.randn(*self.mask.shape, 2 + 2 * self.rank, generator=generator)


def windows(mask: Tensor, first: Tensor | None = None, last: Tensor | None = None) -> Batch:
    """Each run of the mask is a context."""
    size, width = mask.shape
    opens = mask & ~torch.nn.functional.pad(mask, (1, 0))[:, :-1]
    segment_number = (opens.long().cumsum(1) - 1).where(mask, torch.tensor(-1))
    places = np.arange(max(1, int(segment_number.max()) + 1))
    held = places <= segment_number.max(1).values.clamp(min=0)[:, None].numpy()
    contexts = np.where(held, np.arange(size)[:, None] * len(places) + places, -1)
    ids = torch.ones(size, width, dtype=torch.int64)
    nothing = np.zeros((size, width), np.int64)
    return Batch(
        input_ids=ids,
        attention_mask=ids,
        token_type_ids=None,
        context_mask=mask,
        start_mask=mask,
        segment_number=segment_number,
        target_first=first,
        target_last=last,
        **numbered(np.arange(size), contexts),
        window=np.arange(size),
        token=nothing,
        segment=nothing.astype(np.int32),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    width = draw(st.integers(3, 12))
    rows = draw(st.lists(st.lists(st.booleans(), min_size=width - 1, max_size=width - 1), min_size=1, max_size=3))
    mask = torch.tensor([[False, *row] for row in rows])
    answers = [draw(st.sampled_from([(0, 0), *spans(row, width)])) for row in mask]
    first, last = torch.tensor(answers).unbind(1)
    rank, limit = draw(st.integers(0, 2)), draw(st.integers(1, width + 2))
    return Case(mask, first, last, limit, rank, draw(st.integers(0, 1000)))


def spans(mask: Tensor, limit: int) -> list[tuple[int, int]]:
    """All spans within one context and the limit, by trying each."""
    width = len(mask)
    return [
        (first, last)
        for first in range(width)
        for last in range(first, min(width, first + limit))
        if mask[first : last + 1].all()
    ]


def score(logits: Tensor, first: int, last: int) -> Tensor:
    """Of one span in one window, from (T, 2 + 2R)."""
    left, right = logits[first, 2:].chunk(2)[0], logits[last, 2:].chunk(2)[1]
    common = (left * right).sum() / math.sqrt(len(left)) if len(left) else 0.0
    return logits[first, 0] + logits[last, 1] + common


def head(rank: int = 0, *, limit: int = 4, n_best: int = K, **options: Any) -> Any:
    """A head whose linear layer passes on what it gets: hidden states are its logits."""
    width = 2 + 2 * rank
    runtime = HeadRuntime(
        hidden_size=width, initializer_range=0.02, n_best=n_best, max_answer_length=limit, no_answer=True
    )
    built: Any = JOINT_SPAN.build(JointSpanSettings(interaction=rank, **options), runtime)
    torch.nn.init.eye_(built.features.linear.weight)
    return built


def enumerated_loss(case: Case, logits: Tensor, *, smoothing: float = 0.0, sharpness: float | None = None) -> Tensor:
    """Cross-entropy over the list of "no answer" and every span."""
    losses = []
    for row in range(len(case.mask)):
        answer = (int(case.first[row]), int(case.last[row]))
        options: list[tuple[int, int] | None] = [None, *spans(case.mask[row], case.limit)]
        if answer != (0, 0) and answer not in options:
            options.append(answer)
        scores = torch.stack(
            [logits[row, 0, 0] + logits[row, 0, 1] if each is None else score(logits[row], *each) for each in options]
        )
        target = torch.tensor([float(each == answer or (each is None and answer == (0, 0))) for each in options])
        if sharpness is not None and answer != (0, 0):
            gold = set(range(answer[0], answer[1] + 1))
            sets = [set(range(each[0], each[1] + 1)) if each else set() for each in options]
            target = torch.tensor([(len(each & gold) / len(each | gold)) ** sharpness for each in sets])
            target = target / target.sum()
        target = (1 - smoothing) * target + smoothing / len(options)
        losses.append(-(target.double() * scores.log_softmax(0)).sum())
    return torch.stack(losses).mean()


# --------------------------------------------------------------------------------------------------------------- loss
@pytest.mark.parametrize(
    ("options", "enumerated"),
    [
        ({}, {}),
        ({"label_smoothing": 0.2}, {"smoothing": 0.2}),
        ({"soft_labels": "jaccard", "soft_label_sharpness": 1.5}, {"sharpness": 1.5}),
        (
            {"label_smoothing": 0.1, "soft_labels": "jaccard", "soft_label_sharpness": 3.0},
            {"smoothing": 0.1, "sharpness": 3.0},
        ),
    ],
    ids=["plain", "smoothing", "jaccard", "both"],
)
@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_loss_and_gradient_are_those_of_the_enumeration(options: Any, enumerated: Any, case: Case) -> None:
    ours = case.logits.requires_grad_()
    loss = head(case.rank, limit=case.limit, **options)(ours, case.batch).loss
    loss.backward()
    theirs = case.logits.double().requires_grad_()
    expected = enumerated_loss(case, theirs, **enumerated)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-4)


@given(values=st.lists(st.floats(-30, 30), min_size=1, max_size=40), length=st.integers(1, 45))
@settings(deadline=None)
def test_windowed_logsumexp_is_that_of_each_window(values: list[float], length: int) -> None:
    row = torch.tensor(values)
    found = windowed_logsumexp(row[None], length, stops=torch.full((1, len(values)), len(values)))[0]
    expected = torch.stack([row[at : at + length].logsumexp(0) for at in range(len(values))])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 3])
def test_an_answer_beyond_the_limit_is_one_more_span(rank: int) -> None:
    """So its loss cannot fall below 0, and it can be learnt."""
    mask = torch.tensor([[False] + [True] * 8])
    batch = windows(mask, torch.tensor([2]), torch.tensor([7]))
    built = head(rank, limit=3)
    logits = torch.randn(1, 9, 2 + 2 * rank, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimiser = torch.optim.SGD([logits], lr=1.0)
    losses = []
    for _ in range(200):
        optimiser.zero_grad()
        loss = built(logits, batch).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert 0 <= losses[-1] < 0.1 < losses[0]


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_scores_of_any_size_give_finite_gradients(rank: int, size: float) -> None:
    batch = made_up_batch()
    logits = (torch.randn(4, 14, 2 + 2 * rank, generator=torch.Generator().manual_seed(1)) + size).requires_grad_()
    loss = head(rank, label_smoothing=0.1, soft_labels="jaccard")(logits, batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_scores_outside_the_context_do_not_matter_to_the_loss() -> None:
    batch, built = made_up_batch(), head(2)
    logits = torch.randn(4, 14, 6, generator=torch.Generator().manual_seed(1))
    outside = ~batch.context_mask
    outside[:, 0] = False
    disturbed = torch.where(outside[..., None], 50.0, logits)
    torch.testing.assert_close(built(disturbed, batch).loss, built(logits, batch).loss)


# ----------------------------------------------------------------------------------------------------------- decoding
@given(case=cases(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_decodes_what_trying_every_span_finds(case: Case, data: st.DataObject) -> None:
    starts = case.mask & torch.tensor(
        [[data.draw(st.booleans()) for _ in range(case.mask.shape[1])] for _ in range(len(case.mask))]
    )
    built, batch = head(case.rank, limit=case.limit), replace(case.batch, start_mask=starts)
    decoded = built.decode(built(case.logits, batch).scores, batch)
    for row in range(len(case.mask)):
        allowed = [span for span in spans(case.mask[row], case.limit) if starts[row, span[0]]]
        scores = {span: score(case.logits[row], *span).item() for span in allowed}
        best = sorted(scores, key=lambda span: -scores[span])[:K]
        used = decoded.score[row] > -torch.inf
        found = list(zip(decoded.first[row, used].tolist(), decoded.last[row, used].tolist(), strict=True))
        assert found == best
        assert decoded.score[row, used].tolist() == pytest.approx([scores[span] for span in best], abs=1e-4)
        assert not decoded.first[row, ~used].any()
    torch.testing.assert_close(decoded.null, case.logits[:, 0, 0] + case.logits[:, 0, 1])


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_position_scores_are_marginal_log_odds(case: Case) -> None:
    built, batch = head(case.rank, limit=case.limit), case.batch
    found = built.position_scores(built(case.logits, batch).scores, batch)
    assert isinstance(built, ScoresPositions)
    for row in range(len(case.mask)):
        allowed = spans(case.mask[row], case.limit)
        null = case.logits[row, 0, 0] + case.logits[row, 0, 1]
        for side, values in enumerate((found.start, found.end)):
            for position in range(case.mask.shape[1]):
                scores = [score(case.logits[row], *span) for span in allowed if span[side] == position]
                expected = (torch.stack(scores).logsumexp(0) - null).item() if scores else -math.inf
                assert values[row, position].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("rank", [0, 2])
def test_no_span_goes_from_one_context_into_the_next(rank: int) -> None:
    """The best start lies in the first context and the best end in the second."""
    mask = torch.tensor([[False, True, True, False, True, True]])
    logits = torch.zeros(1, 6, 2 + 2 * rank)
    logits[0, 2, 0], logits[0, 4, 1] = 9.0, 9.0
    decoded = head(rank, limit=5).decode(head(rank)(logits, windows(mask)).scores, windows(mask))
    found = zip(decoded.first[0].tolist(), decoded.last[0].tolist(), decoded.score[0].tolist(), strict=True)
    assert set(found) == {(2, 2, 9.0), (4, 4, 9.0), (1, 1, 0.0), (1, 2, 0.0), (4, 5, 0.0), (5, 5, 0.0)}


@pytest.mark.parametrize("rank", [0, 2])
def test_small_chunks_decode_the_same(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, built = made_up_batch(targets=False), head(rank)
    logits = torch.randn(4, 14, 2 + 2 * rank, generator=torch.Generator().manual_seed(1))
    scores = built(logits, batch).scores
    whole = built.decode(scores, batch), built.position_scores(scores, batch)
    monkeypatch.setattr(joint_span, "CHUNK_SCORES", 1)
    parts = built.decode(scores, batch), built.position_scores(scores, batch)
    for before, after, names in zip(whole, parts, (("first", "last", "score"), ("start", "end")), strict=True):
        for name in names:
            torch.testing.assert_close(getattr(before, name), getattr(after, name))


def test_scores_of_all_spans_are_made_for_as_many_windows_as_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, built = made_up_batch(targets=False), head(2, limit=5)
    scores = built(torch.randn(4, 14, 6), batch).scores
    monkeypatch.setattr(joint_span, "CHUNK_SCORES", 2 * 14 * 5)
    assert [len(part["start"]) for _, part in built._chunks(scores, batch)] == [2, 2]
    monkeypatch.setattr(joint_span, "CHUNK_SCORES", 1)
    assert [len(part["start"]) for _, part in built._chunks(scores, batch)] == [1, 1, 1, 1]


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_broken_scores_are_said(rank: int, value: float) -> None:
    batch, built = made_up_batch(targets=False), head(rank)
    logits = torch.zeros(4, 14, 2 + 2 * rank)
    logits[0, 5] = value
    with pytest.raises(ModelError, match="weights are broken"):
        built.decode(built(logits, batch).scores, batch)


# ---------------------------------------------------------------------------------------------------------- the band
@given(st.integers(1, 90), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_band_products_are_the_diagonals_of_all_products(width: int, limit: int, rank: int) -> None:
    limit = min(limit, width)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(2, width, rank, generator=generator) for _ in range(2))
    band, products = band_products(left, right, limit), left @ right.transpose(1, 2)
    for length in range(limit):
        torch.testing.assert_close(band[:, : width - length, length], products.diagonal(length, 1, 2))


def test_an_interaction_of_nothing_changes_nothing() -> None:
    """At a real size, where the two ways to sum differ most."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(3, 300, dtype=torch.bool)
    mask[:, 20:140], mask[:, 142:290] = True, True
    batch = windows(mask, torch.tensor([30, 0, 150]), torch.tensor([35, 0, 250]))
    logits = 4 * torch.randn(3, 300, 6, generator=generator)
    logits[..., 2:4] = 0
    options = {"limit": 30, "label_smoothing": 0.1, "soft_labels": "jaccard"}
    plain, banded = head(**options), head(2, **options)
    torch.testing.assert_close(plain(logits[..., :2], batch).loss, banded(logits, batch).loss)
    one, other = plain(logits[..., :2], batch).scores, banded(logits, batch).scores
    for side in ("start", "end"):
        places = [
            getattr(built.position_scores(scores, batch), side) for built, scores in ((plain, one), (banded, other))
        ]
        torch.testing.assert_close(*places, rtol=1e-4, atol=1e-4)
    first, second = plain.decode(one, batch), banded.decode(other, batch)
    assert torch.equal(first.first, second.first)
    assert torch.equal(first.last, second.last)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that comes about."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


@pytest.mark.parametrize(("rank", "largest"), [(0, 256 * 4), (2, 256 * 100)])
def test_memory_is_for_positions_or_for_the_band_alone(rank: int, largest: int) -> None:
    """256 positions, limit 30: neither 256 x 256 numbers for any window, nor 256 x 30 without interaction."""
    mask = torch.ones(1, 256, dtype=torch.bool)
    mask[:, 0] = False
    batch = windows(mask, torch.tensor([30]), torch.tensor([35]))
    logits = torch.randn(1, 256, 2 + 2 * rank, generator=torch.Generator().manual_seed(0)).requires_grad_()
    built = head(rank, limit=30, label_smoothing=0.1)
    with Largest() as seen:
        output = built(logits, batch)
        output.loss.backward()
        built.position_scores(output.scores, batch)
    assert seen.numbers <= largest


# ---------------------------------------------------------------------------------------------------------- contracts
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "soft_labels": "jaccard", "layer_pooling": 2}])
@pytest.mark.parametrize("rank", [1, 8])
def test_interaction_keeps_the_contract_of_heads(rank: int, options: Any) -> None:
    check_head(JOINT_SPAN, JointSpanSettings(interaction=rank, **options))


def test_without_interaction_it_is_a_question_answering_model_of_transformers() -> None:
    plain, wider = head(), head(2)
    assert isinstance(plain, TransformersNames)
    assert set(plain.transformers_names) == set(plain.state_dict())
    assert set(wider.transformers_names) != set(wider.state_dict())


def test_interaction_learns_which_end_goes_with_which_start() -> None:
    """Two starts and two ends are equally good by themselves; only the pairs tell."""
    mask = torch.tensor([[False] + [True] * 6]).repeat(2, 1)
    states = torch.zeros(2, 7, 4)
    states[:, 1, 0] = states[:, 2, 1] = states[:, 4, 2] = states[:, 5, 3] = 1.0
    # In the first window only position 2 is marked as a start, in the second only position 1; both ends are.
    states[0, 1, 0] = states[1, 2, 1] = 0.0
    first, last = torch.tensor([2, 1]), torch.tensor([5, 4])
    batch = windows(mask, first, last)
    right = {}
    for rank in (0, 4):
        torch.manual_seed(0)
        runtime = HeadRuntime(hidden_size=4, initializer_range=0.3, n_best=1, max_answer_length=6, no_answer=False)
        built: Any = load_registry().build("heads", "joint_span", {"interaction": rank}, runtime)
        optimiser = torch.optim.Adam(built.parameters(), lr=0.05)
        for _ in range(150):
            optimiser.zero_grad()
            loss = built(states, batch).loss
            loss.backward()
            optimiser.step()
        right[rank] = loss.item()
    assert right[4] < 0.1
    assert right[0] > math.log(2) - 0.01  # the two ends stay even
