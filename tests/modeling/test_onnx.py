"""An encoder's ONNX graph gives what the encoder gives, whichever head goes with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModel

from qakit.errors import ModelError, RunError
from qakit.modeling.assemble import assemble, check_length
from qakit.modeling.folder import load_model, save_model
from qakit.modeling.model import ReadingModel
from qakit.modeling.onnx import OnnxEncoder, write_graph
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.testing import made_up_batch

pytest.importorskip("onnx", reason="the extra is not installed: pip install 'qakit[onnx]'")
pytest.importorskip("onnxruntime", reason="the extra is not installed: pip install 'qakit[onnx]'")

CPU = torch.device("cpu")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "RobertaConfig": {**SMALL, "pad_token_id": 1},
    "AlbertConfig": {**SMALL, "embedding_size": 16},
    "DebertaV2Config": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBertConfig": {**SMALL, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 16},
}


def recipe_of(head: object, backbone: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": str(backbone)},
            "windows": {"max_length": 64},
            "head": head,
        }
    )


@pytest.mark.parametrize(
    "head",
    [
        "linear_span",
        {"name": "linear_span", "layer_pooling": 2, "answerability_weight": 1.0},
        "joint_span",
        "crf",
        "paragraph_scorer",
        "multiple_choice",
        "classifier",
    ],
    ids=str,
)
@torch.inference_mode()
def test_every_head_scores_and_decodes_the_same_after_a_graph(head: Any, tiny_backbone: Path, tmp_path: Path) -> None:
    recipe, registry = recipe_of(head, tiny_backbone), load_registry()
    classes = ("no", "yes") if head == "classifier" else ()
    assembled = assemble(recipe, registry, device=CPU, classes=classes)
    assembled.model.eval()
    save_model(assembled, tmp_path / "model", decision={}, keep="onnx")
    loaded = load_model(tmp_path / "model", recipe, registry, device=CPU)
    batch = made_up_batch(targets=False)
    ours, theirs = loaded.model(batch).scores, assembled.model(batch).scores
    torch.testing.assert_close(dict(ours), dict(theirs), atol=1e-4, rtol=1e-4)
    decoded = [dataclasses.asdict(model.decoder.decode(theirs, batch)) for model in (loaded.model, assembled.model)]
    torch.testing.assert_close(*decoded)
    assert loaded.classes == classes


@pytest.mark.parametrize("family", FAMILIES)
def test_architectures(family: str, tmp_path: Path) -> None:
    config = getattr(transformers, family)(vocab_size=50, max_position_embeddings=80, **FAMILIES[family])
    torch.manual_seed(0)
    backbone = AutoModel.from_config(config, attn_implementation="eager").eval()
    write_graph(ReadingModel(backbone, nn.Identity()), config, tmp_path / "graph.onnx", has_types=False, int8=False)
    ids, mask = torch.randint(5, 50, (4, 33)), torch.ones(4, 33, dtype=torch.int64)
    mask[2, 20:] = 0
    graph = OnnxEncoder(tmp_path / "graph.onnx", config, length_limit=None)
    with torch.no_grad():
        theirs = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    ours = graph(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours[mask == 1], theirs[mask == 1], atol=1e-4, rtol=1e-3)


def test_an_architecture_that_needs_more_than_the_texts_is_refused(tmp_path: Path) -> None:
    config = transformers.LongformerConfig(vocab_size=50, attention_window=[8, 8], **SMALL)
    model = ReadingModel(AutoModel.from_config(config).eval(), nn.Identity())
    with pytest.raises(ModelError, match="the longformer architecture cannot be exported to ONNX"):
        write_graph(model, config, tmp_path / "graph.onnx", has_types=False, int8=False)


def test_attention_that_is_sparse_for_long_texts_alone_is_refused(tmp_path: Path) -> None:
    """A graph would have the full attention of the short texts that it is traced with."""
    config = transformers.BigBirdConfig(**SMALL, vocab_size=60, block_size=8, num_random_blocks=1, sep_token_id=3)
    model = ReadingModel(AutoModel.from_config(config).eval(), nn.Identity())
    with pytest.raises(ModelError, match=r"overrides\.attention_type=original_full"):
        write_graph(model, config, tmp_path / "graph.onnx", has_types=False, int8=False)
    whole = transformers.BigBirdConfig(**{**config.to_dict(), "attention_type": "original_full"})
    write_graph(
        ReadingModel(AutoModel.from_config(whole).eval(), nn.Identity()),
        whole,
        tmp_path / "graph.onnx",
        has_types=False,
        int8=False,
    )


def test_a_full_disk_is_not_taken_for_an_architecture_without_a_graph(tiny_backbone: Path, tmp_path: Path) -> None:
    backbone = AutoModel.from_pretrained(tiny_backbone, attn_implementation="eager").eval()
    model = ReadingModel(backbone, nn.Identity())
    with pytest.raises(OSError, match="No such file"):  # whoever writes the folder says what it is
        write_graph(model, backbone.config, tmp_path / "gone" / "graph.onnx", has_types=False, int8=False)


def test_an_encoder_that_looks_at_its_texts_while_it_is_traced_is_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    class AddsItsLength(nn.Module):
        """What a trace takes for a constant."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, **inputs: Any) -> Any:
            output = self.inner(**inputs)
            output.last_hidden_state = output.last_hidden_state + int(inputs["attention_mask"].sum())
            return output

    backbone = AutoModel.from_pretrained(tiny_backbone, attn_implementation="eager").eval()
    model = ReadingModel(AddsItsLength(backbone), nn.Identity())
    with pytest.raises(ModelError, match="its graph computes something else"):
        write_graph(model, backbone.config, tmp_path / "graph.onnx", has_types=False, int8=False)


def test_the_folder_knows_how_long_a_text_may_be_and_when_it_is_damaged(tiny_backbone: Path, tmp_path: Path) -> None:
    recipe, registry = recipe_of("linear_span", tiny_backbone), load_registry()
    assembled = assemble(recipe, registry, device=CPU)
    assembled.model.eval()
    save_model(assembled, tmp_path / "model", decision={}, keep="onnx-int8")
    loaded = load_model(tmp_path / "model", recipe, registry, device=CPU)
    with pytest.raises(ModelError, match="reads at most 160 tokens"):
        check_length(loaded.model.backbone, 161)
    for name in ("encoder.onnx", "head.safetensors"):
        kept = (tmp_path / "model" / name).read_bytes()
        (tmp_path / "model" / name).write_bytes(kept[: len(kept) // 2])
        with pytest.raises(RunError, match=f"is damaged: {name}"):
            load_model(tmp_path / "model", recipe, registry, device=CPU)
        (tmp_path / "model" / name).unlink()
        with pytest.raises(RunError, match=f"has no {name}"):
            load_model(tmp_path / "model", recipe, registry, device=CPU)
        (tmp_path / "model" / name).write_bytes(kept)
