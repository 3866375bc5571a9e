"""Computing activations anew in the backward pass: the same bits from less memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapted_models import Make, small, train

from qakit.errors import ModelError
from qakit.modeling.assemble import use_gradient_checkpointing

ARCHITECTURES = ("bert", "roberta", "electra", "deberta-v2", "distilbert", "modernbert")


def stepped(model_type: str, *, saving: bool) -> tuple[dict[str, torch.Tensor], int]:
    """The gradients of one training step with dropout, and how many bytes its forward pass kept."""
    model = small(model_type).train()
    if saving:
        use_gradient_checkpointing(model, model_type)
    kept: dict[int, int] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    torch.manual_seed(1)
    tokens = torch.randint(3, 40, (4, 24))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        hidden = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    hidden.square().mean().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return gradients, sum(kept.values())


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_gradients_are_the_same_bits_from_less_memory(model_type: str) -> None:
    plain, much = stepped(model_type, saving=False)
    again, less = stepped(model_type, saving=True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in plain.items())
    assert less < much


@pytest.mark.parametrize("adapter", ["full", "lora", "bitfit"])
def test_with_every_kind_of_adapter_training_is_the_same(make: Make, adapter: str) -> None:
    weights: list[dict[str, Any]] = []
    for saving in (False, True):
        recipe, assembled = make(adapter, "linear_span")
        if saving:
            use_gradient_checkpointing(assembled.model.backbone, "bert")
        train(assembled, recipe, steps=range(3))
        weights.append({name: p.detach().clone() for name, p in assembled.model.named_parameters()})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("model_type", ["albert", "mpnet"])
def test_an_architecture_that_cannot_is_named(model_type: str) -> None:
    with pytest.raises(ModelError, match=f"the encoder {model_type} does not support it"):
        use_gradient_checkpointing(small(model_type), model_type)
