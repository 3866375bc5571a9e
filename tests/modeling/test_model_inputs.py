"""What the encoder is told beside the tokens."""

from __future__ import annotations

import torch
from tiny_model import tiny_head, tiny_model, tiny_recipe
from transformers import AutoModel, LongformerConfig

from qakit.modeling.model import ReadingModel, question_mask
from qakit.testing.heads import made_up_batch
from qakit.training.optim import parameter_groups


def test_global_attention_is_on_what_stands_before_the_first_context() -> None:
    batch = made_up_batch()
    mask = question_mask(batch)
    for row in range(len(batch)):
        context = batch.context_mask[row].nonzero().flatten().tolist()
        expected = range(context[0]) if context else range(1)
        assert mask[row].nonzero().flatten().tolist() == list(expected)


def test_a_longformer_sees_the_question_and_all_its_weights_learn() -> None:
    batch = made_up_batch(targets=True)
    config = LongformerConfig(
        vocab_size=int(batch.input_ids.max()) + 1,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        attention_window=4,
        max_position_embeddings=batch.input_ids.shape[1] + 8,
        pad_token_id=0,
        type_vocab_size=2,
    )
    torch.manual_seed(0)
    backbone = AutoModel.from_config(config, add_pooling_layer=False)
    model = ReadingModel(backbone, tiny_head("linear_span")).train()
    loss = model(batch).loss
    assert loss is not None
    loss.backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == []


def test_biases_do_not_decay_whatever_their_shape() -> None:
    model = tiny_model()
    model.backbone.separable = torch.nn.Module()  # type: ignore[assignment]
    model.backbone.separable.register_parameter("bias", torch.nn.Parameter(torch.ones(16, 1)))
    groups = parameter_groups(model, tiny_recipe(weight_decay=0.1).train)
    kept = {name for group in groups if group["weight_decay"] == 0 for name in group["names"]}
    assert "backbone.separable.bias" in kept and "backbone.dense.bias" in kept
    assert "backbone.dense.weight" not in kept
