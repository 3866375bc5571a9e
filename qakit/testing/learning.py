"""The contract of heads' losses: what counts in them, and that what they teach is what is decoded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qakit.data.batch import Batch, numbered
from qakit.protocols import HeadOutput, ScoresPositions, SpanCandidates
from qakit.testing.components import running

STEPS = 100
"""Of a made-up training: enough for heads that start with weights near 0."""
LEARNT = 0.03
"""The share of the loss at which the targets count as learnt. Scores are moderate then, so that a shift is noticed."""

CallHead = Callable[[Any, Tensor, Batch], HeadOutput]


def check_loss_counts(head: Any, hidden: Tensor, batch: Batch, run: CallHead) -> None:
    """In evaluation, padding does not matter, and the same windows once more leave the mean as it is.

    Raises:
        AssertionError: with the reason.
    """
    with torch.no_grad():
        loss = _loss(head, hidden, batch, run)
        disturbed = torch.where(batch.attention_mask[..., None] == 1, hidden, hidden + 100.0)
        assert _close(_loss(head, disturbed, batch, run), loss), "padding changes the loss: it counts padded positions"
        twice = _loss(head, torch.cat([hidden, hidden]), _twice(batch), run)
        what = "examples" if head.reads == "group" else "windows"
        assert _close(twice, loss), (
            f"the loss must be the mean over the {what}: it is {loss.item():.4f}, and {twice.item():.4f} with each of "
            "them twice"
        )


def check_what_is_learnt(head: Any, hidden: Tensor, batch: Batch, run: CallHead) -> None:
    """A span head that has learnt the targets decodes them, above "no answer"; its position scores agree.

    Only a head whose loss comes near to 0 in a few steps is judged.

    Raises:
        AssertionError: with the reason.
    """
    head = copy.deepcopy(head)
    own = hidden.clone().requires_grad_()
    free = [parameter for parameter in head.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam([own, *free], lr=0.1)
    first = _loss(head, own, batch, run).item()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = _loss(head, own, batch, run)
        torch.autograd.backward(loss)
        if loss.item() < LEARNT * first:
            break
        optimizer.step()
    assert loss.item() < first, f"training does not lower the loss: {first:.4f}, then {loss.item():.4f}"
    if loss.item() >= LEARNT * first:
        return  # it never comes so near to 0 (smoothed targets), or too slowly
    asked = replace(batch, target_first=None, target_last=None, target_label=None, target_segment=None)
    asked = replace(asked, target_yes_no=None, other_first=None, other_last=None)
    asked = replace(asked, start_mask=batch.context_mask)
    with torch.inference_mode():
        scores = run(head, own, asked).scores
        with running("the head's decode"):
            decoded = head.decode(scores, asked)
        assert isinstance(decoded, SpanCandidates)
        if getattr(head, "gives", "spans") == "sets":
            _check_set(decoded, batch)
            return
        _check_decoded(decoded, batch, alone=head.reads != "group")
        if isinstance(head, ScoresPositions):
            with running("the head's position_scores"):
                found = head.position_scores(scores, asked)
            _check_sides(found.start, found.end, batch)


def _check_set(decoded: SpanCandidates, batch: Batch) -> None:
    for window in range(len(batch)):
        places = [(batch.target_first, batch.target_last), (batch.other_first, batch.other_last)]
        wanted = {
            (int(first), int(last))
            for firsts, lasts in places
            if firsts is not None and lasts is not None
            for first, last in zip(firsts[window].reshape(-1), lasts[window].reshape(-1), strict=True)
        } - {(0, 0)}
        used = torch.isfinite(decoded.score[window])
        found = set(zip(decoded.first[window][used].tolist(), decoded.last[window][used].tolist(), strict=True))
        assert found == wanted, f"trained on the spans {sorted(wanted)}, the head decodes {sorted(found)}"


def _check_decoded(decoded: SpanCandidates, batch: Batch, *, alone: bool) -> None:
    assert batch.target_first is not None
    assert batch.target_last is not None
    for window, target in enumerate(zip(batch.target_first.tolist(), batch.target_last.tolist(), strict=True)):
        best, null = decoded.score[window, 0].item(), decoded.null[window].item()
        if decoded.yes_no is not None and batch.target_yes_no is not None:
            said, wanted = decoded.yes_no[window].tolist(), int(batch.target_yes_no[window])
            right = max(range(3), key=[max(best, null), *said].__getitem__) == wanted
            assert right, f"trained on yes or no ({wanted}), the head decodes {said} against {max(best, null):.2f}"
            if wanted:
                continue
        span = (int(decoded.first[window, 0]), int(decoded.last[window, 0]))
        if target != (0, 0):
            assert span == target, f"trained on the span {target}, the head decodes {span} as the best"
            assert best > null, f'trained on an answer, the head decodes "no answer": {null:.2f} against {best:.2f}'
        elif alone:  # a head that reads groups may leave that to the example's other windows
            assert null > best, f'trained on "no answer", the head decodes an answer: {best:.2f} against {null:.2f}'


def _check_sides(start: Tensor, end: Tensor, batch: Batch) -> None:
    assert batch.target_first is not None
    assert batch.target_last is not None
    for window, (first, last) in enumerate(zip(batch.target_first.tolist(), batch.target_last.tolist(), strict=True)):
        if first != last:
            right = start[window, first] > start[window, last] and end[window, last] > end[window, first]
            assert right, (
                "position scores: trained on an answer, its first position is no likely start (are they swapped?)"
            )


def _loss(head: Any, hidden: Tensor, batch: Batch, run: CallHead) -> Tensor:
    loss = run(head, hidden, batch).loss
    assert loss is not None, "with targets there must be a loss, in evaluation, too"
    return loss


def _twice(batch: Batch) -> Batch:
    """The same windows again, as those of other examples."""
    both: dict[str, Any] = {}
    for part in fields(batch):
        value = getattr(batch, part.name)
        if isinstance(value, Tensor):
            both[part.name] = torch.cat([value, value])
        elif isinstance(value, np.ndarray):
            both[part.name] = np.concatenate([value, value])
    example, contexts = batch.example.numpy(), batch.contexts.numpy()
    others = np.where(contexts < 0, -1, contexts + len(batch.context_example))
    both |= numbered(np.concatenate([example, example + batch.examples]), np.concatenate([contexts, others]))
    return replace(batch, **both)


def _close(first: Tensor, second: Tensor) -> bool:
    return bool(torch.isclose(first, second, rtol=1e-3, atol=1e-4))
