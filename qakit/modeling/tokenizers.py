"""What a folder leaves open about its tokenizer, and what transformers makes of that."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

SETTINGS = "tokenizer_config.json"
LOWERCASES = "do_lower_case"
"""Its entry that says whether texts are lowercased; a ``tokenizer.json`` says it, too."""
MANY = 0.01
"""The share of a vocabulary from which it is one of another normaliser; a handful is odd in many."""


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


def _says(folder: Path) -> bool:
    """Whether a folder says itself if texts are lowercased."""
    if (folder / "tokenizer.json").exists():
        return True
    with suppress(OSError, ValueError, TypeError):
        return LOWERCASES in json.loads((folder / SETTINGS).read_text("utf-8"))
    return False
