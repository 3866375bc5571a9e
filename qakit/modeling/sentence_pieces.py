"""SentencePiece models: whether the file is one, and the characters that it makes of others."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import normalizers

from qakit.errors import ModelError
from qakit.numbers import load_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NAMES = ("spm.model", "sentencepiece.bpe.model", "spiece.model")
"""Of DeBERTa-v2 and v3; of XLM-R; of ALBERT, XLNet and BigBird."""


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

    Some classes of transformers 5 (DeBERTa-v2's, BigBird's) build their normaliser anew and leave the table out: what
    the model knows under another form, such as the full-width comma, becomes an unknown token. Offsets count characters
    of the text as it was, with the table as without.

    Args:
        tokenizer: as loaded from ``folder``; changed in place.
        folder: with the SentencePiece model, or with the tokenizer.json that was made from one.
    """
    backend = tokenizer.backend_tokenizer
    own = backend.normalizer
    if own is not None and b'"Precompiled"' in own.__getstate__():
        return
    if table := _table_of(folder):
        backend.normalizer = normalizers.Sequence([normalizers.Precompiled(table), *([] if own is None else [own])])


def _table_of(folder: Path) -> bytes:
    file = folder / "tokenizer.json"
    if file.is_file():
        text = file.read_text("utf-8")
        return _table_in(load_json(text)) if '"Precompiled"' in text else b""
    return next((_character_table(folder / name) for name in NAMES if (folder / name).is_file()), b"")


def _character_table(model: Path) -> bytes:
    """The compiled table in a SentencePiece model; empty where it changes nothing."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    content: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
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
