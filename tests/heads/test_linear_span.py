"""The linear span head."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from qakit.protocols import HeadRuntime, ScoresPositions, TransformersNames
from qakit.registry import load_registry
from qakit.testing import check_component, check_head, made_up_batch
from qakit_heads import LINEAR_SPAN, LinearSpanSettings
from qakit_heads.soft_labels import soft_boundaries

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.02, n_best=5, max_answer_length=4, no_answer=False)


def head(**settings: Any) -> Any:
    torch.manual_seed(0)
    return load_registry().build("heads", "linear_span", settings, RUNTIME)


def hidden(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_keeps_the_contract_of_heads(dropout: float) -> None:
    check_component("heads", LINEAR_SPAN)
    check_head(LINEAR_SPAN, LinearSpanSettings(dropout=dropout))


def test_weights_start_small_and_the_bias_at_zero() -> None:
    torch.manual_seed(0)
    wide = load_registry().build("heads", "linear_span", {}, replace(RUNTIME, hidden_size=4000, initializer_range=0.05))
    assert wide.features.linear.weight.std().item() == pytest.approx(0.05, rel=0.05)
    assert wide.features.linear.bias.tolist() == [0.0, 0.0]


def test_only_the_context_and_position_0_take_part_in_the_loss() -> None:
    built, batch = head(), made_up_batch()
    output = built(hidden(), batch)
    expected = []
    for name, target in (("start", batch.target_first), ("end", batch.target_last)):
        assert target is not None
        for row in range(len(batch)):
            places = [0, *batch.context_mask[row].nonzero().flatten().tolist()]
            expected.append(F.cross_entropy(output.scores[name][row][places], torch.tensor(places.index(target[row]))))
    assert output.loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-6)


def test_position_0_is_a_target_also_where_every_question_has_an_answer() -> None:
    batch = made_up_batch()
    nowhere = replace(
        batch, target_first=torch.zeros(4, dtype=torch.int64), target_last=torch.zeros(4, dtype=torch.int64)
    )
    built = head()
    optimiser = torch.optim.SGD(built.parameters(), lr=1.0)
    states = hidden()
    states[:, 0] = 1.0  # something that marks position 0
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = built(states, nowhere).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 < losses[0]


def test_scores_are_the_plain_logits() -> None:
    """Unmasked, as the transformers model with these weights gives them."""
    built, batch, states = head(), made_up_batch(targets=False), hidden()
    scores = built(states, batch).scores
    logits = states @ built.features.linear.weight.T + built.features.linear.bias
    assert torch.allclose(torch.stack([scores["start"], scores["end"]], dim=-1), logits, atol=1e-6)


def test_decodes_the_best_spans_and_position_0_as_null() -> None:
    built, batch = head(), made_up_batch(targets=False)
    start, end = torch.zeros(4, 14), torch.zeros(4, 14)
    start[0, 5], end[0, 7], start[0, 0], end[0, 0] = 3.0, 2.0, 1.5, 0.25
    start[1, 4] = 9.0  # context, but another window answers for it
    start[1, 7], end[1, 7] = 4.0, 4.0
    end[3, 13] = 50.0  # the last special token
    start[3, 4], end[3, 8] = 2.0, 2.0  # five tokens: one too long
    decoded = built.decode({"start": start, "end": end}, batch)
    best = [
        (decoded.first[row, 0].item(), decoded.last[row, 0].item(), decoded.score[row, 0].item()) for row in range(3)
    ]
    assert best == [(5, 7, 5.0), (7, 7, 8.0), (5, 5, 0.0)]
    assert decoded.score[3, 0].item() == 2.0
    assert decoded.null.tolist() == [1.75, 0.0, 0.0, 0.0]
    assert decoded.score[2, 1:].tolist() == [-torch.inf] * 4  # one context token, one span


def test_says_where_transformers_keeps_its_weights() -> None:
    built = head()
    assert isinstance(built, TransformersNames)
    assert built.auto_class == "AutoModelForQuestionAnswering"
    assert set(built.transformers_names) == set(dict(built.named_parameters()))


@pytest.mark.parametrize("settings", [{"in_answer_weight": 1.0}, {"answerability_weight": 1.0}])
def test_with_more_weights_the_transformers_names_do_not_cover_them(settings: dict[str, float]) -> None:
    """So the model folder claims no counterpart, which would lack them."""
    built = head(**settings)
    assert set(built.transformers_names) < set(built.state_dict())


def test_without_options_the_loss_is_that_of_torch_to_the_last_bit() -> None:
    built, batch, states = head(), made_up_batch(), hidden()
    output = built(states, batch)
    possible = batch.context_mask.clone()
    possible[:, 0] = True
    lowest = torch.finfo(torch.float32).min
    start, end = (output.scores[side].masked_fill(~possible, lowest) for side in ("start", "end"))
    expected = (F.cross_entropy(start, batch.target_first) + F.cross_entropy(end, batch.target_last)) / 2
    assert output.loss.item() == expected.item()


def test_label_smoothing_spreads_over_possible_positions() -> None:
    """By hand: context positions 2 and 3, answer at 3, so 0, 2 and 3 are possible."""
    batch = made_up_batch()
    one = replace(
        batch,
        context_mask=torch.tensor([[False, False, True, True, False]]),
        target_first=torch.tensor([3]),
        target_last=torch.tensor([3]),
    )
    built = head(label_smoothing=0.3)
    built.features.linear = torch.nn.Linear(2, 2)
    torch.nn.init.eye_(built.features.linear.weight)
    torch.nn.init.zeros_(built.features.linear.bias)
    scores = [0.5, 9.0, -1.0, 2.0, 7.0]
    loss = built(torch.tensor([scores, scores]).T[None], one).loss
    partition = math.log(math.exp(0.5) + math.exp(-1.0) + math.exp(2.0))
    expected = partition - (0.7 * 2.0 + 0.3 * (0.5 - 1.0 + 2.0) / 3)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_soft_labels_are_cross_entropy_with_the_spread_targets() -> None:
    batch = made_up_batch()
    built = head(soft_labels="jaccard", soft_label_sharpness=2.0, label_smoothing=0.1)
    output = built(hidden(), batch)
    starts, ends = soft_boundaries(batch.target_first, batch.target_last, batch.context_mask, sharpness=2.0)
    losses = []
    for side, target in (("start", starts), ("end", ends)):
        for row in range(len(batch)):
            places = [0, *batch.context_mask[row].nonzero().flatten().tolist()]
            mixed = 0.9 * target[row, places] + 0.1 / len(places)
            losses.append(F.cross_entropy(output.scores[side][row, places], mixed))
    torch.testing.assert_close(output.loss, torch.stack(losses).mean())


def test_position_scores_are_differences_to_position_0() -> None:
    built, batch = head(), made_up_batch(targets=False)
    scores = built(hidden(), batch).scores
    found = built.position_scores(scores, batch)
    assert isinstance(built, ScoresPositions)
    for side in ("start", "end"):
        expected = scores[side] - scores[side][:, [0]]
        torch.testing.assert_close(getattr(found, side)[batch.context_mask], expected[batch.context_mask])
        assert (getattr(found, side)[~batch.context_mask] == -torch.inf).all()
        assert getattr(found, side).requires_grad  # students learn by them


def test_learns_to_copy() -> None:
    """Gradients reach the weights in the right direction: the marked places are found after a few steps."""
    batch, states = made_up_batch(), hidden()
    row = torch.arange(4)
    assert batch.target_first is not None
    assert batch.target_last is not None
    states[row, batch.target_first, 0] += 8
    states[row, batch.target_last, 1] += 8
    built = head()
    optimiser = torch.optim.Adam(built.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        built(states, batch).loss.backward()
        optimiser.step()
    decoded = built.decode(built(states, batch).scores, replace(batch, start_mask=batch.context_mask))
    answered = batch.target_first > 0
    assert decoded.first[answered, 0].tolist() == batch.target_first[answered].tolist()
    assert decoded.last[answered, 0].tolist() == batch.target_last[answered].tolist()
    assert decoded.null[1] > decoded.score[1, 0]
