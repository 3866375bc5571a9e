"""BERT backbones of a few kilobytes with random weights, made in a moment."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, processors

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
"""A vocabulary begins with these, in this order; it may do without the last."""


def save_tiny_bert(backend: Tokenizer, folder: Path, *, hidden_size: int, layers: int, positions: int) -> None:
    """Write weights, configuration and tokenizer into a folder; the weights are always the same.

    Args:
        backend: a tokenizer that splits texts into the tokens of its vocabulary.
        folder: where to.
        hidden_size: even: there are two attention heads.
        layers: of the encoder.
        positions: tokens that it reads at most.
    """
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{name: token for name, token in SPECIAL.items() if backend.token_to_id(token) is not None},
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden_size,
        max_position_embeddings=positions,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
