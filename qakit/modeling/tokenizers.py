"""What a folder leaves open about its tokenizer, and what transformers makes of that."""

from __future__ import annotations

import json
import logging
import math
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import normalizers

from qakit.errors import ModelError
from qakit.names import one_line
from qakit.numbers import load_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

SETTINGS = "tokenizer_config.json"
LOWERCASES = "do_lower_case"
"""Its entry that says whether texts are lowercased; a ``tokenizer.json`` says it, too."""
HIGHEST_ID = 10_000_000
"""The largest vocabularies have a million."""
LONGEST_WORD = 2000
"""Characters; WordPiece looks at every part of a word. It is 100 where nobody has thought about it."""
LONGEST_PREFIX = 100
MOST_GROWTH = 256.0
"""Characters of one. What Unicode makes of its longest ligature are 18."""
NOWHERE = "龘 ꙮ"
"""Letters that hardly a vocabulary has, and no normaliser removes."""
MANY = 0.01
"""The share of a vocabulary from which it is one of another normaliser; a handful is odd in many."""
SENTENCE_PIECES = ("spm.model", "sentencepiece.bpe.model", "spiece.model")
"""SentencePiece models of DeBERTa-v2 and v3; of XLM-R; of ALBERT, XLNet and BigBird."""


def check_models(folder: Path) -> None:
    """Refuse files that only have the name of a SentencePiece model; transformers would take them for another format,
    and name its package.

    Raises:
        ModelError: a tokenizer would be read from such a file.
    """
    if (folder / "tokenizer.json").is_file():  # this one is read in its place
        return
    for name in SENTENCE_PIECES:
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
    return next((_character_table(folder / name) for name in SENTENCE_PIECES if (folder / name).is_file()), b"")


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


def keeping_case(tokenizer: PreTrainedTokenizerFast, folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer; a bare vocabulary that is a cased one makes one that keeps upper case and accents, with a warning.

    transformers lowercases texts unless the folder says otherwise, which a bare vocabulary cannot.

    Args:
        tokenizer: as loaded from ``folder``.
        folder: with a ``vocab.txt``; any other says enough.
    """
    normaliser = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normaliser is None or not (folder / "vocab.txt").is_file() or _says(folder):
        return tokenizer
    special = set(tokenizer.all_special_tokens)
    pieces = [piece.removeprefix("##") for piece in tokenizer.get_vocab() if piece not in special]
    lost = [piece for piece in pieces if normaliser.normalize_str(piece).strip() not in (piece, "")]
    if len(lost) <= MANY * len(pieces):
        return tokenizer
    logger.warning(
        "%s has a cased vocabulary, and nothing there says that texts are lowercased, so they are not (else %s of its "
        "%s pieces, such as %r, could never occur); to lowercase them all the same, put %s into %s",
        folder,
        f"{len(lost):,}",
        f"{len(pieces):,}",
        max(lost, key=len),
        json.dumps({LOWERCASES: True}),
        SETTINGS,
    )
    kept: PreTrainedTokenizerFast = type(tokenizer).from_pretrained(folder, do_lower_case=False)
    return kept


def check_rules_of(folder: Path) -> None:
    """Before anything is built by a ``tokenizer.json``: its normaliser makes no more of a text than texts need.

    Raises:
        ModelError: it would fill the memory.
    """
    file = folder / "tokenizer.json"
    if file.is_file():
        with suppress(ValueError, RecursionError):  # whoever loads the file says what is wrong with it
            held = json.loads(file.read_text("utf-8"))
            _check_growth(held.get("normalizer") if isinstance(held, dict) else None, folder)


def check_bounds(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """What a tokenizer that was loaded may ask for in time and memory, whatever it was made from.

    Raises:
        ModelError: an id, a length or a growth of texts that no tokenizer has, or it fails on unknown characters.
    """
    longest = tokenizer.model_max_length
    if isinstance(longest, bool) or not isinstance(longest, int | float) or not longest >= 1:
        raise ModelError(f"the tokenizer in {folder} has the model_max_length {longest!r:.40}, which is no length")
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1], default=("", 0))
    if highest > HIGHEST_ID:
        raise ModelError(f"the tokenizer in {folder} gives {token!r:.40} the id {highest:,}: it is damaged")
    backend = tokenizer.backend_tokenizer
    word = getattr(backend.model, "max_input_chars_per_word", 0)
    if word > LONGEST_WORD:
        raise ModelError(
            f"the tokenizer in {folder} looks for pieces in words of up to {word:,} characters "
            f"(max_input_chars_per_word), which takes for ever; at most {LONGEST_WORD:,}"
        )
    prefix = getattr(backend.model, "continuing_subword_prefix", None) or ""
    if len(prefix) > LONGEST_PREFIX:
        raise ModelError(f"the tokenizer in {folder} puts {len(prefix):,} characters before every piece: it is damaged")
    if backend.normalizer is not None:
        _check_growth(json.loads(backend.normalizer.__getstate__()), folder)
    try:
        backend.encode(NOWHERE, add_special_tokens=False)
    except Exception as error:  # the library raises nothing more special
        raise ModelError(
            f"the tokenizer in {folder} fails on a character that it does not know ({one_line(error)}): it is damaged"
        ) from None


def _check_growth(normalizer: Any, folder: Path) -> None:
    try:
        growth = _growth(normalizer)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"the tokenizer in {folder} has a normalizer that cannot be read: {one_line(error)}") from None
    if growth > MOST_GROWTH:
        raise ModelError(
            f"the tokenizer in {folder} makes up to {min(growth, 10**12):,.0f} characters of one (its normalizer): "
            "it is damaged, or would fill the memory"
        )


def _growth(normalizer: Any) -> float:
    """How many characters the rules that a file brings along may make of one; those of Unicode make few."""
    if normalizer is None:
        return 1.0
    kind = normalizer.get("type")
    if kind == "Sequence":
        return math.prod(map(_growth, normalizer["normalizers"]))
    if kind == "Prepend":
        return 1.0 + len(normalizer["prepend"])
    if kind == "Replace":
        found, content = normalizer["pattern"], normalizer["content"]
        replaced = len(found["String"]) if "String" in found else 1
        return max(1.0, len(content) / replaced if replaced else 1.0 + len(content))
    if kind == "Precompiled":
        table = b64decode(normalizer["precompiled_charsmap"] or "")
        texts = table[4 + int.from_bytes(table[:4], "little") :]  # they follow the trie that finds them
        return max([1.0, *(float(len(text.decode("utf-8", "replace"))) for text in texts.split(b"\0"))])
    return 1.0


def _says(folder: Path) -> bool:
    """Whether a folder says itself if texts are lowercased."""
    if (folder / "tokenizer.json").exists():
        return True
    with suppress(OSError, ValueError, TypeError, RecursionError):
        return LOWERCASES in json.loads((folder / SETTINGS).read_text("utf-8"))
    return False
