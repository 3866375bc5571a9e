"""Freezing schedules: who is frozen when, and that a frozen weight is truly left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, BertConfig

from qakit.errors import ModelError
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import Recipe, TrainSection
from qakit.recipe.tricks import FreezingSection
from qakit.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from qakit.training.freezing import Freezing
from qakit.training.optim import build_optimiser


def model() -> ReadingModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )
    return ReadingModel(AutoModel.from_config(config, add_pooling_layer=False), nn.Linear(8, 2))


def freezing(of: ReadingModel, last_begins: float = 3.9, **section: Any) -> Freezing:
    made = Freezing.of(of, FreezingSection.model_validate(section), last_begins=last_begins)
    assert made is not None
    return made


def step(of: ReadingModel, optimiser: torch.optim.Optimizer, held: Freezing | None, at: float) -> None:
    ids = torch.arange(12).reshape(2, 6) % 30
    of.head(of.backbone(input_ids=ids).last_hidden_state).square().mean().backward()
    if held is not None:
        held.hold(optimiser, at=at)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def weights(of: ReadingModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in of.named_parameters()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The parts of which some weight has changed."""
    names = {name for name in before if not torch.equal(before[name], after[name])}
    return {
        name.split(".")[3] if ".layer." in name else name.split(".")[-3] if "emb" in name else "head" for name in names
    }


def test_stages_say_until_when_each_part_is_frozen() -> None:
    held = freezing(model(), stages=[{"until": 0.5, "layers": 2}, {"until": 1.5, "embeddings": False, "layers": 1}])
    assert dict(held.parts) == {"embeddings": 0.5, 0: 1.5, 1: 0.5}
    assert held.describe() == ["frozen until epoch 0.5: embeddings, layer 1", "frozen until epoch 1.5: layer 0"]


def test_gradual_unfreezing_goes_from_the_top_to_the_embeddings() -> None:
    held = freezing(model(), gradual=0.5)
    assert dict(held.parts) == {2: 0.5, 1: 1.0, 0: 1.5, "embeddings": 2.0}


def test_all_freezes_the_whole_backbone() -> None:
    held = freezing(model(), stages=[{"until": 1, "layers": "all"}])
    assert set(held.parts) == {"embeddings", 0, 1, 2}  # this backbone has nothing else
    assert (
        freezing(model(), stages=[{"until": 1, "layers": "all", "embeddings": False}]).parts.get("embeddings") is None
    )


def test_a_frozen_weight_has_no_update_no_decay_and_no_moments_and_trains_from_then_on() -> None:
    of = model()
    optimiser = build_optimiser(of, TrainSection(learning_rate=0.1, weight_decay=0.5))
    held = freezing(of, gradual=0.5)
    seen = []
    for at in (0.0, 0.4999, 0.5, 1.0, 1.5, 2.0):
        before = weights(of)
        step(of, optimiser, held, at)
        seen.append(moved(before, weights(of)))
        trained = {
            name for group in optimiser.param_groups for name in group["names"] if at >= held.parameters.get(name, 0)
        }
        with_moments = {
            name
            for group in optimiser.param_groups
            for name, parameter in zip(group["names"], group["params"], strict=True)
            if optimiser.state.get(parameter)
        }
        assert with_moments == trained
    assert seen[:2] == [{"head"}, {"head"}]
    assert seen[2:5] == [{"head", "2"}, {"head", "2", "1"}, {"head", "2", "1", "0"}]
    assert seen[5] > seen[4]


def test_a_thawed_weight_starts_as_if_training_began_then() -> None:
    """The first AdamW update of a weight moves it by the learning rate, in whatever step it comes."""
    of = model()
    optimiser = build_optimiser(of, TrainSection(learning_rate=0.01, weight_decay=0.0))
    held = freezing(of, stages=[{"until": 1, "layers": 3}])
    for _ in range(5):
        step(of, optimiser, held, 0.0)
    bias = of.backbone.get_parameter("encoder.layer.1.output.LayerNorm.bias")
    before = bias.detach().clone()
    step(of, optimiser, held, 1.0)
    assert (bias - before).abs().max().item() == pytest.approx(0.01, rel=1e-3)


def test_frozen_weights_do_not_count_for_the_norm_that_is_clipped() -> None:
    of = model()
    optimiser = build_optimiser(of, TrainSection())
    of.head(of.backbone(input_ids=torch.ones(1, 4, dtype=torch.long)).last_hidden_state).sum().backward()
    head_alone = nn.utils.clip_grad_norm_(of.head.parameters(), 1e9)
    freezing(of, stages=[{"until": 1, "layers": "all"}]).hold(optimiser, at=0.0)
    assert torch.equal(nn.utils.clip_grad_norm_(of.parameters(), 1e9), head_alone)


@pytest.mark.parametrize("killed", [1, 3])
def test_a_checkpoint_from_a_frozen_stage_goes_on_exactly(tmp_path: Path, killed: int) -> None:
    section = TrainSection(learning_rate=0.1)

    def train(of: ReadingModel, optimiser: torch.optim.Optimizer, steps: range) -> None:
        for number in steps:
            step(of, optimiser, freezing(of, stages=[{"until": 0.5, "layers": 2}]), number / 4)

    whole = model()
    train(whole, build_optimiser(whole, section), range(4))
    broken = model()
    optimiser = build_optimiser(broken, section)
    train(broken, optimiser, range(killed))
    folder = save_checkpoint(
        tmp_path, model=broken, optimiser=optimiser, progress=Progress(killed), scaler=None, recipe_hash="x", keep=1
    )
    again = model()
    optimiser = build_optimiser(again, section)
    load_checkpoint(folder, model=again, optimiser=optimiser, recipe_hash="x")
    train(again, optimiser, range(killed, 4))
    assert moved(weights(whole), weights(again)) == set()


def test_a_trial_of_one_step_is_not_told_to_thaw_after_no_epochs() -> None:
    with pytest.raises(ModelError, match=r"embeddings would thaw after 0\.4 epochs, but .* at epoch 0; train longer$"):
        freezing(model(), last_begins=0.0, gradual=0.1)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"stages": [{"until": 1, "layers": 4}]}, "layers is 4, but BertModel has 3"),
        (
            {"stages": [{"until": 4, "layers": 1}]},
            "embeddings would be frozen until epoch 4, but the training's last step begins at epoch 3.9; for a part",
        ),
        ({"gradual": 1}, r"embeddings would thaw after 4 epochs, but .* begins at epoch 3.9; give at most 0\.975$"),
    ],
)
def test_what_the_backbone_or_the_length_does_not_allow_is_refused(section: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        freezing(model(), **section)


def test_a_part_that_thaws_with_the_last_step_is_allowed() -> None:
    held = freezing(model(), last_begins=3.9, gradual=0.975)
    assert held.parts["embeddings"] == 3.9


def test_parts_that_never_train_do_not_count() -> None:
    of = model()
    for name, parameter in of.backbone.named_parameters():
        parameter.requires_grad_(".layer." in name)
    held = freezing(of, last_begins=1.5, gradual=0.5)  # the embeddings would thaw after 2 epochs
    assert dict(held.parts) == {2: 0.5, 1: 1.0, 0: 1.5}
    assert held.describe()[-1] == "frozen until epoch 1.5: layer 0"
    with pytest.raises(ModelError, match="the adapter trains none of the parts that it freezes"):
        freezing(of, stages=[{"until": 1}])


def test_a_head_without_weights_leaves_nothing_to_train() -> None:
    of = model()
    of.head = nn.Identity()
    with pytest.raises(ModelError, match="nothing would train at first"):
        freezing(of, stages=[{"until": 1, "layers": "all"}])
    with pytest.raises(ModelError, match="cannot find the encoder layers of Linear"):
        freezing(ReadingModel(nn.Linear(2, 2), nn.Linear(2, 2)), gradual=0.1)


@pytest.mark.parametrize(
    "block",
    [{}, {"stages": [{"until": 1}], "gradual": 0.1}, {"stages": [{"until": 1, "embeddings": False}]}, {"gradual": 0}],
)
def test_a_block_that_says_nothing_or_two_things_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"either stages or gradual|freezes nothing|greater than 0"):
        Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "x"}, "train": {"freezing": block}})


def test_what_is_given_at_most_is_rounded_down() -> None:
    with pytest.raises(ModelError, match=r"give at most 0\.488$"):
        freezing(model(), last_begins=1.9555, gradual=0.5)  # a quarter of it, 0.488875
