"""Vocabularies in each of the forms in which they are published, trained on the spot."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

from hub.texts import corpus

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
Texts = dict[str, str | bytes]
"""File name -> content."""


@cache
def wordpiece(*, han: bool = False, lowercase: bool = True) -> str:
    """A ``vocab.txt`` of BERT's kind: 300 pieces at most, one a line."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    backend.train_from_iterator(corpus(han=han), trainer)
    pieces = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    return "".join(f"{piece}\n" for piece, _ in pieces)


def bert_tokenizer_json(vocabulary: str, *, lowercase: bool) -> str:
    """The ``tokenizer.json`` of a ``vocab.txt``."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    ids = {piece: number for number, piece in enumerate(vocabulary.splitlines())}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return str(backend.to_str())


@cache
def byte_pairs() -> tuple[str, str]:
    """``vocab.json`` and ``merges.txt`` of RoBERTa's kind."""
    from tokenizers import ByteLevelBPETokenizer

    backend = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend.train_from_iterator(corpus(), vocab_size=400, special_tokens=special, show_progress=False)
    model = json.loads(backend.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return json.dumps(model["vocab"], ensure_ascii=False), "#version: 0.2\n" + "".join(f"{one}\n" for one in merges)


@cache
def sentencepiece(kind: str) -> bytes:
    """A SentencePiece model as DeBERTa-v3 (``spm``), XLM-R (``bpe``) or ALBERT (``spiece``) lay theirs out."""
    import sentencepiece as spm

    layouts: dict[str, dict[str, Any]] = {
        "spm": {
            "pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3,
            "pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]",
        },
        "bpe": {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1},
        "spiece": {
            "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
            "pad_piece": "<pad>", "unk_piece": "<unk>", "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
        },
    }  # fmt: skip
    written = io.BytesIO()
    texts = corpus() + corpus(han=True)
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in texts] if kind == "spiece" else texts),
        model_writer=written,
        vocab_size=500,
        model_type="unigram",
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        **layouts[kind],
    )
    return written.getvalue()


def pieces_in(model: bytes) -> int:
    """How many pieces a SentencePiece model has."""
    import sentencepiece as spm

    return int(spm.SentencePieceProcessor(model_proto=model).get_piece_size())
