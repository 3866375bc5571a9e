"""What all span heads share: pooled layers, dropout masks, additional losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from qakit.api import Component, HeadRuntime, ModelError
from qakit.protocols import PoolsLayers
from qakit.testing import check_component, check_head, made_up_batch
from qakit_heads import JOINT_SPAN, LINEAR_SPAN, SpanSettings
from qakit_heads.features import SpanFeatures

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.02, n_best=5, max_answer_length=4, no_answer=True, layers=3)
HEADS = pytest.mark.parametrize("component", [LINEAR_SPAN, JOINT_SPAN], ids=lambda component: component.name)


def features(outputs: int = 2, **settings: Any) -> SpanFeatures:
    torch.manual_seed(0)
    return SpanFeatures(SpanSettings(**settings), RUNTIME, outputs)


def head(component: Component[Any, Any, Any], **settings: Any) -> Any:
    torch.manual_seed(0)
    return component.build(component.settings(**settings), RUNTIME)


def hidden(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(seed))


def trained(module: torch.nn.Module, loss: Any, *, steps: int = 60, rate: float = 0.1) -> list[float]:
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    return losses


@HEADS
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dropout": 0.3},
        {"dropout": 0.3, "multi_sample_dropout": 4},
        {"layer_pooling": 2},
        {"layer_pooling": "all"},
        {"in_answer_weight": 0.5},
        {"answerability_weight": 0.5},
        {"label_smoothing": 0.1},
        {"soft_labels": "jaccard"},
        {
            "dropout": 0.2,
            "multi_sample_dropout": 2,
            "layer_pooling": 3,
            "in_answer_weight": 1.0,
            "answerability_weight": 1.0,
            "label_smoothing": 0.1,
            "soft_labels": "jaccard",
            "soft_label_sharpness": 2.0,
        },
    ],
    ids=lambda settings: "+".join(settings) or "plain",
)
def test_every_option_keeps_the_contract_of_heads(component: Component[Any, Any, Any], settings: Any) -> None:
    check_component("heads", component)
    check_head(component, component.settings(**settings))


@HEADS
def test_all_options_are_off_by_default(component: Component[Any, Any, Any]) -> None:
    built = head(component)
    assert isinstance(built, PoolsLayers)
    assert not built.pools
    assert {name: tuple(value.shape) for name, value in built.state_dict().items()} == {
        "features.linear.weight": (2, 16),
        "features.linear.bias": (2,),
    }
    assert set(built(hidden(), made_up_batch()).scores) == {"start", "end"}


# ------------------------------------------------------------------------------------------------------ layer pooling
def test_pooling_starts_with_the_mean_of_the_last_layers() -> None:
    layers = [hidden(seed) for seed in range(4)]
    torch.testing.assert_close(features(layer_pooling=2).pool(layers), (layers[2] + layers[3]) / 2)
    torch.testing.assert_close(features(layer_pooling="all").pool(layers), torch.stack(layers).mean(0))


def test_pooling_learns_which_layer_knows() -> None:
    """Only the second layer holds what the target is."""
    pooling = features(outputs=1, layer_pooling="all")
    layers = [hidden(seed) for seed in range(4)]
    target = layers[1][..., 0]
    trained(pooling, lambda: F.mse_loss(pooling.logits(pooling.pool(layers))[0][..., 0], target), steps=150)
    weights = pooling.layer_weights.detach().softmax(0)
    assert weights.argmax().item() == 1
    assert weights[1] > 0.8


def test_pooling_is_float32_under_autocast() -> None:
    layers = [hidden(seed).bfloat16() for seed in range(4)]
    with torch.autocast("cpu", torch.bfloat16):
        assert features(layer_pooling=2).pool(layers).dtype == torch.float32


def test_pooling_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(ModelError, match="layer_pooling is 4 but the backbone has 3 layers"):
        features(layer_pooling=4)
    with pytest.raises(ModelError, match="does not say how many layers it has"):
        SpanFeatures(SpanSettings(layer_pooling="all"), replace(RUNTIME, layers=0), 2)


@pytest.mark.parametrize("layers", [[hidden()], [hidden()[:, :7], hidden(), hidden()]])
def test_layers_that_cannot_be_pooled_are_named(layers: list[torch.Tensor]) -> None:
    with pytest.raises(ModelError, match=r"layer_pooling wants 3 layers of one shape; the backbone gives \(4, "):
        features(layer_pooling=3).pool(layers)


# ------------------------------------------------------------------------------------------------------------ dropout
def test_several_dropout_masks_need_dropout() -> None:
    with pytest.raises(ValidationError, match="multi_sample_dropout needs dropout above 0"):
        SpanSettings(multi_sample_dropout=2)


def test_every_sample_has_a_mask_of_its_own_in_training_only() -> None:
    several = features(dropout=0.5, multi_sample_dropout=3)
    samples = several.logits(hidden())
    assert len(samples) == 3
    assert not torch.equal(samples[0], samples[1])
    assert len(several.eval().logits(hidden())) == 1
    torch.testing.assert_close(several.logits(hidden())[0], F.linear(hidden(), several.linear.weight))


@HEADS
def test_the_loss_is_the_mean_over_the_samples(component: Component[Any, Any, Any]) -> None:
    one, several = head(component, dropout=0.5), head(component, dropout=0.5, multi_sample_dropout=3)
    batch = made_up_batch()
    torch.manual_seed(5)
    losses = [one(hidden(), batch).loss for _ in range(3)]
    torch.manual_seed(5)
    torch.testing.assert_close(several(hidden(), batch).loss, torch.stack(losses).mean())
    assert losses[0] != losses[1]


# -------------------------------------------------------------------------------------------------- additional losses
def test_the_in_answer_loss_is_a_mean_over_context_tokens_and_windows() -> None:
    built, batch = features(in_answer_weight=0.5), made_up_batch()
    logits = (hidden() @ built.in_answer.weight.T + built.in_answer.bias).squeeze(-1)
    assert batch.target_first is not None
    assert batch.target_last is not None
    windows = []
    for row in range(4):
        first, last = int(batch.target_first[row]), int(batch.target_last[row])
        places = batch.context_mask[row].nonzero().flatten().tolist()
        inside = torch.tensor([float(first <= place <= last) for place in places])
        windows.append(F.binary_cross_entropy_with_logits(logits[row, places], inside))
    torch.testing.assert_close(built.auxiliary_loss(hidden(), batch), 0.5 * torch.stack(windows).mean())


def test_a_window_without_context_tokens_adds_nothing() -> None:
    built, batch = features(in_answer_weight=1.0), made_up_batch()
    empty = replace(batch, context_mask=torch.zeros_like(batch.context_mask))
    loss = built.auxiliary_loss(hidden(), empty)
    assert loss is not None
    assert loss.item() == 0.0


def test_the_answerability_loss_asks_position_0() -> None:
    built, batch = features(answerability_weight=2.0), made_up_batch()
    log_odds = built.window_scores(hidden())["no_answer"]
    assert log_odds is not None
    torch.testing.assert_close(
        log_odds, (hidden()[:, 0] @ built.answerability.weight.T + built.answerability.bias).squeeze(-1)
    )
    expected = F.binary_cross_entropy_with_logits(log_odds, torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(built.auxiliary_loss(hidden(), batch), 2.0 * expected)


def test_additional_losses_need_targets_and_add_up() -> None:
    both = features(in_answer_weight=1.0, answerability_weight=2.0)
    assert both.auxiliary_loss(hidden(), made_up_batch(targets=False)) is None
    assert features().auxiliary_loss(hidden(), made_up_batch()) is None
    assert features().window_scores(hidden()) == {}
    parts = features(in_answer_weight=1.0), features(answerability_weight=2.0)
    for part in parts:
        part.load_state_dict({name: both.state_dict()[name] for name in part.state_dict()})
    losses = [part.auxiliary_loss(hidden(), made_up_batch()) for part in parts]
    torch.testing.assert_close(both.auxiliary_loss(hidden(), made_up_batch()), losses[0] + losses[1])


@HEADS
def test_the_additional_losses_are_part_of_the_heads_loss(component: Component[Any, Any, Any]) -> None:
    built = head(component, in_answer_weight=3.0, answerability_weight=1.0)
    plain = head(component)
    plain.load_state_dict({name: built.state_dict()[name] for name in plain.state_dict()})
    batch, states = made_up_batch(), hidden()
    extra = built.features.auxiliary_loss(states, batch)
    torch.testing.assert_close(built(states, batch).loss, plain(states, batch).loss + extra)


@HEADS
def test_answerability_raises_the_null_score_where_there_is_no_answer(component: Component[Any, Any, Any]) -> None:
    built, batch, states = head(component, answerability_weight=1.0), made_up_batch(), hidden()
    assert batch.target_first is not None
    rest = [value for name, value in built.named_parameters() if "answerability" not in name]
    for value in rest:
        torch.nn.init.zeros_(value).requires_grad_(False)
    before = built.decode(built(states, batch).scores, batch).null
    trained(built, lambda: built(states, batch).loss, steps=40)
    after = built.decode(built(states, batch).scores, batch).null
    without = batch.target_first == 0
    assert before.abs().max() < 1
    assert (after[without] > 1).all()
    assert (after[~without] < -1).all()


@HEADS
def test_position_scores_are_against_the_null_score_with_answerability(component: Component[Any, Any, Any]) -> None:
    """A start and an end together (for one token: a whole span) must not forget the classifier."""
    built, batch = head(component, answerability_weight=1.0), made_up_batch(targets=False)
    scores = dict(built(hidden(), batch).scores)
    shifted = {**scores, "no_answer": scores["no_answer"] + 3.0}
    before, after = built.position_scores(scores, batch), built.position_scores(shifted, batch)
    where = batch.context_mask
    fall = (before.start - after.start)[where], (before.end - after.end)[where]
    each = 1.5 if component is LINEAR_SPAN else 3.0  # halves that sum up, or marginals
    for side in fall:
        torch.testing.assert_close(side, torch.full_like(side, each))
