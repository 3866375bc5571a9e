"""Every family of encoders: assembled, saved, loaded, and read by transformers, with the same scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForQuestionAnswering, PretrainedConfig

from qakit.inference.scoring import prepare
from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.attention import attention_of
from qakit.modeling.folder import load_model, save_model, use_in_transformers
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import Example

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "BertConfig": SMALL,
    "RobertaConfig": {**SMALL, "pad_token_id": 0, "type_vocab_size": 1},
    "XLMRobertaConfig": {**SMALL, "pad_token_id": 0, "type_vocab_size": 1},
    "ElectraConfig": {**SMALL, "embedding_size": 16},
    "AlbertConfig": {**SMALL, "embedding_size": 16},
    "DistilBertConfig": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 130},
    "DebertaConfig": {**SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "DebertaV2Config": {
        **SMALL,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_buckets": 16,
    },
    "MPNetConfig": {**SMALL, "pad_token_id": 0},
    "ModernBertConfig": {**SMALL, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "local_attention": 16},
}
NO_COUNTERPART = {"ModernBertConfig"}
"""transformers has another kind of head for these, so its class cannot have our weights."""

NOT_FUSED = {"DebertaConfig", "DebertaV2Config", "MPNetConfig"}
"""transformers has no fused attention for these."""

EXAMPLE = Example("q", "Who were the Normans?", ("The Normans were the people who gave their name to Normandy. " * 4,))


def make_backbone(family: str, tokenizer: Path, folder: Path) -> Path:
    """A folder with a small random encoder of the family, as a hub would serve it."""
    shutil.copytree(tokenizer, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    config: PretrainedConfig = getattr(transformers, family)(vocab_size=800, **FAMILIES[family])
    torch.manual_seed(1)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@torch.inference_mode()
def scores(assembled: Assembled, recipe: Recipe) -> tuple[dict[str, torch.Tensor], Any]:
    prepared = prepare([EXAMPLE], assembled, recipe, load_registry())
    batch = prepared.collator.collate(prepared.batches[0], targets=False)
    return dict(assembled.model.eval()(batch).scores), batch


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_scores_after_saving_and_in_transformers(family: str, tiny_backbone: Path, tmp_path: Path) -> None:
    source = make_backbone(family, tiny_backbone, tmp_path / "source")
    recipe = Recipe.model_validate(
        {"data": {"reader": "squad"}, "backbone": {"source": str(source)}, "windows": {"max_length": 64}}
    )
    assembled = assemble(recipe, load_registry(), device=CPU)
    before, batch = scores(assembled, recipe)
    save_model(assembled, tmp_path / "model", decision={})
    after, _ = scores(load_model(tmp_path / "model", recipe, load_registry(), device=CPU), recipe)
    assert all(torch.equal(before[name], after[name]) for name in before)
    if family in NO_COUNTERPART:
        assert "loads in qakit only" in use_in_transformers(tmp_path / "model")
        return
    model, report = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert use_in_transformers(tmp_path / "model") == f"loads in transformers as {type(model).__name__}"
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.token_type_ids is not None and family not in ("DistilBertConfig", "MPNetConfig"):
        inputs["token_type_ids"] = batch.token_type_ids
    with torch.inference_mode():
        theirs = model.eval()(**inputs)
    where = batch.context_mask
    torch.testing.assert_close(before["start"][where], theirs.start_logits[where], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(before["end"][where], theirs.end_logits[where], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in NOT_FUSED])
@torch.inference_mode()
def test_fused_attention_sees_what_plain_attention_sees(family: str, tiny_backbone: Path, tmp_path: Path) -> None:
    """On padded batches with the mask, and on others, which come without one."""
    source = make_backbone(family, tiny_backbone, tmp_path / "source")
    found: dict[str, list[torch.Tensor]] = {}
    for attention in ("eager", "sdpa"):
        recipe = Recipe.model_validate(
            {
                "data": {"reader": "squad"},
                "backbone": {"source": str(source)},
                "windows": {"max_length": 64},
                "preprocess": {"predict": {"name": "stride", "overlap": 16}},
                "train": {"attention": attention},
            }
        )
        assembled = assemble(recipe, load_registry(), device=CPU)
        model = assembled.model.eval()
        prepared = prepare([EXAMPLE], assembled, recipe, load_registry())
        rows = np.arange(len(prepared.windows))
        batches = [prepared.collator.collate(some, targets=False) for some in (rows, rows[:1])]
        assert [batch.padded for batch in batches] == [True, False]
        assert attention_of(model.backbone.config) == attention
        found[attention] = [model(batch).scores["start"][batch.context_mask] for batch in batches]
        masked = model(replace(batches[1], padded=True)).scores["start"][batches[1].context_mask]
        torch.testing.assert_close(masked, found[attention][1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found["eager"], found["sdpa"], atol=1e-5, rtol=1e-4)
    model.backbone.config._attn_implementation = "sdpa"  # transformers' own, which looks at the mask
    theirs = [model(batch).scores["start"][batch.context_mask] for batch in batches]
    torch.testing.assert_close(found["sdpa"], theirs, atol=0, rtol=0)


@pytest.mark.parametrize("family", ["BertConfig", "ModernBertConfig", "DistilBertConfig"])
def test_from_scratch_with_more_layers_than_the_source(family: str, tiny_backbone: Path, tmp_path: Path) -> None:
    source = make_backbone(family, tiny_backbone, tmp_path / "source")
    backbone = {"source": str(source), "init": "scratch", "overrides": {"num_hidden_layers": 5}}
    recipe = Recipe.model_validate({"data": {"reader": "squad"}, "backbone": backbone, "windows": {"max_length": 64}})
    assembled = assemble(recipe, load_registry(), device=CPU)
    assert assembled.config.num_hidden_layers == 5
    scores(assembled, recipe)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"hidden_size": "abc"}, "backbone.overrides"),
        ({"num_attention_heads": 0}, "num_attention_heads must be at least 1"),
        ({"hidden_act": "nope"}, "no bert encoder can be made like this"),
        ({"to_dict": 3}, "a bert configuration has no 'to_dict'"),
    ],
)
def test_overrides_that_make_no_sense_are_one_line(
    overrides: dict[str, Any], message: str, tiny_backbone: Path
) -> None:
    backbone = {"source": str(tiny_backbone), "init": "scratch", "overrides": overrides}
    recipe = Recipe.model_validate({"data": {"reader": "squad"}, "backbone": backbone})
    with pytest.raises(Exception, match=message) as caught:
        assemble(recipe, load_registry(), device=CPU)
    assert type(caught.value).__name__ == "ModelError"
    assert "\n" not in str(caught.value)
