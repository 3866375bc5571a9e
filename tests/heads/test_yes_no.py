"""Yes and no beside spans: what the loss asks, and what they score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from qakit.api import Component, HeadRuntime, LearnsYesNo
from qakit.testing import check_head, made_up_batch
from qakit_heads import CRF, JOINT_SPAN, LINEAR_SPAN

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.5, n_best=200, max_answer_length=14, no_answer=True)
SETTINGS: list[tuple[Component[Any, Any, Any], dict[str, Any]]] = [
    (LINEAR_SPAN, {}),
    (JOINT_SPAN, {}),
    (JOINT_SPAN, {"interaction": 2}),
    (CRF, {"mode": "single_span"}),
    (CRF, {}),
]
HEADS = pytest.mark.parametrize(("component", "more"), SETTINGS, ids=[f"{c.name}-{m}" for c, m in SETTINGS])


def head(component: Component[Any, Any, Any], **settings: Any) -> Any:
    torch.manual_seed(0)
    return component.build(component.settings(**settings), RUNTIME).eval()


def hidden() -> torch.Tensor:
    return torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(1))


@HEADS
def test_heads_that_learn_yes_and_no_keep_the_contract(component: Component[Any, Any, Any], more: Any) -> None:
    settings = {"yes_no_weight": 1.0, "answerability_weight": 0.5, "in_answer_weight": 0.5, **more}
    assert isinstance(head(component, **settings), LearnsYesNo)
    check_head(component, component.settings(**settings))


@HEADS
def test_yes_is_to_all_spans_and_no_answer_as_its_odds(component: Component[Any, Any, Any], more: Any) -> None:
    built, batch = head(component, yes_no_weight=1.0, **more), made_up_batch(targets=False)
    scores = built(hidden(), batch).scores
    found = built.decode(scores, replace(batch, start_mask=batch.context_mask))
    logits = hidden()[:, 0] @ built.features.answer_type.weight.T + built.features.answer_type.bias
    everything = torch.cat([found.null[:, None], found.score], 1).logsumexp(1)
    if component is LINEAR_SPAN:  # its softmaxes know spans that end before they begin, and one at position 0
        possible = batch.context_mask.clone()
        possible[:, 0] = True
        sides = (scores[side].masked_fill(~possible, -torch.inf).logsumexp(1) for side in ("start", "end"))
        everything = sum(sides, torch.zeros(4))
    torch.testing.assert_close(found.yes_no - everything[:, None], logits[:, 1:] - logits[:, :1])


@HEADS
def test_the_loss_adds_the_answer_type(component: Component[Any, Any, Any], more: Any) -> None:
    plain, built = head(component, **more), head(component, yes_no_weight=2.0, **more)
    plain.load_state_dict({name: built.state_dict()[name] for name in plain.state_dict()})
    batch = made_up_batch(yes_no=True)
    logits = hidden()[:, 0] @ built.features.answer_type.weight.T + built.features.answer_type.bias
    added = 2.0 * F.cross_entropy(logits, torch.tensor([0, 1, 0, 0]))
    torch.testing.assert_close(built(hidden(), batch).loss, plain(hidden(), batch).loss + added)
    assert plain.decode(plain(hidden(), batch).scores, batch).yes_no is None


def test_yes_is_an_answer_to_the_answerability_classifier() -> None:
    built, batch = head(LINEAR_SPAN, answerability_weight=1.0, yes_no_weight=1e-9), made_up_batch(yes_no=True)
    log_odds = built.features.window_scores(hidden())["no_answer"]
    expected = F.binary_cross_entropy_with_logits(log_odds, torch.zeros(4))
    torch.testing.assert_close(built.features.auxiliary_loss(hidden(), batch), expected)
