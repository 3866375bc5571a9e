"""The classification head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from qakit.errors import QakitError, UsageError
from qakit.protocols import GivesOtherThanSpans, HeadRuntime, LearnsNumbers, TransformersNames
from qakit.registry import load_registry
from qakit.testing import check_component, check_head, made_up_batch
from qakit_heads import CLASSIFIER, ClassifierSettings

RUNTIME = HeadRuntime(
    hidden_size=16, initializer_range=0.02, n_best=5, max_answer_length=4, no_answer=False, labels=("a", "b", "c")
)
NUMBERS = replace(RUNTIME, labels=())
SEVERAL = replace(NUMBERS, numbers=("a", "b", "c"))
LOSSES = {"mse": F.mse_loss, "binary_cross_entropy": F.binary_cross_entropy_with_logits}


def head(runtime: HeadRuntime = RUNTIME, **settings: Any) -> Any:
    torch.manual_seed(0)
    return load_registry().build("heads", "classifier", settings, runtime)


def hidden(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c"), ()])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "mean", "dense": False},
        {"layer_pooling": 2, "multi_sample_dropout": 3, "dropout": 0.2, "label_smoothing": 0.1},
    ],
)
def test_keeps_the_contract_of_heads(labels: tuple[str, ...], settings: dict[str, Any]) -> None:
    check_component("heads", CLASSIFIER)
    check_head(CLASSIFIER, ClassifierSettings(**settings), labels=labels)


def test_says_what_it_gives() -> None:
    built = head()
    assert isinstance(built, GivesOtherThanSpans)
    assert (built.gives, built.reads) == ("labels", "sequence")
    assert isinstance(built, TransformersNames)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_transformers_has_it_where_it_reads_position_0_through_a_dense_layer(
    architecture: str, dense: bool, pooling: str
) -> None:
    named = set(head(replace(RUNTIME, architecture=architecture), dense=dense, pooling=pooling).transformers_names)
    assert bool(named) == (dense and pooling == "cls")


@pytest.mark.parametrize("dense", [True, False])
def test_pooling_reads_position_0_or_the_mean_of_real_tokens(dense: bool) -> None:
    batch, states = made_up_batch(targets=False), hidden()
    for pooling in ("cls", "mean"):
        built = head(pooling=pooling, dense=dense).eval()
        rows = [states[i, 0] if pooling == "cls" else states[i, batch.attention_mask[i] == 1].mean(0) for i in range(4)]
        text = torch.stack(rows)
        if dense:
            text = torch.tanh(built.dense(text))
        torch.testing.assert_close(built(states, batch).scores["logits"], built.features.linear(text))


def test_classes_have_cross_entropy_and_label_smoothing() -> None:
    batch = made_up_batch()
    assert batch.target_label is not None
    for smoothing in (0.0, 0.3):
        output = head(dropout=0.0, label_smoothing=smoothing)(hidden(), batch)
        wanted = F.cross_entropy(output.scores["logits"], batch.target_label.long(), label_smoothing=smoothing)
        torch.testing.assert_close(output.loss, wanted)


def test_numbers_have_the_squared_error() -> None:
    batch = replace(made_up_batch(), target_label=torch.tensor([0.5, 4.75, -1.0, 2.0]))
    output = head(NUMBERS, dropout=0.0)(hidden(), batch)
    assert output.scores["logits"].shape == (4, 1)
    torch.testing.assert_close(output.loss, F.mse_loss(output.scores["logits"][:, 0], batch.target_label))


@pytest.mark.parametrize("runtime", [RUNTIME, NUMBERS])
def test_windows_without_a_target_take_no_part(runtime: HeadRuntime) -> None:
    built, batch, states = head(runtime, dropout=0.0), made_up_batch(), hidden()
    assert batch.target_label is not None
    holed = batch.target_label.clone()
    holed[1] = torch.nan
    with_hole = built(states, replace(batch, target_label=holed)).loss
    states[1] += 100  # whatever stands there
    torch.testing.assert_close(built(states, replace(batch, target_label=holed)).loss, with_hole)
    nothing = built(states, replace(batch, target_label=torch.full((4,), torch.nan))).loss
    nothing.backward()
    assert nothing.item() == 0


def test_several_dropout_masks_average_their_losses_and_predict_without_any() -> None:
    built, batch = head(dropout=0.5, multi_sample_dropout=4), made_up_batch()
    assert len(built.features.logits(hidden()[:, 0])) == 4
    built.eval()
    assert torch.equal(built(hidden(), batch).scores["logits"], built(hidden(), batch).scores["logits"])


def test_settings_that_cannot_work() -> None:
    with pytest.raises(QakitError, match="multi_sample_dropout needs dropout"):
        head(multi_sample_dropout=2, dropout=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("numbers", [("a", "b"), ("only",), ()])
def test_heads_of_several_numbers_keep_the_contract(loss: str, numbers: tuple[str, ...]) -> None:
    check_head(CLASSIFIER, ClassifierSettings(loss=loss), numbers=numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", LOSSES)
def test_of_several_numbers_those_that_are_known_are_learnt(loss: str) -> None:
    target = torch.tensor([[0.5, 1.0, 0.0], [torch.nan, 0.2, torch.nan], [torch.nan] * 3, [1.0, torch.nan, 0.3]])
    batch = replace(made_up_batch(), target_label=target)
    output = head(SEVERAL, dropout=0.0, loss=loss)(hidden(), batch)
    logits = output.scores["logits"]
    assert logits.shape == (4, 3)
    known = ~target.isnan()
    every = LOSSES[loss](logits[known], target[known], reduction="sum") / 3
    torch.testing.assert_close(output.loss, every / 3)  # three windows have a target
    nothing = replace(batch, target_label=torch.full((4, 3), torch.nan))
    assert head(SEVERAL, loss=loss)(hidden(), nothing).loss.item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_mean_of_its_parts(loss: str) -> None:
    """Accumulation and several processes weigh each part by its windows."""
    target = torch.tensor([[0.5, 1.0, 0.0], [torch.nan, 0.2, torch.nan], [0.1, 0.2, 0.3], [1.0, torch.nan, 0.3]])
    built, states = head(SEVERAL, dropout=0.0, loss=loss, pooling="cls"), hidden()

    def of(rows: list[int]) -> torch.Tensor:
        batch = made_up_batch()
        part = replace(batch, attention_mask=batch.attention_mask[rows], target_label=target[rows])
        found: torch.Tensor = built(states[rows], part).loss
        return found

    torch.testing.assert_close(of([0, 1, 2, 3]), (3 * of([0, 1, 2]) + of([3])) / 4)


def test_predictions_of_a_cross_entropy_are_sigmoids() -> None:
    built, batch = head(SEVERAL, loss="binary_cross_entropy").eval(), made_up_batch(targets=False)
    output = built(hidden(), batch)
    torch.testing.assert_close(built.decode(output.scores, batch).scores, output.scores["logits"].sigmoid())
    assert isinstance(built, LearnsNumbers)
    assert built.number_range == (0.0, 1.0)
    assert head(SEVERAL).number_range is None
    assert built.config_updates["problem_type"] == "multi_label_classification"
    assert head(SEVERAL).config_updates["problem_type"] == "regression"
    assert head(SEVERAL).config_updates["id2label"] == {0: "a", 1: "b", 2: "c"}


def test_classes_have_no_such_loss() -> None:
    with pytest.raises(UsageError, match=r"is for numbers from 0 to 1, and the labels are classes.*label_type: number"):
        head(loss="binary_cross_entropy")
