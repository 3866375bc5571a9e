"""Heads that compare the windows of an example: against plain sums over everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qakit.api import Batch, HeadRuntime
from qakit.data.batch import numbered
from qakit.testing import check_head, made_up_batch
from qakit_heads import MULTIPLE_CHOICE, PARAGRAPH_SCORER
from qakit_heads.grouped import among_windows, context_loss, scattered_logsumexp

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.02, n_best=5, max_answer_length=4, no_answer=False)


def head(component: Any, *, no_answer: bool = False, **settings: Any) -> Any:
    torch.manual_seed(0)
    return component.build(component.settings(**settings), replace(RUNTIME, no_answer=no_answer, layers=2)).eval()


@pytest.mark.parametrize("settings", [{}, {"pooling": "mean"}, {"dropout": 0.2, "multi_sample_dropout": 3}])
def test_multiple_choice_keeps_the_contract(settings: dict[str, Any]) -> None:
    check_head(MULTIPLE_CHOICE, MULTIPLE_CHOICE.settings(**settings))


@pytest.mark.parametrize("settings", [{}, {"paragraph_weight": 1.0}, {"layer_pooling": 2}])
def test_paragraph_scorer_keeps_the_contract(settings: dict[str, Any]) -> None:
    check_head(PARAGRAPH_SCORER, PARAGRAPH_SCORER.settings(**settings))


# ---------------------------------------------------------------------------------------------------- the two softmaxes
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-50, 50, width=32)), max_size=12))
def test_scattered_logsumexp(pairs: list[tuple[int, float]]) -> None:
    index = torch.tensor([place for place, _ in pairs], dtype=torch.int64)
    values = torch.tensor([value for _, value in pairs], dtype=torch.float32)
    found = scattered_logsumexp(values, index, 4)
    for place in range(4):
        own = values[index == place]
        assert found[place] == pytest.approx(float(own.logsumexp(0)) if len(own) else 0.0, abs=1e-4)


Case = tuple[Batch, Tensor]


@st.composite
def batches(draw: st.DrawFn) -> Case:
    """Windows of up to three segments, of up to three examples, and a logit for each segment."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))  # windows of each example
    example = np.repeat(np.arange(len(sizes)), sizes)
    rows = [draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)) for _ in example]
    pairs = torch.full((len(rows), 3), -1)
    target = torch.full((len(rows),), -1)
    relevant = [draw(st.integers(0, 2)) for _ in sizes]
    for row, own in enumerate(rows):
        pairs[row, : len(own)] = torch.tensor(own) + 3 * int(example[row])
        if relevant[example[row]] in own:
            target[row] = own.index(relevant[example[row]])
    logits = torch.tensor(draw(st.lists(st.floats(-9, 9, width=32), min_size=3 * len(rows), max_size=3 * len(rows))))
    numbers = numbered(example, pairs.numpy())
    batch = replace(made_up_batch(), target_segment=target, window=np.arange(len(rows)), **numbers)
    return batch, logits.view(-1, 3)


@given(batches())
def test_the_context_loss_is_a_cross_entropy_over_each_examples_contexts(case: Case) -> None:
    batch, logits = case
    losses = []
    for example in batch.example.unique():
        rows = torch.nonzero(batch.example == example).flatten().tolist()
        best: dict[int, float] = {}
        right = None
        for row in rows:
            for column in range(3):
                context = int(batch.contexts[row, column])
                if context >= 0:
                    best[context] = max(best.get(context, -np.inf), float(logits[row, column]))
                    right = context if column == batch.target_segment[row] else right
        if right is not None:
            losses.append(float(torch.tensor(list(best.values())).logsumexp(0)) - best[right])
    expected = sum(losses) / max(1, len(losses))
    logits = logits.requires_grad_()
    found = context_loss(logits, batch)
    assert found.item() == pytest.approx(expected, abs=1e-4)
    torch.autograd.backward(found)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[batch.contexts < 0] == 0).all()


@given(batches(), st.data())
def test_positions_compete_over_all_windows_of_an_example(case: Case, data: st.DataObject) -> None:
    batch, scores = case
    possible = batch.contexts >= 0
    target = torch.tensor([data.draw(st.sampled_from([-1, 0])) for _ in range(len(batch))])
    losses = []
    for number in range(batch.examples):
        rows = batch.example == number
        held = rows & (target >= 0)
        if held.any():
            everything = scores[rows][possible[rows]].logsumexp(0)
            losses.append(float(everything - scores[held, 0].logsumexp(0)))
    found = among_windows(scores, possible, [target], batch)
    assert found.item() == pytest.approx(sum(losses) / max(1, len(losses)), abs=1e-4)


# ------------------------------------------------------------------------------------------------------------ decoding
def two_contexts() -> Batch:
    """One window: [CLS] q [SEP] a a a [SEP] b b b [SEP], and its example has no other."""
    number = torch.tensor([[-1, -1, -1, 0, 0, 0, -1, 1, 1, 1, -1]])
    mask = number >= 0
    return Batch(
        input_ids=torch.arange(11)[None],
        attention_mask=torch.ones(1, 11, dtype=torch.int64),
        token_type_ids=None,
        context_mask=mask,
        start_mask=mask,
        target_first=torch.tensor([7]),
        target_last=torch.tensor([8]),
        segment_number=number,
        window=np.array([0]),
        token=np.arange(11)[None],
        segment=number.numpy().astype(np.int32),
        target_segment=torch.tensor([1]),
        **numbered(np.array([0]), np.array([[4, 5]])),
    )


def test_no_span_crosses_the_border_of_two_contexts() -> None:
    batch = two_contexts()
    start, end = torch.zeros(1, 11), torch.zeros(1, 11)
    start[0, 5] = end[0, 7] = 9.0  # the best pair lies in two contexts
    built = head(PARAGRAPH_SCORER)
    decoded = built.decode({"start": start, "end": end, "paragraph": torch.zeros(1, 2)}, batch)
    same = batch.segment_number[0, decoded.first[0]] == batch.segment_number[0, decoded.last[0]]
    assert same.all()
    assert decoded.score[0, 0] == 9.0


@pytest.mark.parametrize(("weight", "context"), [(1.0, 1), (0.0, 0)])
def test_the_score_of_its_context_counts_for_a_span(weight: float, context: int) -> None:
    batch = two_contexts()
    start, end = torch.zeros(1, 11), torch.zeros(1, 11)
    start[0, 3] = 1.0
    built = head(PARAGRAPH_SCORER, span_paragraph_weight=weight)
    decoded = built.decode({"start": start, "end": end, "paragraph": torch.tensor([[0.0, 3.0]])}, batch)
    assert batch.segment_number[0, decoded.first[0, 0]] == context


def test_in_one_input_or_in_several_the_loss_is_the_same_function() -> None:
    """The windows of an example share their softmax: how the scores are spread over windows doesn't matter."""
    whole = two_contexts()
    built = head(PARAGRAPH_SCORER)
    hidden = torch.randn(1, 11, 16, generator=torch.Generator().manual_seed(1))
    first, second = hidden[:, :7], torch.cat([hidden[:, :3], hidden[:, 7:]], dim=1)
    cut = replace(
        whole,
        input_ids=torch.zeros(2, 7, dtype=torch.int64),
        attention_mask=torch.ones(2, 7, dtype=torch.int64),
        context_mask=torch.tensor([[0, 0, 0, 1, 1, 1, 0]] * 2).bool(),
        segment_number=torch.tensor([[-1, -1, -1, 0, 0, 0, -1]] * 2),
        target_first=torch.tensor([0, 3]),
        target_last=torch.tensor([0, 4]),
        target_segment=torch.tensor([-1, 0]),
        window=np.arange(2),
        **numbered(np.array([0, 0]), np.array([[4], [5]])),
    )
    together = built(hidden, whole).loss
    apart = built(torch.cat([first, second]), cut).loss
    assert together.item() == pytest.approx(apart.item(), abs=1e-6)


def test_unanswerable_examples_aim_at_position_0_of_all_their_windows() -> None:
    batch = replace(
        two_contexts(), target_first=torch.tensor([0]), target_last=torch.tensor([0]), target_segment=torch.tensor([-1])
    )
    hidden = torch.randn(1, 11, 16, generator=torch.Generator().manual_seed(1))
    assert head(PARAGRAPH_SCORER)(hidden, batch).loss.item() == 0.0  # nothing to learn
    built = head(PARAGRAPH_SCORER, no_answer=True)
    logits = torch.nn.functional.linear(hidden, built.features.linear.weight, built.features.linear.bias)
    possible = batch.context_mask.clone()
    possible[:, 0] = True
    expected = [logits[0, possible[0], at].logsumexp(0) - logits[0, 0, at] for at in (0, 1)]
    assert built(hidden, batch).loss.item() == pytest.approx(float(torch.stack(expected).mean().detach()), abs=1e-5)
