"""The contract of heads."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qakit.components import Component, Settings
from qakit.data.batch import Batch, numbered
from qakit.protocols import (
    Decoded,
    GivesDistributions,
    HeadOutput,
    HeadRuntime,
    LabelScores,
    PoolsLayers,
    PositionScores,
    ScoresPositions,
    SpanCandidates,
)
from qakit.returned import DECODED, named
from qakit.testing.components import build_checked, running
from qakit.testing.learning import check_loss_counts, check_what_is_learnt

HIDDEN_SIZE = 16
N_BEST = 5
MAX_ANSWER_LENGTH = 4
LAYERS = 3


def made_up_batch(*, targets: bool = True, segments: bool = False, numbers: int = 0, yes_no: bool = False) -> Batch:
    """Four windows of three examples padded to 14 positions: [CLS] question [SEP] context [SEP].

    Windows 0 and 1 are of two contexts of one example; window 1 answers only for the second half of its context;
    window 2 has one context token; the last window is full. With targets, window 1 has "no answer".

    Args:
        segments: the last window holds two contexts with a separator between them; the answer is in the second one.
        numbers: how many the examples have, from 0 to 1, of which one is not known; 0 for a class or a single number.
        yes_no: the answer of window 1 is yes.
    """
    label = torch.tensor([1.0, 1.0, 0.0, 1.0])
    if numbers:
        label = (label[:, None] + torch.arange(numbers) / numbers) % 1.0
        label[3, 0] = torch.nan
    positions = torch.arange(14)
    query = torch.tensor([2, 2, 3, 1])[:, None]  # question tokens of each window
    context = torch.tensor([6, 4, 1, 10])[:, None]  # context tokens
    start = query + 2
    context_mask = (positions >= start) & (positions < start + context)
    segment_number = context_mask.long() - 1
    contexts = torch.arange(4)[:, None]
    if segments:
        context_mask[3, 7] = False
        segment_number[3, 7], segment_number[3, 8:13] = -1, 1
        contexts = torch.tensor([[0, -1], [1, -1], [2, -1], [3, 4]])
    start_mask = context_mask.clone()
    start_mask[1, :6] = False
    is_text = context_mask | ((positions >= 1) & (positions <= query))
    row = contexts.gather(1, segment_number.clamp(min=0))
    attention_mask = (positions <= start + context).long()
    return Batch(
        input_ids=(positions + 5) * attention_mask,
        attention_mask=attention_mask,
        token_type_ids=(positions >= start).long() * attention_mask,
        context_mask=context_mask,
        start_mask=start_mask,
        target_first=torch.tensor([5, 0, 5, 12]) if targets else None,
        target_last=torch.tensor([7, 0, 5, 12]) if targets else None,
        target_label=label if targets else None,
        target_segment=torch.tensor([0, -1, 0, int(segments)]) if targets else None,
        target_yes_no=torch.tensor([0, 1, 0, 0]) if targets and yes_no else None,
        segment_number=segment_number,
        window=np.arange(4),
        token=np.where(is_text.numpy(), np.arange(4 * 14).reshape(4, 14), -1),
        segment=np.where(context_mask.numpy(), row.numpy().astype(np.int32), np.int32(-1)),
        **numbered(np.array([0, 0, 1, 2]), contexts.numpy()),
    )


def check_head(
    component: Component[Any, Any, Any],
    settings: Settings,
    *,
    labels: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
) -> None:
    """The loss is sound and trains the head; decoded candidates keep to masks, lengths and order.

    The loss must be a finite float32 scalar, under bfloat16 autocast too, and a mean. Padding must not matter. A head
    that pools layers gets some; the scores of single positions, where it has them, keep to their shapes and to the
    context; distributions sum to 1. Span heads see windows of several contexts, too, and must decode what they were
    trained on, above "no answer"; those that learn yes and no, these, too; those that give sets, all spans of a
    window and no other.

    Args:
        labels: class names, two or more, for a head that classifies; without them it must give a number.
        numbers: names of numbers, for a head that gives several of each text.

    Raises:
        AssertionError: with the reason.
    """
    torch.manual_seed(0)
    runtime = HeadRuntime(
        hidden_size=HIDDEN_SIZE,
        initializer_range=0.02,
        n_best=N_BEST,
        max_answer_length=MAX_ANSWER_LENGTH,
        no_answer=True,
        labels=labels,
        numbers=numbers,
        layers=LAYERS,
    )
    head = build_checked("heads", component, settings, runtime)
    assert isinstance(head, nn.Module), "a head must be a torch.nn.Module"
    if hasattr(head, "has_distributions"):
        value = head.has_distributions
        assert isinstance(value, bool), f"has_distributions is {named(value)}, not bool"
    yes_no = getattr(head, "yes_no", False)
    assert isinstance(yes_no, bool), f"yes_no is {named(yes_no)}, not bool"
    several = (False, True) if DECODED.get(getattr(head, "gives", "spans")) is SpanCandidates else (False,)
    for segments in several:
        _check_loss(head, made_up_batch(segments=segments, numbers=len(numbers), yes_no=yes_no))
    head.eval()
    for segments in several:
        _check_prediction(head, segments, classes=len(labels or numbers) or 1)
        batch = made_up_batch(segments=segments, numbers=len(numbers), yes_no=yes_no)
        check_loss_counts(head, _hidden(batch), batch, _run)
        if len(several) > 1:
            if getattr(head, "gives", "spans") == "sets":  # a second answer of the last window
                other = torch.tensor([[0], [0], [0], [5]])
                batch = replace(batch, other_first=other, other_last=other)
            check_what_is_learnt(head, _hidden(batch), batch, _run)


def _hidden(batch: Batch) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*batch.input_ids.shape, HIDDEN_SIZE, generator=generator)


def _check_loss(head: Any, batch: Batch) -> None:
    for autocast in (False, True):
        hidden = _hidden(batch).requires_grad_()
        head.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = _run(head, hidden, batch)
        loss = output.loss
        assert loss is not None, "with targets there must be a loss"
        assert loss.dtype == torch.float32, f"the loss is {loss.dtype}, not float32 (autocast: {autocast})"
        assert torch.isfinite(loss), f"the loss is {loss.item()}"
        _check_scores(output)
        if isinstance(head, GivesDistributions) and head.has_distributions:
            _check_distributions(head, output, batch)
        with running("the gradient of the head's loss"):
            torch.autograd.backward(loss)
        assert hidden.grad is not None, "the loss does not reach the backbone"
        assert torch.isfinite(hidden.grad).all(), "the gradient is not finite"
        assert hidden.grad.abs().sum() > 0, "the gradient for the backbone is zero"
        for name, parameter in head.named_parameters():
            idle = parameter.requires_grad and parameter.grad is None
            assert not idle, f"the parameter {name} gets no gradient"


def _run(head: Any, hidden: Tensor, batch: Batch) -> HeadOutput:
    if isinstance(head, PoolsLayers) and head.pools:
        layers = [hidden.roll(shift, dims=2) for shift in range(LAYERS, -1, -1)]
        with running("the head's pool"):
            pooled = head.pool(layers)
        hidden = pooled
    with running("calling the head"):
        output: HeadOutput = head(hidden, batch)
    return output


def _decode(head: Any, output: HeadOutput, batch: Batch) -> Decoded:
    with running("the head's decode"):
        decoded: Decoded = head.decode(output.scores, batch)
    return decoded


def _check_scores(output: HeadOutput) -> None:
    assert output.scores, "scores must not be empty: decode has nothing else"
    for name, score in output.scores.items():
        assert score.dtype == torch.float32, f"scores[{name!r}] is {score.dtype}, not float32"
        assert not score.isnan().any(), f"the head's scores[{name!r}] hold NaN"


def _check_distributions(head: GivesDistributions, output: HeadOutput, batch: Batch) -> None:
    with running("the head's distributions"):
        found = head.distributions(output.scores, batch)
    assert found, "the head's distributions are none: then has_distributions must be false"
    for each in found:
        logs, possible = each.log_probability, each.possible
        assert logs.requires_grad, "distributions: log_probability has no gradient"
        assert logs.dtype == torch.float32, f"distributions: log_probability is {logs.dtype}, not float32"
        assert torch.isfinite(logs[possible]).all(), "distributions: a possible choice has an infinite logarithm or NaN"
        total = logs.detach()[possible].exp().sum().item()
        assert abs(total - each.count) < 1e-3 * each.count, (
            f"distributions: the probabilities sum up to {total:.4f}, not to the number of distributions, {each.count}"
        )


def _check_prediction(head: Any, segments: bool, *, classes: int) -> None:
    batch = made_up_batch(targets=False, segments=segments)
    hidden = _hidden(batch)
    with torch.inference_mode():
        output = _run(head, hidden, batch)
        assert output.loss is None, "without targets there must be no loss"
        _check_scores(output)
        decoded = _decode(head, output, batch)
        noise = torch.where(batch.attention_mask[..., None] == 1, hidden, hidden + 100.0)
        disturbed_output = _run(head, noise, batch)
        disturbed = _decode(head, disturbed_output, batch)
        if isinstance(head, ScoresPositions):
            places = _check_positions(head, output, batch)
            moved = _check_positions(head, disturbed_output, batch)
            for part in fields(places):
                same = torch.allclose(getattr(places, part.name), getattr(moved, part.name), atol=1e-4)
                assert same, f"padding changes the position scores ({part.name})"
    if isinstance(decoded, SpanCandidates):
        assert isinstance(disturbed, SpanCandidates)
        check_spans(decoded, batch, some=getattr(head, "gives", "spans") == "spans")
        given = decoded.yes_no is not None
        assert given == getattr(head, "yes_no", False), "decode must give yes_no where the head's yes_no is true, only"
        if decoded.yes_no is not None and disturbed.yes_no is not None:
            same = torch.allclose(decoded.yes_no, disturbed.yes_no, atol=1e-4)
            assert same, "padding changes the scores of yes and no"
        same = torch.equal(decoded.first, disturbed.first) and torch.equal(decoded.last, disturbed.last)
        assert same, "what stands at padded positions changes the decoded spans"
        assert torch.allclose(decoded.score, disturbed.score, atol=1e-4), "padding changes the scores"
        return
    assert not isinstance(disturbed, SpanCandidates)
    kind, shape = ("label", "(B, C)") if isinstance(decoded, LabelScores) else ("context", "(B,)")
    values = decoded.scores
    assert values.ndim == (2 if kind == "label" else 1), f"{kind} scores must be {shape}"
    assert len(values) == len(batch), f"{kind} scores must be {shape}"
    if kind == "label":
        assert values.shape[1] == classes, f"label scores have {values.shape[1]} columns; there must be {classes}"
    assert values.dtype == torch.float32, f"{kind} scores are {values.dtype}, not float32"
    assert torch.isfinite(values).all(), f"{kind} scores are not finite"
    assert torch.allclose(values, disturbed.scores, atol=1e-4), f"padding changes the {kind} scores"


def _check_positions(head: ScoresPositions, output: HeadOutput, batch: Batch) -> PositionScores:
    with running("the head's position_scores"):
        found = head.position_scores(output.scores, batch)
    for part in fields(found):
        value = getattr(found, part.name)
        assert value.dtype == torch.float32, f"position scores: {part.name} is {value.dtype}, not float32"
        inside, outside = value[batch.context_mask], value[~batch.context_mask]
        assert torch.isfinite(inside).all(), f"position scores: {part.name} is not finite within the context"
        assert (outside == -torch.inf).all(), f"position scores: {part.name} is not -inf outside the context"
    return found


def check_spans(decoded: SpanCandidates, batch: Batch, *, some: bool) -> None:
    """Decoded spans keep to their masks, lengths and order; with ``some`` every window has one.

    Raises:
        AssertionError: with the reason.
    """
    if decoded.yes_no is not None:
        assert decoded.yes_no.dtype == torch.float32, f"yes_no is {decoded.yes_no.dtype}, not float32"
        assert torch.isfinite(decoded.yes_no).all(), "yes_no is not finite"
    assert decoded.first.dtype == decoded.last.dtype == torch.int64, "first and last must be int64"
    assert decoded.score.dtype == decoded.null.dtype == torch.float32, "score and null must be float32"
    assert torch.isfinite(decoded.null).all(), "null is not finite"
    assert not decoded.score.isnan().any(), "the head decodes a score that is NaN"
    assert (decoded.score[:, :-1] >= decoded.score[:, 1:]).all(), "candidates must be sorted, best first"
    for window in range(len(batch)):
        used = torch.isfinite(decoded.score[window])
        first, last = decoded.first[window][used], decoded.last[window][used]
        positions = batch.context_mask.shape[1]
        inside = (first >= 0) & (first < positions) & (last >= 0) & (last < positions)
        assert inside.all(), f"window {window}: a decoded span lies outside the input positions 0 to {positions - 1}"
        spans = list(zip(first.tolist(), last.tolist(), strict=True))
        assert len(set(spans)) == len(spans), f"window {window} has a span twice"
        assert batch.start_mask[window][first].all(), f"window {window}: a span starts outside start_mask"
        assert batch.context_mask[window][last].all(), f"window {window}: a span ends outside context_mask"
        assert (last >= first).all(), f"window {window}: a span ends before it starts"
        assert (last - first < MAX_ANSWER_LENGTH).all(), f"window {window}: a span is longer than max_answer_length"
        assert spans or not some, f"window {window} has a possible answer and no candidate"
