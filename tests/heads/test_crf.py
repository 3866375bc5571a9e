"""The CRF head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchcrf
from torch import Tensor

from qakit.api import Batch, HeadRuntime, ModelError, PoolsLayers, ScoresPositions
from qakit.data.batch import numbered
from qakit.registry import load_registry
from qakit.testing import check_component, check_head, made_up_batch
from qakit_heads import CRF, CrfSettings
from qakit_heads.chain import BEGIN, INSIDE, OUTSIDE

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.02, n_best=5, max_answer_length=4, no_answer=True, layers=2)
MODES = ("bio", "single_span")


def head(mode: str = "bio", runtime: HeadRuntime = RUNTIME, **settings: Any) -> Any:
    torch.manual_seed(0)
    return load_registry().build("heads", "crf", {"mode": mode, **settings}, runtime)


def hidden(seed: int = 0) -> Tensor:
    return torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(seed))


def all_null() -> Batch:
    zero = torch.zeros(4, dtype=torch.int64)
    return replace(made_up_batch(), target_first=zero, target_last=zero)


def two_contexts() -> Batch:
    """Window 3's ten context tokens, 3 to 12, with a special token at 8 between two contexts."""
    batch = made_up_batch()
    context_mask, start_mask = batch.context_mask.clone(), batch.start_mask.clone()
    context_mask[3, 8] = start_mask[3, 8] = False
    return replace(batch, context_mask=context_mask, start_mask=start_mask)


def target_tags(batch: Batch) -> Tensor:
    """(B, T) the target path; -1 outside the context."""
    assert batch.target_first is not None
    assert batch.target_last is not None
    place = torch.arange(batch.context_mask.shape[1])
    first, last = batch.target_first[:, None], batch.target_last[:, None]
    tags = torch.where(place == first, BEGIN, torch.where((place > first) & (place <= last), INSIDE, OUTSIDE))
    return tags.masked_fill(~batch.context_mask, -1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dropout": 0.3},
        {"dropout": 0.3, "multi_sample_dropout": 3},
        {"in_answer_weight": 0.5, "answerability_weight": 0.5},
    ],
    ids=["plain", "dropout", "samples", "auxiliary"],
)
def test_keeps_the_contract_of_heads(mode: Any, settings: dict[str, Any]) -> None:
    check_component("heads", CRF)
    check_head(CRF, CrfSettings(mode=mode, **settings))


def test_the_loss_is_that_of_pytorch_crf() -> None:
    built, batch = head(), made_up_batch()
    with torch.no_grad():
        for parameter in (built.transitions, built.start, built.end):
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    reference = torchcrf.CRF(3, batch_first=True)
    with torch.no_grad():
        reference.transitions.copy_(built.transitions.view(3, 3))
        reference.start_transitions.copy_(built.start)
        reference.end_transitions.copy_(built.end)
        reference.transitions[OUTSIDE, INSIDE] = reference.start_transitions[INSIDE] = -1e4
    output = built(hidden(), batch)
    tags = target_tags(batch)
    losses, paths = [], []
    for row in range(4):
        chain = batch.context_mask[row]
        emissions = output.scores["emissions"][row][chain][None]
        losses.append(-reference(emissions, tags[row][chain][None], mask=chain[chain][None]))
        paths.append(reference.decode(emissions, mask=chain[chain][None])[0])
    assert output.loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    best = built.best_path(output.scores, batch)
    assert [best[row][batch.context_mask[row]].tolist() for row in range(4)] == paths
    assert (best[~batch.context_mask] == -1).all()


def test_one_answer_at_most_is_more_probable_among_such_paths() -> None:
    """The same scores, fewer paths that share the probability; and no other difference."""
    batch = made_up_batch()
    every, single = head("bio"), head("single_span")
    loss, loss_of_single = every(hidden(), batch).loss.item(), single(hidden(), batch).loss.item()
    assert 0 < loss_of_single < loss
    one_token = replace(
        batch, context_mask=torch.arange(14) == 5 + torch.zeros(4, 1), target_first=torch.tensor([5] * 4)
    )
    one_token = replace(one_token, target_last=one_token.target_first)  # one token has no room for two answers
    assert every(hidden(), one_token).loss.item() == pytest.approx(single(hidden(), one_token).loss.item(), rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", [made_up_batch(), all_null(), two_contexts()], ids=["mixed", "null", "two contexts"])
def test_learns_the_target_path(mode: str, batch: Batch) -> None:
    built = head(mode)
    states = hidden().requires_grad_()  # free emissions: any path can be learnt
    optimiser = torch.optim.Adam([*built.parameters(), states], lr=0.1)
    for _ in range(80):
        optimiser.zero_grad()
        loss = built(states, batch).loss
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    scores = built(states, batch).scores
    assert torch.equal(built.best_path(scores, batch), target_tags(batch))
    decoded = built.decode(scores, replace(batch, start_mask=batch.context_mask))
    assert batch.target_first is not None
    assert batch.target_last is not None
    answered = batch.target_first > 0
    assert decoded.first[answered, 0].tolist() == batch.target_first[answered].tolist()
    assert decoded.last[answered, 0].tolist() == batch.target_last[answered].tolist()
    assert (decoded.score[answered, 0] > decoded.null[answered]).all()
    assert (decoded.score[~answered, 0] < decoded.null[~answered]).all()


def test_candidates_stay_within_one_context() -> None:
    built, batch = head(runtime=replace(RUNTIME, n_best=100)), two_contexts()
    emissions = torch.zeros(4, 14, 3)
    emissions[..., INSIDE] = 20.0  # the longer the better
    decoded = built.decode({"emissions": emissions}, batch)
    used = decoded.score[3] > -torch.inf
    spans = set(zip(decoded.first[3][used].tolist(), decoded.last[3][used].tolist(), strict=True))
    runs = ((3, 7), (9, 12))
    assert spans == {
        (i, j) for begin, end in runs for i in range(begin, end + 1) for j in range(i, min(end, i + 3) + 1)
    }
    tags = built.best_path({"emissions": emissions}, batch)[3]
    assert tags[3:13].tolist() == [BEGIN, *[INSIDE] * 4, -1, BEGIN, *[INSIDE] * 3]


@pytest.mark.parametrize("mode", MODES)
def test_decoded_scores_are_log_odds_against_no_answer(mode: str) -> None:
    """The loss of a target tells its log-probability; differences of losses are differences of scores."""
    built, batch = head(mode), made_up_batch()
    scores = built(hidden(), batch).scores
    decoded = built.decode(scores, batch)
    assert decoded.null.tolist() == [0.0] * 4
    null_loss = built(hidden(), all_null()).loss
    best = replace(batch, target_first=decoded.first[:, 0], target_last=decoded.last[:, 0])
    assert (null_loss - built(hidden(), best).loss).item() == pytest.approx(decoded.score[:, 0].mean().item(), rel=1e-4)


def test_the_answerability_classifier_moves_null_and_positions() -> None:
    batch = made_up_batch(targets=False)
    plain, with_classifier = head().eval(), head(answerability_weight=1.0).eval()
    scores = with_classifier(hidden(), batch).scores
    assert scores["no_answer"].abs().min() > 0
    without = {"emissions": scores["emissions"]}
    assert torch.equal(with_classifier.decode(scores, batch).null, scores["no_answer"])
    assert torch.equal(with_classifier.decode(scores, batch).score, plain.decode(without, batch).score)
    positions, plain_positions = with_classifier.position_scores(scores, batch), plain.position_scores(without, batch)
    inside = batch.context_mask
    for got, before in ((positions.start, plain_positions.start), (positions.end, plain_positions.end)):
        torch.testing.assert_close(got[inside], (before - scores["no_answer"][:, None])[inside])
        assert (got[~inside] == -torch.inf).all()


def test_position_scores_disregard_where_starts_are_allowed() -> None:
    built, batch = head().eval(), made_up_batch(targets=False)
    assert isinstance(built, ScoresPositions)
    scores = built(hidden(), batch).scores
    positions = built.position_scores(scores, batch)
    anywhere = built.position_scores(scores, replace(batch, start_mask=batch.context_mask))
    assert torch.equal(positions.start, anywhere.start)
    one = 2  # a window with one context token: one answer
    decoded = built.decode(scores, batch)
    assert positions.start[one, 5].item() == positions.end[one, 5].item()
    assert positions.start[one, 5].item() == pytest.approx(decoded.score[one, 0].item(), rel=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_broken_scores_are_an_error(value: float) -> None:
    built, batch = head(), made_up_batch(targets=False)
    emissions = torch.zeros(4, 14, 3)
    emissions[2, 5, OUTSIDE] = value
    with pytest.raises(ModelError, match="weights are broken"):
        built.decode({"emissions": emissions}, batch)


@pytest.mark.parametrize("mode", MODES)
def test_extreme_hidden_states_give_a_finite_loss_and_finite_gradients(mode: str) -> None:
    built, batch = head(mode), made_up_batch()
    states = (1e6 * hidden()).requires_grad_()
    loss = built(states, batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert states.grad is not None
    assert torch.isfinite(states.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in built.parameters())


@pytest.mark.parametrize("mode", MODES)
def test_starts_from_about_one_answer_per_window(mode: str) -> None:
    """Before training, "no answer" and one answer somewhere are both believable, and nothing else is."""
    width = 384
    mask = torch.ones(1, width, dtype=torch.bool)
    mask[:, 0] = False
    window = made_up_batch()
    batch = Batch(
        **{name: getattr(window, name) for name in ("token_type_ids", "window", "token", "segment")},
        input_ids=torch.zeros(1, width, dtype=torch.int64),
        attention_mask=mask.long(),
        context_mask=mask,
        start_mask=mask,
        **numbered(np.zeros(1, np.int64), np.zeros((1, 1), np.int64)),
        segment_number=mask.long() - 1,
        target_first=torch.tensor([100]),
        target_last=torch.tensor([102]),
    )
    built, states = head(mode), torch.zeros(1, width, 16)
    answer = built(states, batch).loss.item()
    none = built(states, replace(batch, target_first=torch.tensor([0]), target_last=torch.tensor([0]))).loss.item()
    assert none < 3
    assert answer < 10


def test_weight_decay_leaves_the_transitions_alone() -> None:
    """Optimisers decay parameters of two and more dimensions."""
    assert {name for name, parameter in head().named_parameters() if parameter.ndim > 1} == {"features.linear.weight"}


def test_pools_layers_on_request() -> None:
    assert not head().pools
    built = head(layer_pooling=2)
    assert isinstance(built, PoolsLayers)
    assert built.pools
    layers = [hidden(seed) for seed in range(3)]
    torch.testing.assert_close(built.pool(layers), (layers[1] + layers[2]) / 2)
