"""A head that pools layers gets them all from the backbone; any other head gets the last one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForQuestionAnswering

from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.folder import load_model, save_model
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.testing import made_up_batch

CPU = torch.device("cpu")
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "BertConfig": SMALL,
    "ElectraConfig": {**SMALL, "embedding_size": 16},
    "AlbertConfig": {**SMALL, "embedding_size": 16},
    "DistilBertConfig": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64},
    "DebertaV2Config": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBertConfig": {**SMALL, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 16},
}


class Listening(nn.Module):
    """A backbone that remembers what it was asked for and what it gave."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.asked: dict[str, Any] = {}
        self.given: Any = None

    def forward(self, **inputs: Any) -> Any:
        self.asked, self.given = inputs, self.inner(**inputs)
        return self.given


def assembled_with(head: dict[str, Any], backbone: Path) -> tuple[Assembled, Recipe]:
    recipe = Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": str(backbone)},
            "windows": {"max_length": 64},
            "head": head,
        }
    )
    return assemble(recipe, load_registry(), device=CPU), recipe


def scores(assembled: Assembled) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(assembled.model.eval()(made_up_batch(targets=False)).scores)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_its_embeddings_and_layers(family: str, tiny_backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    folder.mkdir()
    for file in tiny_backbone.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            (folder / file.name).write_bytes(file.read_bytes())
    config = getattr(transformers, family)(vocab_size=800, **FAMILIES[family])
    AutoModel.from_config(config).save_pretrained(folder)
    assembled, _ = assembled_with({"name": "linear_span", "layer_pooling": "all"}, folder)
    backbone = assembled.model.backbone = Listening(assembled.model.backbone)
    head: Any = assembled.model.head
    found = scores(assembled)
    layers = backbone.given.hidden_states
    assert len(layers) == len(head.features.layer_weights) == 4
    assert torch.equal(layers[-1], backbone.given.last_hidden_state)
    logits = head.features.linear(torch.stack(layers).mean(0))
    torch.testing.assert_close(found["start"], logits[..., 0])


def test_other_heads_get_the_last_layer_and_no_others_are_kept(tiny_backbone: Path) -> None:
    assembled, _ = assembled_with({"name": "linear_span"}, tiny_backbone)
    backbone = assembled.model.backbone = Listening(assembled.model.backbone)
    head: Any = assembled.model.head
    found = scores(assembled)
    assert "output_hidden_states" not in backbone.asked
    assert backbone.given.hidden_states is None
    torch.testing.assert_close(found["end"], head.features.linear(backbone.given.last_hidden_state)[..., 1])


def test_the_loss_reaches_the_weights_of_the_layers_and_every_layer(tiny_backbone: Path) -> None:
    assembled, _ = assembled_with({"name": "joint_span", "layer_pooling": 2}, tiny_backbone)
    model: Any = assembled.model
    model(made_up_batch()).loss.backward()
    assert model.head.features.layer_weights.grad.abs().min() > 0
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    "head",
    [
        {"name": "linear_span", "layer_pooling": "all", "in_answer_weight": 0.5},
        {"name": "joint_span", "layer_pooling": 2, "interaction": 3, "answerability_weight": 0.5},
    ],
    ids=lambda head: head["name"],
)
def test_pooled_heads_are_loaded_as_they_were_saved(head: dict[str, Any], tiny_backbone: Path, tmp_path: Path) -> None:
    assembled, recipe = assembled_with(head, tiny_backbone)
    with torch.no_grad():
        for parameter in assembled.model.head.parameters():
            parameter.normal_()
    save_model(assembled, tmp_path / "model", decision={})
    loaded = load_model(tmp_path / "model", recipe, load_registry(), device=CPU)
    before, after = scores(assembled), scores(loaded)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_plain_joint_head_is_a_question_answering_model_of_transformers(tiny_backbone: Path, tmp_path: Path) -> None:
    assembled, _ = assembled_with({"name": "joint_span"}, tiny_backbone)
    save_model(assembled, tmp_path / "model", decision={})
    model, report = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    batch = made_up_batch(targets=False)
    with torch.inference_mode():
        theirs = model.eval()(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
        )
    ours, mask = scores(assembled), batch.context_mask
    torch.testing.assert_close(ours["start"][mask], theirs.start_logits[mask], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours["end"][mask], theirs.end_logits[mask], atol=1e-5, rtol=1e-4)
