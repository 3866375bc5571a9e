"""Models in the layouts in which the hub has them: the same files, names and types, with weights of a few kilobytes.

``files_of(NAME)`` gives one of :data:`LAYOUTS` to be published, ``write(NAME, folder)`` makes it in a folder. The
weights are random, and the same each time. Every layout has what must not be fetched: weights for other frameworks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hub import vocabularies
from safetensors.torch import save_file
from torch import Tensor

HIDDEN, LAYERS, POSITIONS = 32, 2, 512
DECOYS = ("tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "rust_model.ot")
"""Weights for others, in every layout."""
Tensors = dict[str, Tensor]
Written = dict[str, bytes | str]


def write(name: str, folder: Path) -> Path:
    """Make a model of :data:`LAYOUTS` in a folder (made if it is missing); the folder."""
    files: Written = {**LAYOUTS[name](), "README.md": f"# {name}\n", ".gitattributes": "*.bin filter=lfs\n"}
    files |= {decoy: f"not for {name}".encode() for decoy in DECOYS}
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@cache
def files_of(name: str) -> Written:
    """Contents by path, as the stand-in publishes them; made once per process."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        whole = write(name, Path(folder))
        return {path.relative_to(whole).as_posix(): path.read_bytes() for path in whole.rglob("*") if path.is_file()}


# --------------------------------------------------------------------------------------------------------- the layouts
def bert_base_chinese() -> Written:
    """``bert-base-chinese``: both kinds of weights, with a masked-word head."""
    return bert_base(vocabularies.wordpiece(han=True))


def bert_base_cased() -> Written:
    """``bert-base-cased``: the same for English, upper case kept."""
    return bert_base(vocabularies.wordpiece(lowercase=False))


def bert_base(vocabulary: str) -> Written:
    """As BERT's authors publish it."""
    tensors = old_names(masked_bert(vocabulary))
    return {
        "config.json": bert_config(vocabulary, architectures=["BertForMaskedLM"]),
        "model.safetensors": safetensors(tensors),
        "pytorch_model.bin": pickled(tensors),
        "vocab.txt": vocabulary,
        "tokenizer.json": vocabularies.bert_tokenizer_json(vocabulary, lowercase=False),
        "tokenizer_config.json": json.dumps({"do_lower_case": False, "model_max_length": 512}),
    }


def hfl() -> Written:
    """``hfl/chinese-roberta-wwm-ext``, ``hfl/chinese-lert-base``: a pickled BERT, names from TensorFlow's time."""
    vocabulary = vocabularies.wordpiece(han=True)
    return {
        "config.json": bert_config(vocabulary, architectures=["BertForMaskedLM"], directionality="bidi"),
        "pytorch_model.bin": pickled(old_names(masked_bert(vocabulary))),
        "vocab.txt": vocabulary,
        "added_tokens.json": "{}",
        "special_tokens_map.json": SPECIAL_TOKENS,
        "tokenizer_config.json": json.dumps({"init_inputs": []}),
        "tokenizer.json": vocabularies.bert_tokenizer_json(vocabulary, lowercase=True),
    }


def chinese_reading() -> Written:
    """``luhua/chinese_pretrain_mrc_macbert_large``: pickled, with a trained head for spans, no tokenizer.json."""
    vocabulary = vocabularies.wordpiece(han=True)
    return {
        "config.json": bert_config(vocabulary, architectures=["BertForQuestionAnswering"]),
        "pytorch_model.bin": pickled(old_positions(tensors_of("BertForQuestionAnswering", bert_settings(vocabulary)))),
        "vocab.txt": vocabulary,
        "special_tokens_map.json": SPECIAL_TOKENS,
        "tokenizer_config.json": json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"}),
    }


def spanbert() -> Written:
    """``SpanBERT/spanbert-base-cased``: a configuration without ``model_type``, a bare cased vocabulary, a pickle."""
    vocabulary = vocabularies.wordpiece(lowercase=False)
    config = json.loads(bert_config(vocabulary, directionality="bidi"))
    del config["model_type"]
    return {
        "config.json": json.dumps(config),
        "pytorch_model.bin": pickled(old_positions(masked_bert(vocabulary))),
        "vocab.txt": vocabulary,
    }


def deberta_v3() -> Written:
    """``microsoft/deberta-v3-base``: half precision, a SentencePiece model alone, a generator beside it."""
    model = vocabularies.sentencepiece("spm")
    settings: dict[str, Any] = {
        "vocab_size": vocabularies.pieces_in(model) + 4,  # room for [MASK] and for rounding up
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "type_vocab_size": 0,
        "layer_norm_eps": 1e-7,
        "pad_token_id": 0,
        **sizes(),
    }
    tensors = {f"deberta.{name}": value.half() for name, value in tensors_of("DebertaV2Model", settings).items()}
    width = settings["vocab_size"]
    tensors["lm_predictions.lm_head.bias"] = torch.zeros(width).half()
    tensors["mask_predictions.dense.weight"] = torch.zeros(HIDDEN, HIDDEN).half()
    return {
        "config.json": json.dumps({"model_type": "deberta-v2", **settings}),
        "pytorch_model.bin": pickled(tensors),
        "pytorch_model.generator.bin": pickled({"lm_predictions.lm_head.bias": torch.zeros(width)}),
        "spm.model": model,
        "tokenizer_config.json": json.dumps({"do_lower_case": False, "vocab_type": "spm"}),
    }


def xlm_roberta() -> Written:
    """An XLM-R with its SentencePiece model alone."""
    model = vocabularies.sentencepiece("bpe")
    settings = roberta_settings(vocabularies.pieces_in(model) + 2)  # two more: the fairseq numbering and <mask>
    return {
        "config.json": json.dumps(
            {"model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"], **settings}
        ),
        "pytorch_model.bin": pickled(old_positions(tensors_of("XLMRobertaForMaskedLM", settings), "roberta")),
        "sentencepiece.bpe.model": model,
    }


def albert() -> Written:
    """An ALBERT (``spiece.model``): one layer's weights for all, small embeddings."""
    model = vocabularies.sentencepiece("spiece")
    settings = {**sizes(), "vocab_size": vocabularies.pieces_in(model), "embedding_size": 16, "pad_token_id": 0}
    return {
        "config.json": json.dumps({"model_type": "albert", "architectures": ["AlbertForMaskedLM"], **settings}),
        "pytorch_model.bin": pickled(tensors_of("AlbertForMaskedLM", settings)),
        "spiece.model": model,
    }


def roberta() -> Written:
    """A RoBERTa with ``vocab.json`` and ``merges.txt``, pickled; the output layer shares the embeddings."""
    vocabulary, merges = vocabularies.byte_pairs()
    settings = roberta_settings(len(json.loads(vocabulary)))
    return {
        "config.json": json.dumps({"model_type": "roberta", "architectures": ["RobertaForMaskedLM"], **settings}),
        "pytorch_model.bin": pickled(old_positions(tensors_of("RobertaForMaskedLM", settings), "roberta")),
        "vocab.json": vocabulary,
        "merges.txt": merges,
    }


def roberta_squad2() -> Written:
    """``deepset/roberta-base-squad2``: a ready head for spans, both kinds of weights."""
    vocabulary, merges = vocabularies.byte_pairs()
    settings = roberta_settings(len(json.loads(vocabulary)))
    tensors = tensors_of("RobertaForQuestionAnswering", settings)
    config = {"model_type": "roberta", "architectures": ["RobertaForQuestionAnswering"], **settings}
    return {
        "config.json": json.dumps(config),
        "model.safetensors": safetensors(tensors),
        "pytorch_model.bin": pickled(old_positions(tensors, "roberta")),
        "vocab.json": vocabulary,
        "merges.txt": merges,
        "special_tokens_map.json": json.dumps({"bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}),
        "tokenizer_config.json": json.dumps({"do_lower_case": False, "model_max_length": 512}),
    }


def sentiment() -> Written:
    """A GLUE classifier as they are published for SST-2: pickled, a ready head with two named classes."""
    vocabulary = vocabularies.wordpiece()
    names = {"id2label": {"0": "negative", "1": "positive"}, "label2id": {"negative": 0, "positive": 1}}
    return {
        "config.json": bert_config(
            vocabulary, architectures=["BertForSequenceClassification"], finetuning_task="sst2", **names
        ),
        "pytorch_model.bin": pickled(tensors_of("BertForSequenceClassification", bert_settings(vocabulary))),
        "vocab.txt": vocabulary,
        "special_tokens_map.json": SPECIAL_TOKENS,
        "tokenizer_config.json": json.dumps({"do_lower_case": True, "model_max_length": 512}),
    }


def sharded() -> Written:
    """A pickle in two parts with its index."""
    vocabulary = vocabularies.wordpiece()
    tensors = old_names(masked_bert(vocabulary))
    names, files = sorted(tensors), {}
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, held in parts.items():
        files[file] = pickled({name: tensors[name] for name in held})
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    places = {name: file for file, held in parts.items() for name in held}
    return {
        **files,
        "pytorch_model.bin.index.json": json.dumps({"metadata": {"total_size": size}, "weight_map": places}),
        "config.json": bert_config(vocabulary, architectures=["BertForMaskedLM"]),
        "vocab.txt": vocabulary,
        "tokenizer_config.json": json.dumps({"do_lower_case": True}),
    }


LAYOUTS: dict[str, Callable[[], Written]] = {
    "bert-base-chinese": bert_base_chinese,
    "bert-base-cased": bert_base_cased,
    "hfl/chinese-roberta-wwm-ext": hfl,
    "hfl/chinese-lert-base": hfl,
    "luhua/chinese_pretrain_mrc_macbert_large": chinese_reading,
    "SpanBERT/spanbert-base-cased": spanbert,
    "microsoft/deberta-v3-base": deberta_v3,
    "OWNER/xlm-roberta": xlm_roberta,
    "deepset/xlm-roberta-large-squad2": xlm_roberta,
    "OWNER/albert": albert,
    "OWNER/roberta": roberta,
    "FacebookAI/roberta-base": roberta,
    "deepset/roberta-base-squad2": roberta_squad2,
    "OWNER/bert-sst2": sentiment,
    "OWNER/sharded": sharded,
}
"""By the name on the hub whose layout it is; ``OWNER``: as many have it."""

SPECIAL_TOKENS = json.dumps(
    {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
)


# ------------------------------------------------------------------------------------------------------------- weights
def sizes() -> dict[str, Any]:
    """What all configurations have in common."""
    return {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 2 * HIDDEN,
        "max_position_embeddings": POSITIONS,
        "hidden_act": "gelu",
        "initializer_range": 0.02,
    }


def bert_settings(vocabulary: str) -> dict[str, Any]:
    return {**sizes(), "vocab_size": len(vocabulary.splitlines()), "type_vocab_size": 2, "pad_token_id": 0}


def bert_config(vocabulary: str, **more: Any) -> str:
    """A BERT's ``config.json``."""
    return json.dumps({"model_type": "bert", **bert_settings(vocabulary), **more}, indent=2)


def roberta_settings(vocabulary: int) -> dict[str, Any]:
    """RoBERTa counts positions from two on."""
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    return {**sizes(), "vocab_size": vocabulary, "type_vocab_size": 1, **special, "max_position_embeddings": 514}


def tensors_of(architecture: str, settings: dict[str, Any]) -> Tensors:
    """Random weights of a class of transformers, under its names; what it shares is shared."""
    import transformers

    torch.manual_seed(0)
    cls = getattr(transformers, architecture)
    return dict(cls(cls.config_class(**settings)).state_dict())


def masked_bert(vocabulary: str) -> Tensors:
    """A BERT with both heads of its pretraining."""
    return tensors_of("BertForPreTraining", bert_settings(vocabulary))


def old_positions(tensors: Tensors, prefix: str = "bert") -> Tensors:
    """With the buffer that files had once."""
    count = tensors[f"{prefix}.embeddings.position_embeddings.weight"].shape[0]
    return {f"{prefix}.embeddings.position_ids": torch.arange(count)[None], **tensors}


def old_names(tensors: Tensors) -> Tensors:
    """With TensorFlow's names for scale and shift of the layer norms."""
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    return old_positions(renamed)


def pickled(tensors: Any) -> bytes:
    """As ``torch.save`` writes it."""
    import io

    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue()


def safetensors(tensors: Tensors) -> bytes:
    """As safetensors writes it, which knows no shared tensors."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: value.clone() for name, value in tensors.items()}, file, metadata={"format": "pt"})
        return file.read_bytes()
