"""SentencePiece models: whether the file is one, and the characters that it makes of others."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import normalizers

from qakit.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NAMES = ("spm.model", "sentencepiece.bpe.model", "spiece.model")
"""Of DeBERTa-v2 and v3, XLM-R, ALBERT and XLNet."""
FORGETFUL = ("DebertaV2Tokenizer",)
"""Classes of transformers 5 that build their normaliser anew and leave the model's table of characters out."""


def check_models(folder: Path) -> None:
    """Refuse files that only have the name; transformers would take them for another format, and name its package.

    Raises:
        ModelError: a tokenizer would be read from such a file.
    """
    if (folder / "tokenizer.json").is_file():  # this one is read in its place
        return
    for name in NAMES:
        if (folder / name).is_file():
            _character_table(folder / name)


def restore_characters(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Give a tokenizer its model's table of characters back (full-width forms, ligatures, odd blanks: mostly NFKC).

    Without it, what the model knows under another form, such as the full-width comma, is an unknown token. Offsets
    still count characters of the text as it was.

    Args:
        tokenizer: as loaded from ``folder``; changed in place.
        folder: with the SentencePiece model, or with the tokenizer.json that was made from one.
    """
    if type(tokenizer).__name__ not in FORGETFUL:
        return
    file = folder / "tokenizer.json"
    table = _table_in(json.loads(file.read_text("utf-8"))) if file.is_file() else _character_table(folder / NAMES[0])
    backend = tokenizer.backend_tokenizer
    if table:
        own = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence([normalizers.Precompiled(table), *own])


def _character_table(model: Path) -> bytes:
    """The compiled table in a SentencePiece model; empty where it changes nothing."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    content = sentencepiece_model_pb2.ModelProto()
    try:
        content.ParseFromString(model.read_bytes())
    except DecodeError as error:
        raise ModelError(f"{model} is no SentencePiece model, or damaged ({error}); fetch it again") from error
    if not content.pieces:
        raise ModelError(f"{model} is no SentencePiece model: it holds no pieces; fetch it again")
    return bytes(content.normalizer_spec.precompiled_charsmap)


def _table_in(tokenizer: dict[str, Any]) -> bytes:
    """The same in a tokenizer.json."""
    normalizer = tokenizer.get("normalizer") or {}
    for step in normalizer.get("normalizers", [normalizer]):
        if step.get("type") == "Precompiled":
            return b64decode(step["precompiled_charsmap"])
    return b""
