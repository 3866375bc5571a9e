"""Published question-answering models of a few kilobytes, as folders in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 160,
}
SPECIAL = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
KINDS: dict[str, dict[str, Any]] = {
    "Bert": SIZE,
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 160},
    "Roberta": {**SIZE, "type_vocab_size": 1, "pad_token_id": 0},
    "DebertaV2": {**SIZE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBert": {**SIZE, **SPECIAL},
    "BigBird": {**SIZE, "sep_token_id": 3, "block_size": 8, "num_random_blocks": 1},
    "Splinter": SIZE,
    "Longformer": {**SIZE, **SPECIAL, "attention_window": [16, 16], "type_vocab_size": 1},
    "Albert": {**SIZE, "embedding_size": 16},
    "Camembert": {**SIZE, **SPECIAL},
    "ConvBert": {**SIZE, "embedding_size": 32, "head_ratio": 2, "num_groups": 1, "conv_kernel_size": 3},
    "Data2VecText": {**SIZE, **SPECIAL},
    "Deberta": SIZE,
    "Electra": {**SIZE, "embedding_size": 32},
    "Ernie": SIZE,
    "MPNet": {**SIZE, **SPECIAL},
    "MegatronBert": SIZE,
    "MobileBert": {**SIZE, "embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "RemBert": {**SIZE, **SPECIAL, "input_embedding_size": 16, "output_embedding_size": 32},
    "RoFormer": {**SIZE, "embedding_size": 32},
    "SqueezeBert": {**SIZE, "embedding_size": 32},
    "XLMRoberta": {**SIZE, **SPECIAL},
    "XLMRobertaXL": {**SIZE, **SPECIAL},
    "Llama": {**SIZE, **SPECIAL, "num_key_value_heads": 2},
    "GPT2": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 160},
    "T5": {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 64, "d_kv": 16},
    "Lxmert": {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        **dict.fromkeys(("l_layers", "x_layers", "r_layers"), 1),
    },
}
"""Configuration entries by the name of the architecture."""
ROBERTA_LIKE = ("Roberta", "Longformer", "XLMRoberta", "XLMRobertaXL", "Camembert", "Data2VecText")
"""They have two separators between question and context, and no type ids."""
SHARP = 40.0
"""What the last layer is multiplied by: random weights alone give all spans nearly the same score."""


def publish(kind: str, texts: list[str], folder: Path, *, vocabulary: int | None = None) -> Path:
    """A random model of an architecture with a tokenizer of its own; the same each time.

    Args:
        kind: one of :data:`KINDS`.
        texts: what the tokenizer learns its words from.
        folder: where to.
        vocabulary: tokens for which the model has an embedding, where these are more than the tokenizer's.
    """
    tokenizer = word_pieces(texts, doubled=kind in ROBERTA_LIKE)
    torch.manual_seed(11)
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocabulary or len(tokenizer), **KINDS[kind])
    model = getattr(transformers, f"{kind}ForQuestionAnswering")(config)
    with torch.no_grad():
        *_, last = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
        last.weight *= SHARP
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def word_pieces(texts: list[str], *, doubled: bool = False) -> PreTrainedTokenizerFast:
    """An uncased WordPiece tokenizer; with ``doubled`` separators as RoBERTa has them."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    between, types = ("[SEP] [SEP]", "") if doubled else ("[SEP]", ":1")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A {between} $B{types} [SEP]{types}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    inputs = ["input_ids", "attention_mask", *([] if doubled else ["token_type_ids"])]
    names = {f"{name[1:-1].lower()}_token": name for name in special}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **names)
