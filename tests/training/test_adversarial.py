"""Adversarial steps, against the same steps taken by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny_model import TinyBackbone, gradients, gradients_of, tiny_model, tiny_plan, tiny_recipe, weights_of
from torch import Tensor

from qakit.errors import UsageError
from qakit.modeling.model import ReadingModel
from qakit.recipe.tricks import AdversarialSection
from qakit.testing.heads import made_up_batch
from qakit.training.adversarial import Attack
from qakit.training.tricks import check_tricks

TABLE, LINEAR = "backbone.embeddings.weight", "head.features.linear.weight"


def attack_on(model: ReadingModel, method: str, **settings: Any) -> Attack:
    return Attack(model, AdversarialSection.model_validate({"method": method, **settings}))


def plain_gradients(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Of the mean loss over all windows, with these weights."""
    model = tiny_model()
    model.load_state_dict(dict(weights))
    loss = model(made_up_batch()).loss
    assert loss is not None
    loss.backward()
    return gradients_of(model)


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_fgm_adds_the_gradients_of_a_step_along_the_embeddings_gradient() -> None:
    model = tiny_model()
    weights = weights_of(model)
    clean = plain_gradients(weights)
    moved = dict(weights)
    moved[TABLE] = weights[TABLE] + 0.7 * clean[TABLE] / clean[TABLE].norm()
    adversarial = plain_gradients(moved)
    gradients(model, attack=attack_on(model, "fgm", epsilon=0.7, weight=0.5))
    same(gradients_of(model), {name: clean[name] + 0.5 * adversarial[name] for name in clean})
    assert torch.linalg.vector_norm(moved[TABLE] - weights[TABLE]).item() == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize("step_size", [1.0, 0.02])
def test_awp_moves_each_matrix_by_its_size_and_each_weight_within_its_bound(step_size: float) -> None:
    model = tiny_model()
    weights = weights_of(model)
    clean, moved = plain_gradients(weights), dict(weights)
    for name, weight in weights.items():
        if weight.ndim >= 2:
            step = step_size * weight.norm() * clean[name] / clean[name].norm()
            bound = 0.03 * weight.abs()
            moved[name] = weight + torch.minimum(torch.maximum(step, -bound), bound)
    assert all(torch.equal(moved[name], weights[name]) for name in weights if name.endswith("bias"))
    adversarial = plain_gradients(moved)
    gradients(model, attack=attack_on(model, "awp", epsilon=0.03, step_size=step_size))
    same(gradients_of(model), {name: clean[name] + adversarial[name] for name in clean})


def test_the_adversarial_loss_is_larger() -> None:
    model = tiny_model()
    weights = weights_of(model)
    clean = plain_gradients(weights)
    before = model(made_up_batch()).loss
    moved = dict(weights)
    moved[TABLE] = weights[TABLE] + 0.1 * clean[TABLE] / clean[TABLE].norm()
    model.load_state_dict(moved)
    assert model(made_up_batch()).loss > before


@pytest.mark.parametrize("method", ["fgm", "awp"])
def test_the_weights_are_restored_bit_for_bit_and_the_loss_is_the_clean_one(method: str) -> None:
    model = tiny_model()
    weights = weights_of(model)
    loss = gradients(model, attack=attack_on(model, method, epsilon=0.9))
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(model).items())
    assert loss == gradients(model)


@pytest.mark.parametrize("method", ["fgm", "awp"])
def test_the_weights_are_restored_when_the_second_pass_breaks(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    model.backbone.embeddings.weight.requires_grad_(False)
    weights, calls = weights_of(model), []
    forward = TinyBackbone.forward

    def breaks(self: TinyBackbone, **inputs: Any) -> Any:
        calls.append(not torch.equal(weights_of(model)[LINEAR], weights[LINEAR]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return forward(self, **inputs)

    monkeypatch.setattr(TinyBackbone, "forward", breaks)
    with pytest.raises(KeyboardInterrupt):
        gradients(model, attack=attack_on(model, method))
    assert calls == [False, method == "awp"]
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(model).items())
    assert not model.backbone.embeddings.weight.requires_grad


@pytest.mark.parametrize("method", ["fgm", "awp"])
def test_a_step_without_memory_is_cut_and_comes_to_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = tiny_model(), tiny_model()
    gradients(whole, attack=attack_on(whole, method))
    forward, calls = TinyBackbone.forward, iter(range(100))

    def fits_twice(self: TinyBackbone, **inputs: Any) -> Any:
        if next(calls) and len(inputs["input_ids"]) > 2:  # not in the first, clean pass
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, **inputs)

    monkeypatch.setattr(TinyBackbone, "forward", fits_twice)
    gradients(cut, attack=attack_on(cut, method))
    same(gradients_of(cut), gradients_of(whole))


def test_gradients_travel_with_the_last_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    no_sync, backward = Accelerator.no_sync, Accelerator.backward

    def held(self: Accelerator, model: Any) -> Any:
        seen.append("held")
        return no_sync(self, model)

    def goes_back(self: Accelerator, loss: Tensor) -> None:
        seen.append("backward")
        backward(self, loss)

    monkeypatch.setattr(Accelerator, "no_sync", held)
    monkeypatch.setattr(Accelerator, "backward", goes_back)
    gradients(tiny_model(), parts=3)
    assert seen == ["held", "backward", "held", "backward", "backward"]


def test_as_long_as_any_part_has_two_windows_a_step_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = tiny_model(), tiny_model()
    gradients(whole)
    forward = TinyBackbone.forward

    def fits_one(self: TinyBackbone, **inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, **inputs)

    monkeypatch.setattr(TinyBackbone, "forward", fits_one)
    gradients(cut, parts=3)  # of four windows
    same(gradients_of(cut), gradients_of(whole))


@pytest.mark.parametrize("method", ["fgm", "awp"])
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_it_does_not_matter_how_a_step_is_cut(method: str, parts: int) -> None:
    whole, cut = tiny_model(), tiny_model()
    gradients(whole, attack=attack_on(whole, method))
    gradients(cut, parts=parts, attack=attack_on(cut, method))
    same(gradients_of(cut), gradients_of(whole))


def test_without_the_clean_gradients_only_the_adversarial_ones_remain() -> None:
    model, both = tiny_model(), tiny_model()
    gradients(both, attack=attack_on(both, "awp"))
    gradients(model, attack=attack_on(model, "awp", keep_clean=False))
    clean = plain_gradients(weights_of(model))
    same(gradients_of(model), {name: value - clean[name] for name, value in gradients_of(both).items()})


def test_frozen_embeddings_are_moved_all_the_same_and_keep_no_gradient() -> None:
    trained, frozen = tiny_model(), tiny_model()
    frozen.backbone.embeddings.weight.requires_grad_(False)
    gradients(trained, attack=attack_on(trained, "fgm"))
    gradients(frozen, attack=attack_on(frozen, "fgm"))
    same(gradients_of(frozen), {name: g for name, g in gradients_of(trained).items() if name != TABLE})
    assert not frozen.backbone.embeddings.weight.requires_grad


def test_gradients_of_nothing_move_nothing() -> None:
    model = tiny_model()
    attack = attack_on(model, "awp")
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    weights = weights_of(model)
    with attack.moved(Accelerator(cpu=True)):
        assert all(torch.equal(value, weights[name]) for name, value in weights_of(model).items())


def test_it_begins_when_the_recipe_says() -> None:
    attack = attack_on(tiny_model(), "fgm", start_epoch=1.5)
    assert [attack.begins(at) for at in (0.0, 1.0, 1.49, 1.5, 2.0)] == [False, False, False, True, True]


def test_what_cannot_be_done_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    for weight in model.parameters():
        weight.requires_grad_(weight.ndim < 2)
    with pytest.raises(UsageError, match="awp moves trained matrices, and the adapter leaves none"):
        attack_on(model, "awp")
    monkeypatch.delattr(TinyBackbone, "get_input_embeddings")
    with pytest.raises(UsageError, match="does not say which its word embeddings are"):
        attack_on(model, "fgm")
    monkeypatch.undo()
    recipe = tiny_recipe(adversarial={"method": "fgm", "start_epoch": 2})
    with pytest.raises(UsageError, match="would never begin: start_epoch is 2, and the training's last step begins"):
        list(check_tricks(recipe, tiny_model(), tiny_plan(5, 10), validated=False))


def test_awp_does_not_take_the_norm_of_fgm_for_a_share() -> None:
    """As in a recipe that extends one with fgm and changes the method alone."""
    with pytest.raises(ValueError, match="a weight may move by less than its size"):
        tiny_recipe(adversarial={"method": "awp", "epsilon": 1.0})
